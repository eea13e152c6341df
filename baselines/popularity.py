"""Popularity, the floor that any model must clear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training


class Popularity:
    """score_j = number of training users of item j. No parameters, nothing personal."""

    context_length = 0

    def fit(self, training: Training) -> None:
        self.counts = np.asarray(training.matrix.sum(axis=0), dtype=np.float32).ravel()  # [n_items]

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.float32]:
        return self.counts[candidates]
