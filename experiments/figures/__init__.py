"""The figures of the paper and of the suite, drawn from records and saved models."""
