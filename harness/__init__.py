"""Run every model alike: one interface, one training loop, one ranking, one record."""
