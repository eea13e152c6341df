"""What every command is made of: configuration, runs, records, plans, processes and the command line."""
