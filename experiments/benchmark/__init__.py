"""Measure training steps, memory, and one epoch on every data set."""
