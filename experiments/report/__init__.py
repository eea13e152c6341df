"""Results made from records: tables, statistics, comparisons, claims. Nothing here trains a model."""
