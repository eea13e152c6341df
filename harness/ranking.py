"""Ranking and metrics: what a tie is worth is stated, never left to a sort.

With one relevant item an instance's result is two counts: candidates scored above the target, and candidates tied with
it. The target's rank is then uncertain between `above + 1` and `above + tied + 1`. The expected metric under random
tie-breaking is the number to report; the optimistic and the pessimistic reading stand beside it. What a sort makes of a
tie is kept only when asked for, to compare with code that leaves ties to one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.parsing import DataError
from sdmr.datasets.split import MINIMUM
from sdmr.datasets.task import HeldOut
from sdmr.harness.recommender import Recommender, context_length

Ties = Literal["expected", "optimistic", "pessimistic", "argsort-target-last"]
READINGS: tuple[Ties, ...] = ("expected", "optimistic", "pessimistic")
BATCH = 128  # instances ranked at a time: what a model computes for their candidates should stay in the cache
PAIRS = BATCH * 101  # scored at a time


@dataclass(frozen=True, eq=False)
class Ranks:
    """Per instance, how many candidates score above the target, and how many tie with it."""

    above: IntArray  # [n]
    tied: IntArray  # [n]
    place: IntArray | None = None  # [n] from 0, where NumPy's default sort finds the target that comes last

    def take(self, rows: NDArray[np.bool_]) -> Ranks:
        """Those of the given instances ([n], boolean)."""
        return Ranks(self.above[rows], self.tied[rows], None if self.place is None else self.place[rows])

    def arrays(self) -> dict[str, IntArray]:
        """By name, for a file."""
        counts = {"above": self.above, "tied": self.tied}
        return counts if self.place is None else {**counts, "place": self.place}

    def hit(self, k: int, ties: Ties = "expected") -> NDArray[np.float64]:
        """[n] hit@k: 1 if the target is among the first k."""
        return self._gain(np.ones(k), ties)

    def ndcg(self, k: int, ties: Ties = "expected") -> NDArray[np.float64]:
        """[n] NDCG@k with one relevant item: 1 / log2(rank + 1), rank from 1, if the target is among the first k."""
        return self._gain(1 / np.log2(np.arange(2, k + 2)), ties)

    def _gain(self, by_place: NDArray[np.float64], ties: Ties) -> NDArray[np.float64]:
        """Mean of `by_place` ([k], zero beyond) over the places that the target may take."""
        first = self.above + (self.tied if ties == "pessimistic" else 0)
        last = self.above + (0 if ties == "optimistic" else self.tied)
        if ties == "argsort-target-last":
            if self.place is None:
                raise ValueError("the target's place in a sort was not asked for when these were ranked")
            first = last = self.place
        up_to = np.concatenate([[0.0], np.cumsum(by_place)])
        k = len(by_place)
        return (up_to[np.minimum(last + 1, k)] - up_to[np.minimum(first, k)]) / (last - first + 1)


def count_ranks(scores: NDArray[np.floating], target_columns: IntArray, in_sort: bool = False) -> Ranks:
    """Ranks from scores [n, C] and the column of each row's target [n]; −∞ stands for no candidate.

    `in_sort`: with the target's place among the distances (−score), ascending, the target appended to the others and
    sorted by NumPy's default, which is not stable. Where there are ties this is no property of the scores alone.
    """
    target = np.take_along_axis(scores, target_columns[:, None], axis=1)
    above, tied = (scores > target).sum(axis=1), (scores == target).sum(axis=1) - 1
    if not in_sort:
        return Ranks(above, tied)
    last = scores.shape[1] - 1
    columns = np.arange(last) + (np.arange(last) >= target_columns[:, None])  # all but the target's
    distances = -np.column_stack([np.take_along_axis(scores, columns, axis=1), target])
    return Ranks(above, tied, (np.argsort(distances, axis=1) == last).argmax(axis=1))


def rank(recommender: Recommender, instances: HeldOut, batch_size: int = BATCH, in_sort: bool = False) -> Ranks:
    """Rank every instance's target among its candidates; `in_sort` as in `count_ranks`, errors as in `scores_of`."""
    return count_ranks(scores_of(recommender, instances, batch_size), instances.target_columns, in_sort)


def scores_of(recommender: Recommender, instances: HeldOut, batch_size: int = BATCH) -> NDArray[np.floating]:
    """[n, C] the scores of every instance's candidates.

    Raises ValueError, naming the recommender, if its scores have the wrong shape, are no floating-point numbers, or are
    not all finite: such a score has no rank. So it does where there is no instance: nothing is the mean of nothing.
    """
    refuse_none(instances)
    length, scores = context_length(recommender), []
    for start in range(0, len(instances), batch_size):
        rows = slice(start, start + batch_size)
        inputs = instances.users[rows], instances.contexts.latest(length, rows), instances.candidates[rows]
        scores.append(_checked_scores(recommender, *inputs))
    return np.concatenate(scores)


