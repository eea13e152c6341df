"""The one interface: what the harness asks of a recommender."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training


class Recommender(Protocol):
    """Two methods. An optional attribute `context_length` says how many context items `score` wants (default 20)."""

    def fit(self, training: Training) -> None:
        """Learn from `training`, which holds neither the test items nor the test users' candidates."""

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.floating[Any]]:
        """Score candidates, higher is better.

        `users` [B]; `contexts` [B, context_length], the most recent item last, padded on the left with n_items;
        `candidates` [B, C]. Returns [B, C], finite. A candidate's score must not depend on the other candidates.
        """


def context_length(recommender: Recommender) -> int:
    """The number of context items that a recommender asks for."""
    return int(getattr(recommender, "context_length", 20))
