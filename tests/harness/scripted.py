"""Provide a recommender with known scores, and instances to rank."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from sdmr.datasets.task import Contexts, HeldOut

PADDING = 1000


class Scripted:
    """Return scores from `table` [n_users, n_items], or from a function of candidates."""

    def __init__(self, table: np.ndarray | Callable[[np.ndarray], Any]) -> None:
        self.table = table
        self.contexts: list[np.ndarray] = []

    def fit(self, training: object) -> None:
        raise AssertionError("ranking does not fit")

    def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> Any:
        self.contexts.append(contexts)
        return self.table(candidates) if callable(self.table) else self.table[users[:, None], candidates]


def make_instances(target_columns: list[int], n_candidates: int) -> HeldOut:
    """Make instances: user n, candidates 0 … n_candidates − 1, context 7, 8, 9.

    `target_columns[n]` is the column of the target.
    """
    n = len(target_columns)
    ones = np.ones(n, dtype=np.int64)
    contexts = Contexts(np.array([7, 8, 9]), 0 * ones, 3 * ones, 3 * ones, 3 * ones, padding=PADDING)
    candidates = np.tile(np.arange(n_candidates), (n, 1))
    return HeldOut(np.arange(n), np.array(target_columns, dtype=np.int64), contexts, candidates)


@st.composite
def scored_lists(draw: st.DrawFn, max_candidates: int) -> tuple[list[list[float]], list[int]]:
    """Draw rows of scores from a few values, so that ties are common, and target columns."""
    n_candidates = draw(st.integers(1, max_candidates))
    values = draw(st.sampled_from([[0.0], [0.0, 1.0], [-1.5, -0.0, 0.0, 2.0], list(np.linspace(-3, 3, 50))]))
    row = st.lists(st.sampled_from(values), min_size=n_candidates, max_size=n_candidates)
    rows = draw(st.lists(row, min_size=1, max_size=4))
    column = st.integers(0, n_candidates - 1)
    return rows, draw(st.lists(column, min_size=len(rows), max_size=len(rows)))
