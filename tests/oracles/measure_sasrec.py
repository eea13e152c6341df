"""Measure SASRec's epoch on ML-1M against nn.TransformerEncoder's: `python -m tests.oracles.measure_sasrec`.

Both have default settings, windows of 200, and the same loss. They take turns on one thread, and print seconds a step.
"""

import torch

from sdmr.experiments.benchmark.references import measure_plain_sasrec
from sdmr.experiments.core.run import compose_task

if __name__ == "__main__":
    torch.set_num_threads(1)
    print(measure_plain_sasrec(compose_task("ml-1m", []).load_task().training, length=200, turns=2))
