"""The ten baselines, and popularity, one file each."""
