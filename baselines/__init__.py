"""The ten baselines and popularity, one model a file."""
