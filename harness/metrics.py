"""Turn scores into ranks and metrics, with a stated policy for ties.

With one relevant item, the result of an instance is two counts: the candidates scored above the target, and those tied
with it. The target's rank lies between `above + 1` and `above + tied + 1`. Report the expected metric under random
tie-breaking; the optimistic and the pessimistic one bound it. The position that a sort gives the target is kept only on
request, to compare with code that leaves ties to a sort.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray

TiePolicy = Literal["expected", "optimistic", "pessimistic", "argsort-target-last"]
TIE_POLICIES: tuple[TiePolicy, ...] = ("expected", "optimistic", "pessimistic")  # those that the counts suffice for


@dataclass(frozen=True, eq=False)
class Ranks:
    """Count, per instance, the candidates that score above the target or tie with it."""

    above: IntArray  # [n]
    tied: IntArray  # [n]
    sort_position: IntArray | None = None  # [n] from 0, where NumPy's default sort puts a target that comes last

    def take(self, rows: NDArray[np.bool_]) -> Self:
        """Return the ranks of some instances ([n], boolean)."""
        return type(self)(**{name: array[rows] for name, array in self.to_arrays().items()})

    def to_arrays(self) -> dict[str, IntArray]:
        """Return the arrays by name, for a file."""
        return {name: array for name, array in vars(self).items() if array is not None}

    def hit(self, k: int, tie_policy: TiePolicy = "expected") -> NDArray[np.float64]:
        """Return hit@k [n]: 1 if the target is among the first k."""
        return self._average_gain(np.ones(k), tie_policy)

    def ndcg(self, k: int, tie_policy: TiePolicy = "expected") -> NDArray[np.float64]:
        """Return NDCG@k [n]: 1 / log2(rank + 1) up to rank k, then 0."""
        return self._average_gain(1 / np.log2(np.arange(2, k + 2)), tie_policy)

    def _average_gain(self, gains: NDArray[np.float64], tie_policy: TiePolicy) -> NDArray[np.float64]:
        """Average `gains` ([k] by position, zero beyond) over the positions that the target may take."""
        first = self.above + (self.tied if tie_policy == "pessimistic" else 0)
        last = self.above + (0 if tie_policy == "optimistic" else self.tied)
        if tie_policy == "argsort-target-last":
            if self.sort_position is None:
                raise ValueError("tie_policy=argsort-target-last needs ranks made with keep_sort_position=True")
            first = last = self.sort_position
        cumulative = np.concatenate([[0.0], np.cumsum(gains)])
        k = len(gains)
        return (cumulative[np.minimum(last + 1, k)] - cumulative[np.minimum(first, k)]) / (last - first + 1)


def count_ranks(scores: NDArray[np.floating], target_columns: IntArray, keep_sort_position: bool = False) -> Ranks:
    """Count the candidates above each target, and those tied with it.

    Args:
        scores: [n, C]; −∞ stands for no candidate. A target of −∞ comes after all candidates.
        target_columns: [n] the column of each row's target.
        keep_sort_position: Whether to keep the target's position among the distances (−score), ascending. The target is
            appended to the others, and NumPy's default sort, which is not stable, orders them. With ties, the position
            is no property of the scores alone.
    """
    target = np.take_along_axis(scores, target_columns[:, None], axis=1)
    above = (scores > target).sum(axis=1)
    tied = np.where(np.isneginf(target[:, 0]), 0, (scores == target).sum(axis=1) - 1)
    if not keep_sort_position:
        return Ranks(above, tied)
    last = scores.shape[1] - 1
    columns = np.arange(last) + (np.arange(last) >= target_columns[:, None])  # all but the target's
    distances = -np.column_stack([np.take_along_axis(scores, columns, axis=1), target])
    position = (np.argsort(distances, axis=1) == last).argmax(axis=1)
    return Ranks(above, tied, np.minimum(position, above + tied))  # less only where the target is no candidate


def summarize(ranks: Ranks, ks: Iterable[int] = (1, 5, 10, 20)) -> dict[str, dict[TiePolicy, float]]:
    """Return the mean metrics over instances, by metric and tie policy.

    For example {"hit@10": {"expected": …, "optimistic": …, "pessimistic": …}, "NDCG@10": …}. Ranks with a sort position
    have "argsort-target-last" as a fourth policy.
    """
    metrics = {}
    policies = TIE_POLICIES if ranks.sort_position is None else (*TIE_POLICIES, "argsort-target-last")
    for k in ks:
        metrics[f"hit@{k}"] = {policy: float(ranks.hit(k, policy).mean()) for policy in policies}
        metrics[f"NDCG@{k}"] = {policy: float(ranks.ndcg(k, policy).mean()) for policy in policies}
    return metrics


def count_ties(ranks: Ranks) -> dict[str, float]:
    """Return the share of tied targets, and the mean number of candidates tied with them."""
    is_tied = ranks.tied > 0
    mean = float(ranks.tied[is_tied].mean()) if is_tied.any() else 0.0
    return {"tied_share": float(is_tied.mean()), "mean_tied": mean}
