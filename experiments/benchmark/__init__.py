"""Measure training steps, memory, one epoch on every data set, and two optimizers."""
