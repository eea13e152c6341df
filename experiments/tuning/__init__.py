"""Searches for a model's best settings on the validation items."""
