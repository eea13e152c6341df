"""How fast it is: `python -m experiments.bench`, and `python -m experiments.bench.optimisers`."""
