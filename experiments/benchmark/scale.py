"""Set how much the speed benchmark measures."""

import sys
from dataclasses import dataclass

from sdmr.datasets.task import Task, Training
from sdmr.experiments.benchmark.synthetic import draw_excerpt, make_task
from sdmr.experiments.core.registry import MODELS

BATCH = 256


@dataclass(frozen=True)
class Scale:
    """The amount of work that is measured."""

    shape: tuple[int, int, int] = (943, 1_682, 100_000)  # users, items and interactions of ML-100k
    released_shape: tuple[int, int, int] = (943, 1_682, 100_000)  # whose epoch takes the released program half a minute
    n_candidates: int = 100
    steps: int = 40
    few_steps: int = 6  # where a step takes long
    turns: int = 5
    few_turns: int = 2
    models: tuple[str, ...] = tuple(MODELS)
    large: tuple[str, ...] = ("model.dim=128", "model.hops=4", "context_length=20")
    catalogs: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    users: tuple[int, ...] = (1_000, 10_000, 100_000)
    histories: tuple[int, ...] = (10, 30, 100, 300)
    dims: tuple[int, ...] = (16, 32, 64, 128, 256)
    hops: tuple[int, ...] = (1, 2, 3, 4)
    lengths: tuple[int, ...] = (2, 5, 10, 20, 40)
    n_negatives: int = 400_000
    sequences: tuple[int, int, int] = (604, 3_706, 100_000)  # a tenth of the users of ML-1M
    sequence_length: int = 200
    long_tail: tuple[int, int, int] = (10_000, 1_000_000, 5_000)  # items, many items, and steps before the measurement
    recbole: str = sys.executable  # a Python that has RecBole

    def make_task(self) -> Task:
        """Make the task that most groups measure on."""
        return make_task(*self.shape, self.n_candidates)

    def make_training(self, steps: int) -> Training:
        """Make training data of so many steps an epoch."""
        return draw_excerpt(self.make_task().training, steps * BATCH)


SCALES = {
    "full": Scale(),
    "quick": Scale(
        released_shape=(943, 1_682, 10_000),
        steps=10,
        few_steps=3,
        turns=2,
        few_turns=1,
        catalogs=(1_000, 100_000),
        users=(1_000, 30_000),
        histories=(10, 100),
        dims=(32, 128),
        hops=(1, 3),
        lengths=(5, 20),
        sequences=(200, 3_706, 30_000),
        long_tail=(10_000, 100_000, 300),
    ),
    "tiny": Scale(
        shape=(40, 60, 700),
        released_shape=(40, 150, 700),
        n_candidates=8,
        steps=1,
        few_steps=1,
        turns=1,
        few_turns=1,
        models=("popularity", "mf-bpr", "sdp", "sdm"),
        large=("model.dim=8", "context_length=6"),
        catalogs=(50, 100),
        users=(40, 80),
        histories=(10, 20),
        dims=(4, 8),
        hops=(1, 2),
        lengths=(1, 3),
        sequences=(40, 60, 700),
        sequence_length=8,
        n_negatives=100,
        long_tail=(50, 100, 2),
    ),
}
