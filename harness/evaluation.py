"""Score held-out instances with a recommender, check the scores, and rank the targets."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.split import MIN_SEQUENCE_LENGTH
from sdmr.datasets.task import Contexts, HeldOut
from sdmr.harness.generators import keep_generators
from sdmr.harness.metrics import Ranks, count_ranks
from sdmr.harness.recommender import (
    ModelError,
    Recommender,
    check_unchanged,
    get_context_length,
    get_scores,
    offers_score_all,
)
from sdmr.harness.score_check import check_independence, spread_rows

MAX_PAIRS = 2**26  # of a test instance and an item, that a recommender scores one by one: a minute at 1 µs each
MAX_BLOCK_PAIRS = 2**32  # that it scores by matrix products: half a minute at a few ns each
BATCH = 128  # instances ranked at a time: what a model computes for their candidates should stay in the cache
PAIRS = BATCH * 101  # scored at a time


def rank(
    recommender: Recommender, instances: HeldOut, batch_size: int = BATCH, keep_sort_position: bool = False
) -> Ranks:
    """Rank every instance's target among its candidates.

    `keep_sort_position` is as in `count_ranks`; the errors are those of `score_candidates`, of
    `check_independence`, and a ModelError if a model has changed the instances.
    """
    checksums = instances.checksums
    scores = score_candidates(recommender, instances, batch_size)
    ranks = count_ranks(scores, instances.target_columns, keep_sort_position)
    _check_after_ranking(recommender, instances, checksums, instances)
    return ranks


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
        scores.append(get_scores(recommender, *inputs))
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

    These are the ranked items of the instances, if they have such. Another target comes after all of them. The errors
    are those of `rank` and, first, of `check_score_all`.

    Args:
        recommender: The recommender to evaluate.
        instances: The instances to rank; their candidates are ignored.
        seen: [n_users, n_items] binary.
        keep_sort_position: As in `count_ranks`.
        max_scores: About how many scores to hold at a time. `score` gets no more pairs at a time than from `rank`.
    """
    check_not_empty(instances)
    checksums, sample = instances.checksums, _take_sample(instances, seen.shape[1])
    if offers_score_all(recommender):
        check_score_all(recommender, sample, seen.shape[1])
    batches, sides = [], (instances.users, instances.contexts, seen.shape[1])
    for rows, scores in score_all_items(recommender, *sides, max_scores, instances.ranked_items):
        targets, seen_items = instances.targets[rows], seen[instances.users[rows]]
        row, item = np.repeat(np.arange(len(targets)), np.diff(seen_items.indptr)), seen_items.indices
        is_other = item != targets[row]
        scores[row[is_other], item[is_other]] = -np.inf
        batches.append(count_ranks(scores, targets, keep_sort_position).to_arrays())
    _check_after_ranking(recommender, instances, checksums, sample)
    return Ranks(**{name: np.concatenate([arrays[name] for arrays in batches]) for name in batches[0]})


def select_instances(recommender: Recommender, n_instances: int, n_items: int) -> IntArray:
    """Return the instances to rank among all items: every one, or a sample.

    Ranking may take longer than the training, most of all where each pair of an instance and an item costs as much as
    in `score`. Above `MAX_PAIRS` pairs, such a recommender ranks a random sample, the same one for every such
    recommender; others do so above `MAX_BLOCK_PAIRS`.
    """
    is_slow = getattr(recommender, "scores_by_pair", not offers_score_all(recommender))
    number = max(1, (MAX_PAIRS if is_slow else MAX_BLOCK_PAIRS) // n_items)
    if n_instances <= number:
        return np.arange(n_instances)
    return np.sort(np.random.default_rng(0).choice(n_instances, number, replace=False))


def score_all_items(
    recommender: Recommender,
    users: IntArray,
    contexts: Contexts,
    n_items: int,
    max_scores: int = 2**22,
    ranked_items: IntArray | None = None,
) -> Iterator[tuple[slice, NDArray[np.floating]]]:
    """Yield the rows of each batch, and their scores of all items [b, n_items].

    The arguments and errors are those of `rank_among_all` and `score_candidates`, for users [n] and their contexts. The
    scores are those of the recommender's `score_all`, if it has one. Items that are no `ranked_items` score −∞.
    """
    method = "score_all" if offers_score_all(recommender) else "score"
    length = get_context_length(recommender)
    batch_size = max(1, min(BATCH, max_scores // n_items))
    width = n_items if method == "score_all" else max(1, PAIRS // batch_size)
    for start in range(0, len(users), batch_size):
        rows = slice(start, start + batch_size)
        inputs = users[rows], contexts.last_n(length, rows)
        items = np.broadcast_to(np.arange(n_items), (len(users[rows]), n_items))  # takes no memory
        blocks = np.split(items, range(width, n_items, width), axis=1)
        parts = [get_scores(recommender, *inputs, block, method) for block in blocks]
        scores = np.column_stack(parts) if len(parts) > 1 else np.ascontiguousarray(parts[0])
        if ranked_items is not None:
            scores[:, np.setdiff1d(np.arange(n_items), ranked_items)] = -np.inf
        yield rows, scores


def check_not_empty(instances: HeldOut) -> None:
    """Raise DataError if there are no instances to rank."""
    if not len(instances):
        raise DataError(
            f"there are no instances to rank: a user (or a basket) needs {MIN_SEQUENCE_LENGTH} interactions for one"
        )


def check_score_all(recommender: Recommender, instances: HeldOut, n_items: int) -> None:
    """Raise ModelError if `score_all` and `score` give candidates different scores. Random scores pass."""
    users, contexts, candidates = instances.users, instances.contexts, instances.candidates

    def score_both_ways() -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        blocks = score_all_items(recommender, users, contexts, n_items)
        scores = [np.take_along_axis(block, candidates[rows], axis=1) for rows, block in blocks]
        return np.concatenate(scores), score_candidates(recommender, instances)

    with keep_generators():
        scores, expected = score_both_ways()
        is_wrong = ~np.isclose(scores, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        if is_wrong.any() and all(map(np.array_equal, (scores, expected), score_both_ways())):
            row, column = np.argwhere(is_wrong)[0]
            raise ModelError(
                f"{type(recommender).__name__}.score_all scored user {users[row]}, item {candidates[row, column]} as "
                f"{scores[row, column]}, and score as {expected[row, column]}: column n must be the score of item n"
            )


def _take_sample(instances: HeldOut, n_items: int, number: int = 16) -> HeldOut:
    """Return some of the instances, with items of the entire catalog as candidates."""
    rows = spread_rows(len(instances), number)
    items = np.arange(0, n_items, max(1, n_items // 100))
    return replace(instances.take(rows), candidates=np.tile(items, (len(rows), 1)), n_candidates=None)


def _check_after_ranking(
    recommender: Recommender, instances: HeldOut, checksums: dict[str, int], sample: HeldOut
) -> None:
    """Raise ModelError for scores that depend on other candidates or instances, or changed instances.

    This comes last, so that no random number of a model is another one in the ranking.
    """
    with keep_generators():
        check_independence(recommender, sample)
    check_unchanged(recommender, instances, checksums)
