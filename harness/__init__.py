"""What every model is run by: the one interface, training negatives, the training loop, ranking and records."""
