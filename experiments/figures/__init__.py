"""Figures made from records and saved models."""
