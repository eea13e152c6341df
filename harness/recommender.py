"""Define the one interface: what the harness asks of a recommender."""

import zlib
from dataclasses import is_dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training


class ModelError(DataError):
    """Report a model that breaks this interface; the message names its class."""


class Recommender(Protocol):
    """Implement these two methods to be ranked.

    An optional attribute `context_length` says how many context items `score` receives (default 20). An optional method
    `score_all(users, contexts)` returns the scores [B, n_items] of all items, where it is faster than `score`. A model
    whose `score_all` still costs as much for each item has the attribute `scores_by_pair = True`. Of large data, only a
    sample of the test instances is then ranked among all items, as without `score_all`.
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
    length = getattr(recommender, "context_length", 20)
    if not isinstance(length, int | np.integer) or length < 0:
        name = type(recommender).__name__
        raise ModelError(f"{name}.context_length is {length!r:.80}, expected an integer, 0 or more")
    return int(length)


def offers_score_all(recommender: Recommender) -> bool:
    """Tell whether `score_all` is at hand, and no subclass overrides `score` or `forward` without it."""
    for owner in (recommender, *type(recommender).__mro__):
        if names := {"score_all", "score", "forward"} & getattr(owner, "__dict__", {}).keys():
            return "score_all" in names and callable(recommender.score_all)  # type: ignore[attr-defined]
    return False


def compute_checksums(value: Any, name: str = "") -> dict[str, int]:
    """Return a checksum of every array that a value's fields reach, by its dotted name."""
    if isinstance(value, np.ndarray):
        return {name: zlib.crc32(value.tobytes())}
    name = name or type(value).__name__.lower()
    fields = vars(value) if is_dataclass(value) or issparse(value) else {}
    return {
        key: number
        for field, child in fields.items()
        for key, number in compute_checksums(child, f"{name}.{field}").items()
    }


def check_unchanged(recommender: Recommender, value: Any, checksums: dict[str, int]) -> None:
    """Raise ModelError if an array that models share differs from its checksum."""
    for name, checksum in compute_checksums(value).items():
        if checksums.get(name, checksum) != checksum:
            raise ModelError(f"{type(recommender).__name__} has changed {name}, which models share: write to a copy")
