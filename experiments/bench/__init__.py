"""How fast it is: `python -m sdmr.experiments.bench`, and `python -m sdmr.experiments.bench.optimisers`."""
