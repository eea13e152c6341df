"""Score held-out instances with a recommender, check the scores, and rank the targets."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.split import MIN_SEQUENCE_LENGTH
from sdmr.datasets.task import Contexts, HeldOut
from sdmr.harness.metrics import Ranks, count_ranks
from sdmr.harness.recommender import ModelError, Recommender, get_context_length, offers_score_all

MAX_PAIRS = 2**26  # of a test instance and an item, that a recommender scores one by one: a minute at 1 µs each
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
    """Return the scores [n, C] of every instance's candidates; −∞ where a row has fewer.

    Raises:
        DataError: There are no instances.
        ModelError: The scores cannot be ranked: their shape is wrong, they are no numbers, or they are not all finite.
            The message names the recommender.
    """
    check_not_empty(instances)
    length, scores = get_context_length(recommender), []
    for start in range(0, len(instances), batch_size):
        rows = slice(start, start + batch_size)
        inputs = instances.users[rows], instances.contexts.last_n(length, rows), instances.candidates[rows]
        scores.append(_score(recommender, *inputs))
    return hide_padding(np.concatenate(scores), instances)


def hide_padding(scores: NDArray[np.floating], instances: HeldOut) -> NDArray[np.floating]:
    """Return scores [n, C] with −∞ where a column only fills up its row."""
    if instances.n_candidates is None:
        return scores
    return np.where(np.arange(scores.shape[1]) < instances.n_candidates[:, None], scores, -np.inf)


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
        max_scores: About how many scores to hold at a time. `score` gets no more pairs at a time than from `rank`.
    """
    check_not_empty(instances)
    batches = []
    for rows, scores in score_all_items(recommender, instances.users, instances.contexts, seen.shape[1], max_scores):
        targets, seen_items = instances.targets[rows], seen[instances.users[rows]]
        row, item = np.repeat(np.arange(len(targets)), np.diff(seen_items.indptr)), seen_items.indices
        is_other = item != targets[row]
        scores[row[is_other], item[is_other]] = -np.inf
        batches.append(count_ranks(scores, targets, keep_sort_position).to_arrays())
    return Ranks(**{name: np.concatenate([arrays[name] for arrays in batches]) for name in batches[0]})


def select_instances(recommender: Recommender, n_instances: int, n_items: int) -> IntArray:
    """Return the instances to rank among all items: every one, or a sample.

    Where each pair of an instance and an item costs as much as in `score`, ranking may take longer than the training.
    Above `MAX_PAIRS` pairs, such a recommender ranks a random sample, the same one for every recommender.
    """
    number = max(1, MAX_PAIRS // n_items)
    is_slow = getattr(recommender, "scores_by_pair", not offers_score_all(recommender))
    if not is_slow or n_instances <= number:
        return np.arange(n_instances)
    return np.sort(np.random.default_rng(0).choice(n_instances, number, replace=False))


def score_all_items(
    recommender: Recommender, users: IntArray, contexts: Contexts, n_items: int, max_scores: int = 2**22
) -> Iterator[tuple[slice, NDArray[np.floating]]]:
    """Yield the rows of each batch, and their scores of all items [b, n_items].

    The arguments and errors are those of `rank_among_all` and `score_candidates`, for users [n] and their contexts. The
    scores are those of the recommender's `score_all`, if it has one.
    """
    method = "score_all" if offers_score_all(recommender) else "score"
    length = get_context_length(recommender)
    batch_size = max(1, min(BATCH, max_scores // n_items))
    width = n_items if method == "score_all" else max(1, PAIRS // batch_size)
    for start in range(0, len(users), batch_size):
        rows = slice(start, start + batch_size)
        inputs = users[rows], contexts.last_n(length, rows)
        items = np.tile(np.arange(n_items), (len(users[rows]), 1))
        blocks = np.split(items, range(width, n_items, width), axis=1)
        yield rows, np.column_stack([_score(recommender, *inputs, block, method) for block in blocks])


def check_not_empty(instances: HeldOut) -> None:
    """Raise DataError if there are no instances to rank."""
    if not len(instances):
        raise DataError(
            f"there are no instances to rank: a user (or a basket) needs {MIN_SEQUENCE_LENGTH} interactions for one"
        )


def check_permutation_invariance(recommender: Recommender, instances: HeldOut, number: int = 16) -> None:
    """Raise ModelError if scores of the first instances depend on the other candidates.

    They may depend neither on the order of candidates, nor on which others are scored at the same time. The tolerance
    allows for rounding, which differs with a column's position: 1e-4 of the spread of the row (the median distance from
    its median, so that one large score hides nothing), or 16 units in the last place of float32. A row whose candidates
    happen to be close together has at least the median spread. Scores that already differ from one call to the next are
    random, and pass.
    """
    instances = instances.take(np.arange(min(number, len(instances))))
    users, candidates = instances.users, instances.candidates
    contexts = instances.contexts.last_n(get_context_length(recommender))
    scores = _score(recommender, users, contexts, candidates)
    again = {"came in another order": _score(recommender, users, contexts, candidates[:, ::-1])[:, ::-1]}
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):  # so that these calls do not change the ranks of a random recommender
        halves = np.array_split(candidates, min(2, candidates.shape[1]), axis=1)
        again["came in two halves"] = np.column_stack([_score(recommender, users, contexts, half) for half in halves])
    spread = np.median(np.abs(scores - np.median(scores, axis=1, keepdims=True)), axis=1, keepdims=True)
    eps = max(np.finfo(scores.dtype).eps, np.finfo(np.float32).eps)
    tolerance = max(1e-4, 4 * eps) * np.maximum(spread, np.median(spread)) + 16 * eps * np.abs(scores)
    differs = {how: hide_padding(np.abs(scores - others), instances) > tolerance for how, others in again.items()}
    how = max(differs, key=lambda how: differs[how].any())
    if differs[how].any() and np.array_equal(scores, _score(recommender, users, contexts, candidates)):
        row, column = np.argwhere(differs[how])[0]
        raise ModelError(
            f"{type(recommender).__name__} scored user {users[row]}, item {candidates[row, column]} as "
            f"{scores[row, column]}, and as {again[how][row, column]} when the same candidates {how}: "
            "a score must not depend on the other candidates"
        )


def _score(
    recommender: Recommender, users: IntArray, contexts: IntArray, candidates: IntArray, method: str = "score"
) -> NDArray[np.floating]:
    """Return a copy of the recommender's scores [B, C], for copies of the arguments.

    The method `score_all` does not get the candidates: they are all items.

    Raises:
        ModelError: The scores cannot be ranked.
    """
    inputs = (users, contexts) if method == "score_all" else (users, contexts, candidates)
    name, returned = type(recommender).__name__, getattr(recommender, method)(*(each.copy() for each in inputs))
    scores = _convert(returned)
    if not np.issubdtype(scores.dtype, np.floating):
        description = returned.dtype if type(returned) is np.ndarray else type(returned).__name__
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
    if isinstance(scores, torch.Tensor):
        scores = scores.detach().cpu()
        scores = (scores.float() if scores.dtype == torch.bfloat16 else scores).numpy()
    try:
        array = np.array(None if np.ma.is_masked(scores) else scores)
    except (TypeError, ValueError, RuntimeError):  # what NumPy cannot convert, such as rows of several lengths
        return np.array(None)
    is_exact = np.issubdtype(array.dtype, np.integer) and np.abs(array.astype(np.float64)).max(initial=0) < 2**53
    return array.astype(np.float64) if is_exact else array
