"""Define the one interface: what the harness asks of a recommender."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sdmr.datasets.errors import DataError, quote
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training, compute_checksums
from sdmr.harness.generators import seed_generators


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
            Finite scores [B, C]. A score must not depend on the other candidates, nor on the other instances.
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


def fit(recommender: Recommender, training: Training) -> None:
    """Fit a recommender to a copy of the training data, which it may write to.

    `training.seed` seeds the generators of PyTorch, `numpy.random` and `random`, too. Raises ModelError if the
    recommender changes settings of the process.
    """
    seed_generators(training.seed)
    with keep_settings(type(recommender).__name__):
        recommender.fit(deepcopy(training))


def _get_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it has been removed
        return ""


# Settings of the process, which all models in it share: how each is read, and set.
_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "the current folder": (_get_folder, os.chdir),
    "torch.set_default_dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.set_default_device": (
        torch.get_default_device,
        lambda device: torch.set_default_device(None if device.type == "cpu" else device),
    ),
    "torch.set_grad_enabled": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch.set_num_threads": (torch.get_num_threads, torch.set_num_threads),
    "torch.use_deterministic_algorithms": (
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
    ),
    "torch.set_float32_matmul_precision": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
}


@contextmanager
def keep_filters() -> Iterator[None]:
    """Restore, without a word, what NumPy does on errors (`np.seterr`), and the filters of warnings.

    Many a library changes these where it is imported.
    """
    errors, filters = np.geterr(), list(warnings.filters)
    try:
        yield
    finally:
        np.seterr(**errors)
        if warnings.filters != filters:
            warnings.resetwarnings()
            warnings.filters[:] = filters  # type: ignore[index]


@contextmanager
def keep_settings(name: str) -> Iterator[None]:
    """Restore the settings of the process; raise ModelError if a model has changed one.

    Those of `keep_filters` are restored without an error.

    Args:
        name: Of the model, for the message.
    """
    before = {setting: read() for setting, (read, _) in _SETTINGS.items()}
    changed = {}
    try:
        with keep_filters():
            yield
    finally:
        for setting, (read, restore) in _SETTINGS.items():
            if (value := read()) != before[setting]:
                changed[setting] = value
                restore(before[setting])
    if changed:
        listed = ", ".join(f"{one} ({before[one]} is now {quote(value)})" for one, value in changed.items())
        raise ModelError(f"{name} has changed {listed}, which models share: set it back before the method ends")


def check_unchanged(recommender: Recommender, value: Any, checksums: dict[str, int]) -> None:
    """Raise ModelError if an array that models share differs from its checksum."""
    for name, checksum in compute_checksums(value).items():
        if checksums.get(name, checksum) != checksum:
            raise ModelError(f"{type(recommender).__name__} has changed {name}, which models share: write to a copy")


def get_scores(
    recommender: Recommender, users: IntArray, contexts: IntArray, candidates: IntArray, method: str = "score"
) -> NDArray[np.floating]:
    """Return a copy of the recommender's scores [B, C], for copies of the arguments.

    The method `score_all` does not get the candidates: they are all items.

    Raises:
        ModelError: The scores cannot be ranked, or the recommender changes settings of the process.
    """
    inputs = (users, contexts) if method == "score_all" else (users, contexts, candidates)
    name = type(recommender).__name__
    with keep_settings(name):
        returned = getattr(recommender, method)(*(each.copy() for each in inputs))
    scores = _convert(returned)
    if not np.issubdtype(scores.dtype, np.floating):
        description = returned.dtype if type(returned) in (np.ndarray, torch.Tensor) else type(returned).__name__
        raise ModelError(f"{name}.{method} must return numbers [B, C], as an array or a tensor, not {description}")
    if scores.shape != candidates.shape:
        raise ModelError(f"{name}.{method} returned shape {scores.shape} for candidates of shape {candidates.shape}")
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        raise ModelError(
            f"{name} scored user {users[row]}, item {candidates[row, column]} as {scores[row, column]}: "
            "every score must be finite"
        )
    return scores


def _convert(scores: Any) -> NDArray[Any]:
    """Return a copy as floating-point numbers, or as another type if that loses something."""
    try:
        if isinstance(scores, torch.Tensor):
            scores = scores.detach().cpu().to_dense()
            scores = (scores.float() if scores.dtype == torch.bfloat16 else scores).numpy()
        array = np.array(None if np.ma.is_masked(scores) else scores)
    except (TypeError, ValueError, RuntimeError):  # what NumPy cannot convert, such as rows of several lengths
        return np.array(None)
    is_exact = np.issubdtype(array.dtype, np.integer) and np.abs(array.astype(np.float64)).max(initial=0) < 2**53
    return array.astype(np.float64) if is_exact else array
