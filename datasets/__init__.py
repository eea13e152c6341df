"""From raw files to a task: downloads, parsers, filters, splits and candidates."""