def rank_among_all(
    recommender: Recommender, instances: HeldOut, seen: csr_matrix, in_sort: bool = False, memory: int = 2**22
) -> Ranks:
    """Rank the target of every instance among all items that its user has not `seen` ([n_users, n_items], binary).

    No more than about `memory` scores are held at a time, and no more pairs are scored at a time than `rank` does.
    """
    refuse_none(instances)
    length, n_items = context_length(recommender), seen.shape[1]
    batch_size = max(1, min(BATCH, memory // n_items))
    width = max(1, PAIRS // batch_size)
    parts = []
    for start in range(0, len(instances), batch_size):
        rows = slice(start, start + batch_size)
        users, contexts, targets = (
            instances.users[rows],
            instances.contexts.latest(length, rows),
            instances.targets[rows],
        )
        blocks = [
            np.tile(np.arange(left, min(left + width, n_items)), (len(users), 1)) for left in range(0, n_items, width)
        ]
        scores = np.column_stack([_checked_scores(recommender, users, contexts, block) for block in blocks])
        is_candidate = seen[users].toarray() == 0
        np.put_along_axis(is_candidate, targets[:, None], True, axis=1)
        parts.append(count_ranks(np.where(is_candidate, scores, -np.inf), targets, in_sort))
    names = ("above", "tied", "place") if in_sort else ("above", "tied")
    return Ranks(*(np.concatenate([getattr(ranks, name) for ranks in parts]) for name in names))


def refuse_none(instances: HeldOut) -> None:
    """Raise DataError if there are no instances: nothing is the mean of nothing."""
    if not len(instances):
        raise DataError(f"there are no instances to rank: a user (or a basket) needs {MINIMUM} interactions for one")


def _checked_scores(
    recommender: Recommender, users: IntArray, contexts: IntArray, candidates: IntArray
) -> NDArray[np.floating]:
    """The recommender's scores [B, C], which can be ranked; ValueError if they cannot."""
    name, scores = type(recommender).__name__, recommender.score(users, contexts, candidates)
    if not isinstance(scores, np.ndarray) or not np.issubdtype(scores.dtype, np.floating):
        kind = scores.dtype if isinstance(scores, np.ndarray) else type(scores).__name__
        raise ValueError(f"{name}.score must return a NumPy array of floating-point numbers, not {kind}")
    if scores.shape != candidates.shape:
        raise ValueError(f"{name}.score returned shape {scores.shape} for candidates of shape {candidates.shape}")
    if not np.isfinite(scores).all():
        row, column = np.argwhere(~np.isfinite(scores))[0]
        raise ValueError(
            f"{name} scored user {users[row]}, item {candidates[row, column]} as {scores[row, column]}: "
            "every score must be finite"
        )
    return scores


def refuse_dependence_on_order(recommender: Recommender, instances: HeldOut, number: int = 16) -> None:
    """Raise ValueError if scores of the first instances are others when their candidates come from right to left.

    The tolerance is for rounding, which differs with a column's place. Scores that already differ from one call to the
    next are random, which is a model's right.
    """
    users, candidates = instances.users[:number], instances.candidates[:number]
    contexts = instances.contexts.latest(context_length(recommender), slice(number))
    scores = _checked_scores(recommender, users, contexts, candidates)
    turned = _checked_scores(recommender, users, contexts, candidates[:, ::-1].copy())[:, ::-1]
    differs = np.abs(scores - turned) > 1e-4 * np.abs(scores).max(initial=0)
    if differs.any() and np.array_equal(scores, recommender.score(users, contexts, candidates)):
        row, column = np.argwhere(differs)[0]
        raise ValueError(
            f"{type(recommender).__name__} scored user {users[row]}, item {candidates[row, column]} as "
            f"{scores[row, column]}, and as {turned[row, column]} when the same candidates came in another order: "
            "a score must not depend on it"
        )


def summary(ranks: Ranks, ks: Iterable[int] = (1, 5, 10, 20)) -> dict[str, dict[Ties, float]]:
    """Mean metrics over instances: {"hit@10": {"expected": …, "optimistic": …, "pessimistic": …}, "NDCG@10": …}.

    With the place in a sort as a fourth reading, if it was asked for.
    """
    metrics = {}
    readings = READINGS if ranks.place is None else (*READINGS, "argsort-target-last")
    for k in ks:
        metrics[f"hit@{k}"] = {ties: float(ranks.hit(k, ties).mean()) for ties in readings}
        metrics[f"NDCG@{k}"] = {ties: float(ranks.ndcg(k, ties).mean()) for ties in readings}
    return metrics


def tie_counts(ranks: Ranks) -> dict[str, float]:
    """The share of instances whose target ties, and how many candidates tie with it there, on average."""
    is_tied = ranks.tied > 0
    mean = float(ranks.tied[is_tied].mean()) if is_tied.any() else 0.0
    return {"tied_share": float(is_tied.mean()), "mean_tied": mean}
