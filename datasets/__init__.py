"""From raw files to a task: sources, parsers, filters, splits, candidates and statistics."""
