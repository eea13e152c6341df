"""Define the one interface: what the harness asks of a recommender."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training


class Recommender(Protocol):
    """Implement these two methods to be ranked.

    An optional attribute `context_length` says how many context items `score` receives (default 20).
    """

    def fit(self, training: Training) -> None:
        """Learn from `training`, which holds neither test items nor their candidates."""

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.floating[Any]]:
        """Score candidates, higher is better.

        Args:
            users: [B].
            contexts: [B, context_length], the most recent item last, padded on the left with n_items.
            candidates: [B, C].

        Returns:
            Finite scores [B, C]. A candidate's score must not depend on the other candidates.
        """


def get_context_length(recommender: Recommender) -> int:
    """Return the number of context items that a recommender asks for."""
    return int(getattr(recommender, "context_length", 20))
