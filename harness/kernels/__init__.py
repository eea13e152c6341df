"""Compute the harness's inner loops, compiled by Numba for the CPU."""
