"""Rules that read the order of Epinions' file: `sdmr run model=sdmr.experiments.report.id_order.IdOrder`.

Epinions' file lists each user's items in the order of their ids *as strings*. If that order is taken for time, the test
item is easy to guess: its id comes after those of its user's other items.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training

RULES = {"nearest": "the nearest id after the previous item's", "popular": "the most popular one after it"}


class IdOrder:
    """Rank items whose id follows the previous item's above all others.

    Args:
        first: Which of them comes first: the nearest id (`nearest`, which learns nothing), or the item with the most
            training users (`popular`).
    """

    context_length = 1

    def __init__(self, first: Literal["nearest", "popular"] = "nearest") -> None:
        if first not in ("nearest", "popular"):
            raise ValueError(f'first must be "nearest" or "popular", not {first!r}')
        self.first = first

    def fit(self, training: Training) -> None:
        """Order the items by id, and count their training users."""
        if training.item_ids is None:
            raise ValueError("IdOrder orders items by their ids, and these items have none")
        ids = training.item_ids.astype(str)
        self.id_rank = np.full(len(ids) + 1, -1)  # the padding: before all of them
        self.id_rank[ids.argsort()] = np.arange(len(ids))
        self.users = np.asarray(training.matrix.sum(axis=0)).ravel().astype(np.float64)

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.float64]:
        """Return scores that put later ids first."""
        steps = self.id_rank[candidates] - self.id_rank[contexts[:, -1:]]  # never 0: the previous item is no candidate
        if self.first == "nearest":
            return -np.where(steps > 0, steps, steps + len(self.id_rank)).astype(np.float64)
        return self.users[candidates] + np.where(steps > 0, self.users.max() + 1, 0.0)
