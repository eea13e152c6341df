"""Measure an epoch of SASRec on ML-1M against nn.TransformerEncoder: `python -m tests.oracles.measure_sasrec`.

Both have default settings, windows of 200, and the same loss. They take turns, on one thread.
"""

from functools import partial

import torch

from sdmr.experiments.benchmark.timing import Steps, compare, make_entry, make_model
from sdmr.experiments.core.run import compose_task
from tests.oracles.plain import PlainSASRec, PlainSASRecEpoch

LENGTH = 200
TURNS = 2


def main() -> None:
    torch.set_num_threads(1)
    training = compose_task("ml-1m", []).load_task().training
    model = make_model("sasrec", f"model.context_length={LENGTH}")
    steps, options = Steps(model, training), model.optimization
    transformer = PlainSASRec(training.n_items, model.dim, LENGTH, model.n_blocks, model.heads, model.dropout.p)
    epoch = PlainSASRecEpoch(transformer, training, options.batch_size, options.n_negatives)
    costs = compare(TURNS, partial(steps.run, steps.n_batches), epoch.run)
    setting = {"model": "sasrec", "dataset": "ml-1m", "context_length": LENGTH, "batches": steps.n_batches}
    print(make_entry("epoch vs plain", setting, costs, "nn.TransformerEncoder"))


if __name__ == "__main__":
    main()
