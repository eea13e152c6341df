"""Turn scores into ranks and metrics, with a stated policy for ties.

With one relevant item, the result of an instance is two counts: the candidates scored above the target, and those tied
with it. The target's rank lies between `above + 1` and `above + tied + 1`. Report the expected metric under random
tie-breaking; the optimistic and the pessimistic one bound it. The position that a sort gives the target is kept only on
request, to compare with code that leaves ties to a sort.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray

CUTOFFS = (1, 5, 10, 20, 50)  # of records
METRIC_NAMES = ("hit", "NDCG", "MRR", "AUC", "mean-rank")  # the first two with a cutoff
TiePolicy = Literal["expected", "optimistic", "pessimistic", "argsort-target-last"]
TIE_POLICIES: tuple[TiePolicy, ...] = ("expected", "optimistic", "pessimistic")  # those that the counts suffice for


@dataclass(frozen=True, eq=False)
class Ranks:
    """Count, per instance, the candidates that score above the target or tie with it."""

    above: IntArray  # [n]
    tied: IntArray  # [n]
    sort_position: IntArray | None = None  # [n] from 0, where NumPy's default sort puts a target that comes last
    others: IntArray | None = None  # [n] candidates beside the target; older files do not tell

    def take(self, rows: NDArray[np.bool_]) -> Self:
        """Return the ranks of some instances ([n], boolean)."""
        return type(self)(**{name: array[rows] for name, array in self.to_arrays().items()})

    def to_arrays(self) -> dict[str, IntArray]:
        """Return the arrays by name, for a file."""
        return {name: array for name, array in vars(self).items() if array is not None}

    def compute(self, metric: str, tie_policy: TiePolicy = "expected") -> NDArray[np.float64]:
        """Return a metric by its name [n]: hit@k, NDCG@k, MRR, AUC or mean-rank.

        Raises ValueError for the AUC of ranks that do not tell the number of candidates.
        """
        name, _, cutoff = metric.partition("@")
        if name in ("hit", "NDCG"):
            return (self.hit if name == "hit" else self.ndcg)(int(cutoff), tie_policy)
        first, last = self._bound_positions(tie_policy)
        if name == "MRR":
            return self._average_gain(1 / np.arange(1, last.max(initial=0) + 2), tie_policy)
        if name == "mean-rank":
            return (first + last) / 2 + 1
        if self.others is None:
            raise ValueError("AUC needs the numbers of candidates, which older ranks lack: make the run again")
        return 1 - (first + last) / 2 / np.maximum(self.others, 1)

    def hit(self, k: int, tie_policy: TiePolicy = "expected") -> NDArray[np.float64]:
        """Return hit@k [n]: 1 if the target is among the first k."""
        return self._average_gain(np.ones(k), tie_policy)

    def ndcg(self, k: int, tie_policy: TiePolicy = "expected") -> NDArray[np.float64]:
        """Return NDCG@k [n]: 1 / log2(rank + 1) up to rank k, then 0."""
        return self._average_gain(1 / np.log2(np.arange(2, k + 2)), tie_policy)

    def _average_gain(self, gains: NDArray[np.float64], tie_policy: TiePolicy) -> NDArray[np.float64]:
        """Average `gains` ([k] by position, zero beyond) over the positions that the target may take."""
        first, last = self._bound_positions(tie_policy)
        cumulative = np.concatenate([[0.0], np.cumsum(gains)])
        k = len(gains)
        return (cumulative[np.minimum(last + 1, k)] - cumulative[np.minimum(first, k)]) / (last - first + 1)

    def _bound_positions(self, tie_policy: TiePolicy) -> tuple[IntArray, IntArray]:
        """Return the first and the last position, from 0, that the target may take [n]."""
        if tie_policy == "argsort-target-last":
            if self.sort_position is None:
                raise ValueError("tie_policy=argsort-target-last needs ranks made with keep_sort_position=True")
            return self.sort_position, self.sort_position
        first = self.above + (self.tied if tie_policy == "pessimistic" else 0)
        return first, self.above + (0 if tie_policy == "optimistic" else self.tied)


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
    is_candidate = ~np.isneginf(target[:, 0])
    above = (scores > target).sum(axis=1)
    tied = np.where(is_candidate, (scores == target).sum(axis=1) - 1, 0)
    ranks = Ranks(above, tied, others=(scores > -np.inf).sum(axis=1) - is_candidate)
    if not keep_sort_position:
        return ranks
    last = scores.shape[1] - 1
    columns = np.arange(last) + (np.arange(last) >= target_columns[:, None])  # all but the target's
    distances = -np.column_stack([np.take_along_axis(scores, columns, axis=1), target])
    position = (np.argsort(distances, axis=1) == last).argmax(axis=1)
    return replace(
        ranks, sort_position=np.minimum(position, above + tied)
    )  # less only where the target is no candidate


def list_metrics(names: Collection[str], cutoffs: Iterable[int]) -> list[str]:
    """Return metrics with their cutoffs: hit and NDCG at each, then those without one."""
    cut = [f"{name}@{k}" for k in cutoffs for name in names if name in ("hit", "NDCG")]
    return [*cut, *(name for name in names if name not in ("hit", "NDCG"))]


def summarize(
    ranks: Ranks, cutoffs: Iterable[int] = CUTOFFS, metrics: Collection[str] = ("hit", "NDCG")
) -> dict[str, dict[TiePolicy, float]]:
    """Return the mean metrics over instances, by metric and tie policy.

    For example {"hit@10": {"expected": …, "optimistic": …, "pessimistic": …}, "NDCG@10": …}. Ranks with a sort position
    have "argsort-target-last" as a fourth policy.
    """
    policies = TIE_POLICIES if ranks.sort_position is None else (*TIE_POLICIES, "argsort-target-last")
    return {
        metric: {policy: float(ranks.compute(metric, policy).mean()) for policy in policies}
        for metric in list_metrics(metrics, cutoffs)
    }


def count_ties(ranks: Ranks) -> dict[str, float]:
    """Return the share of tied targets, and the mean number of candidates tied with them."""
    is_tied = ranks.tied > 0
    mean = float(ranks.tied[is_tied].mean()) if is_tied.any() else 0.0
    return {"tied_share": float(is_tied.mean()), "mean_tied": mean}
