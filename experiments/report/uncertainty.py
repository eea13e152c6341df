"""The uncertainty of a mean over users and seeds: intervals, tests, corrections, correlations."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from sdmr.datasets.interactions import IntArray

ALPHA = 0.05  # level of significance
RESAMPLES = 2000  # of a bootstrap
BLOCK = 100  # resamples at a time, to bound memory
SEED_WEIGHT = 2  # of seed variances in Satterthwaite's formula


class Size(StrEnum):
    """Our value beside the printed one, by the interval for one new run."""

    AS_PRINTED = "as printed"
    SMALLER = "smaller"
    LARGER = "larger"
    OPPOSITE = "opposite"
    ABSENT = "absent"
    UNDECIDED = "undecided"


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


class SeedPart(NamedTuple):
    """How far the seeds of a trained row differ."""

    variance: float  # s², of the metric over single seeds
    seeds: int  # that the row's mean is over
    degrees: int  # of freedom of s²


@dataclass(frozen=True)
class Estimate:
    """A mean over users and seeds, or a difference, with its variance.

    Users and seeds are crossed, so that each is a source of variance of its own (Searle, Casella and McCulloch,
    Variance Components, 1992).
    """

    value: float
    user_variance: float  # of the mean, without the interaction of users and seeds, which is in s²
    users: int
    seeds: tuple[SeedPart, ...] = ()  # of each trained row

    def interval(self) -> Interval:
        """Return the 95 % interval of the mean.

        It is value ± t √(user part + Σ s² / seeds).
        """
        return self._reach(*self._combine())

    def run_interval(self) -> Interval:
        """Return the 95 % interval for one new run, with other users, seeds and candidates.

        The run has the variance of one seed, and the users count twice, ours and its: value ± t √(2 user part +
        Σ s² (1 + 1 / seeds)).
        """
        return self._reach(*self._combine(users=2, runs=1))

    def p_value(self) -> float:
        """Return the two-sided p value of a mean of 0. It is 1 for a single user, of whom no test can be made."""
        if self.users == 1:
            return 1.0
        error, degrees = self._combine()
        return float(2 * t.sf(abs(self.value) / error, degrees)) if error else float(not self.value)

    def _combine(self, users: int = 1, runs: int = 0) -> tuple[float, float]:
        """Return the standard error and its degrees of freedom.

        These are those of Satterthwaite (Biometrics Bulletin, 1946) and Welch (Biometrika, 1947), (Σ V)² / Σ (V² / df)
        over the parts V, with seed parts doubled. The s² of three seeds is often far too small, and the plain formula
        then gives too many degrees: a simulation covers 92 % (tests/experiments/report/test_uncertainty.py). Doubled,
        it covers 94 to 97 %.
        """
        parts = [users * self.user_variance, *(s.variance * (runs + 1 / s.seeds) for s in self.seeds)]
        weighted = np.array([parts[0], *(SEED_WEIGHT * part for part in parts[1:])])
        degrees = np.array([max(self.users - 1, 1), *(s.degrees for s in self.seeds)])
        spread = float((weighted**2 / degrees).sum())
        return math.sqrt(sum(parts)), float(weighted.sum()) ** 2 / spread if spread else math.inf

    def _reach(self, error: float, degrees: float) -> Interval:
        if self.users == 1:
            return Interval(math.nan, math.nan)
        reach = float(t.ppf(0.975, degrees)) * error
        return Interval(self.value - reach, self.value + reach)


def sum_by_user(users: IntArray, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return sums of `values` [seeds, n] by user [seeds, n_users], and counts [n_users]."""
    _, inverse = np.unique(users, return_inverse=True)
    return np.stack([np.bincount(inverse, weights=one) for one in values]), np.bincount(inverse)


