"""How sure a mean over users is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from sdmr.datasets.interactions import IntArray


def by_user(users: IntArray, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and number of the instances' values ([n]) for each user who has any."""
    _, inverse = np.unique(users, return_inverse=True)
    return np.bincount(inverse, weights=values).astype(np.float64), np.bincount(inverse).astype(np.float64)


def interval(users: IntArray, values: NDArray[np.float64], resamples: int = 2000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of `values` [n].

    Users are resampled, not instances, since the baskets of one user are not independent.
    """
    total, number = by_user(users, values)
    rng = np.random.default_rng(0)
    means = np.empty(resamples)
    for n in range(resamples):
        drawn = rng.integers(len(total), size=len(total))
        means[n] = total[drawn].sum() / number[drawn].sum()
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def paired(values: NDArray[np.float64], others: NDArray[np.float64]) -> tuple[float, tuple[float, float], float]:
    """Mean of `values` less `others` ([n_users] each, the same users), its 95 % interval, and the p-value.

    A paired t-test, since means are what the tables compare and there are hundreds of users or more.
    """
    if (values == others).all():
        return 0.0, (0.0, 0.0), 1.0
    test = ttest_rel(values, others)
    low, high = test.confidence_interval()
    return float((values - others).mean()), (float(low), float(high)), float(test.pvalue)


def correlation(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Pearson's r of x and y ([n] each); NaN where either is constant."""
    return float(_correlation(_moments(x, y).sum(axis=0)))


def correlation_interval(
    users: IntArray, x: NDArray[np.floating], y: NDArray[np.floating], resamples: int = 2000
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of `correlation`; users are resampled with all that is theirs."""
    _, inverse = np.unique(users, return_inverse=True)
    total = np.stack([np.bincount(inverse, weights=column) for column in _moments(x, y).T], axis=1)
    rng = np.random.default_rng(0)
    sums = np.empty((resamples, total.shape[1]))
    for n in range(resamples):
        sums[n] = np.bincount(rng.integers(len(total), size=len(total)), minlength=len(total)) @ total
    low, high = np.percentile(_correlation(sums), [2.5, 97.5])
    return float(low), float(high)


def _moments(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float64]:
    """[n, 6] what r is made of, summed over instances: 1, x, y, x², y², xy, of x and y less their means."""
    x, y = (np.asarray(values, dtype=np.float64) - values.mean(dtype=np.float64) for values in (x, y))
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def _correlation(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """[...] r from sums of moments [..., 6]."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (xy - x * y / n) / np.sqrt((xx - x * x / n) * (yy - y * y / n))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of a family of tests, corrected by Holm's step-down method (Holm 1979), in the same order."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for done, place in enumerate(sorted(range(len(p_values)), key=lambda n: p_values[n])):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[place]))
        corrected[place] = largest
    return corrected


def verdict(paper: float, low: float, high: float) -> str:
    """Where the paper's value lies, seen from our 95 % interval."""
    return "above" if paper > high else "below" if paper < low else "within"
