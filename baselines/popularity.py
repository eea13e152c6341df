"""Popularity, the score that any model must exceed."""

import numpy as np
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training


class Popularity:
    """Score every item by its number of training users.

    It has no parameters and is the same for every user.
    """

    context_length = 0

    def fit(self, training: Training) -> None:
        self.counts = np.asarray(training.matrix.sum(axis=0), dtype=np.float32).ravel()  # [n_items]

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.float32]:
        return self.counts[candidates]

    def score_all(self, users: IntArray, contexts: IntArray) -> NDArray[np.float32]:
        return np.tile(self.counts, (len(users), 1))
