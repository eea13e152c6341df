"""The uncertainty of a mean over users: intervals, paired tests, correlations."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from sdmr.datasets.interactions import IntArray

RESAMPLES = 2000  # of a bootstrap
Verdict = Literal["", "paper lower", "inside", "paper higher"]


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


class PairedTest(NamedTuple):
    """The mean difference of two models over users, its 95 % interval and p value."""

    difference: float
    low: float
    high: float
    p: float


def aggregate_by_user(users: IntArray, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum and the number of the values ([n]) of each user."""
    _, inverse = np.unique(users, return_inverse=True)
    return np.bincount(inverse, weights=values).astype(np.float64), np.bincount(inverse).astype(np.float64)


def bootstrap_mean(users: IntArray, values: NDArray[np.float64]) -> Interval:
    """Return the 95 % percentile bootstrap interval of the mean of `values` [n].

    Users are resampled, not instances, since the baskets of one user are not independent.
    """
    total, count = aggregate_by_user(users, values)
    rng = np.random.default_rng(0)
    means = np.empty(RESAMPLES)
    for n in range(RESAMPLES):
        drawn = rng.integers(len(total), size=len(total))
        means[n] = total[drawn].sum() / count[drawn].sum()
    return _cut_tails(means)


def compare_pairs(values: NDArray[np.float64], others: NDArray[np.float64]) -> PairedTest:
    """Test `values` against `others` ([n_users] each, the same users) by a paired t-test.

    The tables compare means, and there are hundreds of users or more.
    """
    if (values == others).all():
        return PairedTest(0.0, 0.0, 0.0, 1.0)
    test = ttest_rel(values, others)
    low, high = test.confidence_interval()
    return PairedTest(float((values - others).mean()), float(low), float(high), float(test.pvalue))


def correct_by_holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p values of a family of tests by Holm's method (1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = p.argsort(kind="stable")
    steps = np.minimum(1.0, np.arange(len(p), 0, -1) * p[order])
    p[order] = np.maximum.accumulate(steps)
    return [float(corrected) for corrected in p]


def judge_paper_value(paper: float, interval: Interval) -> Verdict:
    """Return where the paper's value lies, seen from our 95 % interval; nothing for NaN."""
    if math.isnan(paper):
        return ""
    return "paper higher" if paper > interval.high else "paper lower" if paper < interval.low else "inside"


def compute_correlation(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Return Pearson's r of x and y ([n] each); NaN where either is constant."""
    return float(_correlate(_compute_moments(x, y).sum(axis=0)))


def bootstrap_correlation(users: IntArray, x: NDArray[np.floating], y: NDArray[np.floating]) -> Interval:
    """Return the 95 % percentile bootstrap interval of r over resampled users."""
    _, inverse = np.unique(users, return_inverse=True)
    total = np.stack([np.bincount(inverse, weights=column) for column in _compute_moments(x, y).T], axis=1)
    rng = np.random.default_rng(0)
    sums = np.empty((RESAMPLES, total.shape[1]))
    for n in range(RESAMPLES):
        sums[n] = np.bincount(rng.integers(len(total), size=len(total)), minlength=len(total)) @ total
    return _cut_tails(_correlate(sums))


def _cut_tails(estimates: NDArray[np.float64]) -> Interval:
    """Return the interval that holds the middle 95 % of a bootstrap's estimates."""
    low, high = np.percentile(estimates, [2.5, 97.5])
    return Interval(float(low), float(high))


def _compute_moments(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return 1, x, y, x², y², xy of centered x and y [n, 6]."""
    x, y = (np.asarray(values, dtype=np.float64) - values.mean(dtype=np.float64) for values in (x, y))
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def _correlate(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return r [...] from sums of moments [..., 6]."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (xy - x * y / n) / np.sqrt((xx - x * x / n) * (yy - y * y / n))