def estimate_mean(users: IntArray, values: NDArray[np.float64], seeds: tuple[SeedPart, ...] = ()) -> Estimate:
    """Estimate the mean of `values` [seeds, n].

    With T a user's sum over all baskets, N its number of baskets, m the mean, and bars over S seeds, the user part is
    Σ (T̄ − m N)² / (Σ N)² · n / (n − 1) (ratio estimator; Cochran, Sampling Techniques, 1977, 2.11). It holds the
    interaction of users and seeds, as s² does. So the mean square of the interaction,
    Σ (T − T̄ − (m_s − m) N)² / (S (S − 1) (Σ N)²) · n / (n − 1), is taken off once.
    """
    return _estimate(users, [values], seeds)


def estimate_difference(
    users: IntArray, first: NDArray[np.float64], second: NDArray[np.float64], seeds: tuple[SeedPart, ...] = ()
) -> Estimate:
    """Estimate the mean of `first` minus that of `second`.

    Both are [seeds, n], and may have different numbers of seeds. T is the user's sum of differences. Seeds are not
    paired: the mean squares of both interactions are taken off.
    """
    return _estimate(users, [first, -second], seeds)


def _estimate(users: IntArray, rows: Sequence[NDArray[np.float64]], seeds: tuple[SeedPart, ...]) -> Estimate:
    """Estimate the sum of the means of `rows` [seeds, n]."""
    averages = np.zeros(len(np.unique(users)))  # T̄ − m N
    value = interaction = 0.0
    for values in rows:
        totals, count = sum_by_user(users, values)
        means = totals.sum(axis=1) / count.sum()
        residuals = totals - np.outer(means, count)
        averages += residuals.mean(axis=0)
        value += float(means.mean())
        n_seeds = len(totals)
        interaction += float(((residuals - residuals.mean(axis=0)) ** 2).sum()) / (n_seeds * max(n_seeds - 1, 1))
    n = len(averages)
    variance = max(float((averages**2).sum()) - interaction, 0.0) / len(users) ** 2 * n / max(n - 1, 1)
    return Estimate(value, variance, n, seeds)


def get_sign(difference: float, p: float) -> str:
    """Return + or − for a significant difference, else "?".

    The latter also where no test was possible, and p is NaN.
    """
    if not p < ALPHA:
        return "?"
    return "+" if difference > 0 else "−"


def correct_by_holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p values of a family of tests by Holm's method (1979)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = p.argsort(kind="stable")
    steps = np.minimum(1.0, np.arange(len(p), 0, -1) * p[order])
    p[order] = np.maximum.accumulate(steps)
    return [float(corrected) for corrected in p]


def judge_size(printed: float, run: Interval, sign: str = "+") -> Size:
    """Compare our value with the printed one by the interval for one new run.

    Args:
        printed: The paper's value, of a difference above 0.
        run: The interval.
        sign: `+`, `−` or `?`: our difference is there, is opposite, or is not shown.
    """
    if sign == "−":
        return Size.OPPOSITE
    is_inside = run.low <= printed <= run.high
    if sign == "?":
        return Size.UNDECIDED if is_inside else Size.ABSENT
    return Size.AS_PRINTED if is_inside else Size.SMALLER if printed > run.high else Size.LARGER


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
    return cut_tails(_correlate(sums))


def correlate_orders(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Kendall's τ_b of x and y [..., rows], NaN for constants."""
    first, second = np.triu_indices(x.shape[-1], 1)
    x, y = (np.sign(values[..., first] - values[..., second]) for values in (x, y))
    with np.errstate(invalid="ignore"):
        return (x * y).sum(axis=-1) / np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))


def bootstrap_means(totals: NDArray[np.float64], counts: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield ratios of sums over resampled users: blocks of [resamples, columns], `RESAMPLES` in all.

    Args:
        totals, counts: The sums of each user's values, and their numbers [n_users, columns].
    """
    rng, n = np.random.default_rng(0), len(totals)
    for _ in range(RESAMPLES // BLOCK):
        weights = np.stack([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(BLOCK)]).astype(float)
        with np.errstate(invalid="ignore"):  # 0 / 0 without any instance
            yield (weights @ totals) / (weights @ counts)


def cut_tails(estimates: NDArray[np.float64]) -> Interval:
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
