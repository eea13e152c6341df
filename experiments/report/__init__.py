"""What commands make of records: tables, statistics, comparisons, claims. Nothing here trains a model."""
