"""Fast arithmetic of baselines on the CPU."""
