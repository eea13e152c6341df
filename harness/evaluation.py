"""Score held-out instances with a recommender, check the scores, and rank the targets."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.split import MIN_SEQUENCE_LENGTH
from sdmr.datasets.task import Contexts, HeldOut
from sdmr.harness.metrics import Ranks, count_ranks
from sdmr.harness.recommender import Recommender, get_context_length

BATCH = 128  # instances ranked at a time: what a model computes for their candidates should stay in the cache
PAIRS = BATCH * 101  # scored at a time


def rank(
    recommender: Recommender, instances: HeldOut, batch_size: int = BATCH, keep_sort_position: bool = False
) -> Ranks:
    """Rank every instance's target among its candidates.

    `keep_sort_position` is as in `count_ranks`; the errors are those of `score_candidates`.
    """
    scores = score_candidates(recommender, instances, batch_size)
    return count_ranks(scores, instances.target_columns, keep_sort_position)


def score_candidates(recommender: Recommender, instances: HeldOut, batch_size: int = BATCH) -> NDArray[np.floating]:
    """Return the scores [n, C] of every instance's candidates.

    Raises:
        DataError: There are no instances.
        ValueError: The scores cannot be ranked: their shape is wrong, they are no floating-point numbers, or they are
            not all finite. The message names the recommender.
    """
    check_not_empty(instances)
    length, scores = get_context_length(recommender), []
    for start in range(0, len(instances), batch_size):
        rows = slice(start, start + batch_size)
        inputs = instances.users[rows], instances.contexts.last_n(length, rows), instances.candidates[rows]
        scores.append(_score(recommender, *inputs))
    return np.concatenate(scores)


def rank_among_all(
    recommender: Recommender,
    instances: HeldOut,
    seen: csr_matrix,
    keep_sort_position: bool = False,
    max_scores: int = 2**22,
) -> Ranks:
    """Rank every instance's target among all items that its user has not seen.

    Args:
        recommender: The recommender to evaluate.
        instances: The instances to rank; their candidates are ignored.
        seen: [n_users, n_items] binary.
        keep_sort_position: As in `count_ranks`.
        max_scores: About how many scores to hold at a time. No more pairs are scored at a time than by `rank`.
    """
    check_not_empty(instances)
    batches = []
    for rows, scores in score_all_items(recommender, instances.users, instances.contexts, seen.shape[1], max_scores):
        users, targets = instances.users[rows], instances.targets[rows]
        is_candidate = seen[users].toarray() == 0
        np.put_along_axis(is_candidate, targets[:, None], True, axis=1)
        ranks = count_ranks(np.where(is_candidate, scores, -np.inf), targets, keep_sort_position)
        batches.append(ranks.to_arrays())
    return Ranks(**{name: np.concatenate([arrays[name] for arrays in batches]) for name in batches[0]})


def score_all_items(
    recommender: Recommender, users: IntArray, contexts: Contexts, n_items: int, max_scores: int = 2**22
) -> Iterator[tuple[slice, NDArray[np.floating]]]:
    """Yield the rows of each batch, and their scores of all items [b, n_items].

    The arguments and errors are those of `rank_among_all` and `score_candidates`, for users [n] and their contexts.
    """
    length = get_context_length(recommender)
    batch_size = max(1, min(BATCH, max_scores // n_items))
    width = max(1, PAIRS // batch_size)
    for start in range(0, len(users), batch_size):
        rows = slice(start, start + batch_size)
        inputs = users[rows], contexts.last_n(length, rows)
        items = np.tile(np.arange(n_items), (len(users[rows]), 1))
        blocks = np.split(items, range(width, n_items, width), axis=1)
        yield rows, np.column_stack([_score(recommender, *inputs, block) for block in blocks])


def check_not_empty(instances: HeldOut) -> None:
    """Raise DataError if there are no instances to rank."""
    if not len(instances):
        raise DataError(
            f"there are no instances to rank: a user (or a basket) needs {MIN_SEQUENCE_LENGTH} interactions for one"
        )


def check_permutation_invariance(recommender: Recommender, instances: HeldOut, number: int = 16) -> None:
    """Raise ValueError if scores of the first instances depend on the order of candidates.

    The tolerance allows for rounding, which differs with a column's position. Scores that already differ from one call
    to the next are random, and pass.
    """
    users, candidates = instances.users[:number], instances.candidates[:number]
    contexts = instances.contexts.last_n(get_context_length(recommender), slice(number))
    scores = _score(recommender, users, contexts, candidates)
    reversed_scores = _score(recommender, users, contexts, candidates[:, ::-1].copy())[:, ::-1]
    differs = np.abs(scores - reversed_scores) > 1e-4 * np.abs(scores).max(initial=0)
    if differs.any() and np.array_equal(scores, recommender.score(users, contexts, candidates)):
        row, column = np.argwhere(differs)[0]
        raise ValueError(
            f"{type(recommender).__name__} scored user {users[row]}, item {candidates[row, column]} as "
            f"{scores[row, column]}, and as {reversed_scores[row, column]} when the same candidates came in another "
            "order: a score must not depend on it"
        )


def _score(recommender: Recommender, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.floating]:
    """Return the recommender's scores [B, C]; raise ValueError if they cannot be ranked."""
    name, scores = type(recommender).__name__, recommender.score(users, contexts, candidates)
    if not isinstance(scores, np.ndarray) or not np.issubdtype(scores.dtype, np.floating):
        returned = scores.dtype if isinstance(scores, np.ndarray) else type(scores).__name__
        raise ValueError(f"{name}.score must return a NumPy array of floating-point numbers, not {returned}")
    if scores.shape != candidates.shape:
        raise ValueError(f"{name}.score returned shape {scores.shape} for candidates of shape {candidates.shape}")
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        raise ValueError(
            f"{name} scored user {users[row]}, item {candidates[row, column]} as {scores[row, column]}: "
            "every score must be finite"
        )
    return scores
