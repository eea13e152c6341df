"""Intervals, paired tests and corrections, against SciPy and textbooks."""

import numpy as np
import pytest
from scipy.stats import bootstrap, pearsonr, t

from sdmr.experiments.report.uncertainty import (
    Interval,
    bootstrap_correlation,
    bootstrap_mean,
    compare_pairs,
    compute_correlation,
    correct_by_holm,
    judge_paper_value,
)


def test_interval_is_a_percentile_bootstrap_over_users() -> None:
    rng = np.random.default_rng(2)
    values = rng.random(300) ** 2
    low, high = bootstrap_mean(np.arange(300), values)
    known = bootstrap((values,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(1))
    width = known.confidence_interval.high - known.confidence_interval.low
    assert low == pytest.approx(known.confidence_interval.low, abs=0.08 * width)
    assert high == pytest.approx(known.confidence_interval.high, abs=0.08 * width)


def test_baskets_of_a_user_are_resampled_together() -> None:
    rng = np.random.default_rng(3)
    users = rng.integers(80, size=600)
    values = np.clip((users % 2) + rng.normal(0, 0.1, size=600), 0, 1.2)  # a user's baskets are much alike
    total = np.array([values[users == user].sum() for user in range(80)])
    count = np.array([(users == user).sum() for user in range(80)])
    known = bootstrap(
        (total, count),
        lambda total, count, axis: total.sum(axis) / count.sum(axis),
        paired=True,
        n_resamples=5000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    order = rng.permutation(600)
    low, high = bootstrap_mean(users[order], values[order])
    assert low == pytest.approx(known.low, abs=0.08 * (known.high - known.low))
    assert high == pytest.approx(known.high, abs=0.08 * (known.high - known.low))
    alone = bootstrap_mean(np.arange(600), values)
    assert high - low > 2 * (alone.high - alone.low)


def test_interval_is_the_same_each_time() -> None:
    values = np.random.default_rng(0).random(50)
    assert bootstrap_mean(np.arange(50), values) == bootstrap_mean(np.arange(50), values)


def test_verdict_counts_the_bounds_as_inside() -> None:
    verdicts = [judge_paper_value(paper, Interval(0.4, 0.5)) for paper in (0.39, 0.4, 0.45, 0.5, 0.51)]
    assert verdicts == ["paper lower", "inside", "inside", "inside", "paper higher"]


def test_holm_correction_is_the_textbooks() -> None:
    assert correct_by_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct_by_holm([0.9, 0.8]) == [1.0, 1.0]
    assert correct_by_holm([]) == []


def test_paired_test_is_the_textbooks() -> None:
    rng = np.random.default_rng(0)
    values, others = rng.random((2, 50))
    differences = values - others
    error = differences.std(ddof=1) / np.sqrt(50)
    difference, low, high, p = compare_pairs(values, others)
    assert difference == pytest.approx(differences.mean())
    assert (low, high) == pytest.approx(t.interval(0.95, 49, differences.mean(), error))
    assert p == pytest.approx(2 * t.sf(abs(differences.mean() / error), 49))


def test_paired_test_of_equal_values_finds_no_difference() -> None:
    values = np.random.default_rng(0).random(50)
    assert compare_pairs(values, values) == (0.0, 0.0, 0.0, 1.0)


def test_interval_of_a_correlation_resamples_users() -> None:
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(400), 3)
    x = rng.normal(size=1200)
    y = 0.3 * x + rng.normal(size=1200) + 5
    assert compute_correlation(x, y) == pytest.approx(pearsonr(x, y).statistic)
    low, high = bootstrap_correlation(users, x, y)
    known = pearsonr(x, y).confidence_interval()
    assert low == pytest.approx(known.low, abs=0.02)
    assert high == pytest.approx(known.high, abs=0.02)
    # Instances that are copies of each other tell no more than one of them.
    repeated = bootstrap_correlation(np.tile(users, 4), np.tile(x, 4), np.tile(y, 4))
    assert repeated == pytest.approx((low, high), abs=1e-9)
