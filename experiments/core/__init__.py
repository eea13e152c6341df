"""The parts of every command: configuration, runs, records, plans, processes and the command line."""
