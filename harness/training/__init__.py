"""Train recommenders by gradient."""
