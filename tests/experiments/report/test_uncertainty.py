"""Intervals, tests and corrections, against SciPy, textbooks and simulation."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import norm, pearsonr, t, ttest_1samp, ttest_ind

from sdmr.experiments.report.uncertainty import (
    Estimate,
    Interval,
    SeedPart,
    bootstrap_correlation,
    compute_correlation,
    correct_by_holm,
    cut_tails,
    estimate_difference,
    estimate_mean,
    get_sign,
    judge_size,
)


def test_mean_over_users_alone_is_a_t_test() -> None:
    values = np.random.default_rng(2).random(300) ** 2 - 0.3
    one, known = estimate_mean(np.arange(300), values[None]), ttest_1samp(values, 0)
    assert one.value == pytest.approx(values.mean())
    assert one.interval() == pytest.approx(tuple(known.confidence_interval()))
    assert one.p_value() == pytest.approx(known.pvalue)


def test_baskets_of_a_user_count_together() -> None:
    """The error is that of a bootstrap over users; it is larger than that of as many independent baskets."""
    rng = np.random.default_rng(3)
    users = rng.integers(80, size=600)
    values = np.clip((users % 2) + rng.normal(0, 0.1, size=600), 0, 1.2)  # a user's baskets are much alike
    baskets = [values[users == user] for user in range(80)]
    drawn = rng.integers(80, size=(4000, 80))
    means = [np.concatenate([baskets[user] for user in one]).mean() for one in drawn]
    one = estimate_mean(users, values[None])
    assert one.value == pytest.approx(values.mean())
    assert one.user_variance**0.5 == pytest.approx(np.std(means), rel=0.05)
    assert one.user_variance > 4 * estimate_mean(np.arange(600), values[None]).user_variance


def test_variance_of_crossed_users_and_seeds_is_that_of_the_analysis_of_variance() -> None:
    """The three mean squares of a table of users and seeds, in plain loops: (users + seeds − interaction) / cells."""
    rng = np.random.default_rng(4)
    table = rng.normal(size=(3, 1)) + rng.normal(size=(1, 40)) + rng.normal(size=(3, 40))
    seed_means, user_means, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    users = sum(3 * (value - mean) ** 2 for value in user_means) / 39
    seeds = sum(40 * (value - mean) ** 2 for value in seed_means) / 2
    interaction = sum(
        (table[s, u] - seed_means[s] - user_means[u] + mean) ** 2 for s in range(3) for u in range(40)
    ) / (2 * 39)
    one = estimate_mean(np.arange(40), table)
    assert one.user_variance + seed_means.var(ddof=1) / 3 == pytest.approx((users + seeds - interaction) / 120)


def test_difference_of_two_trained_rows_without_users_is_nearly_welchs() -> None:
    """Where the users say nothing, two seed parts remain. They weigh the same, so doubling them changes nothing."""
    first, second = np.array([0.3, 0.36, 0.31]), np.array([0.2, 0.29, 0.26])
    parts = tuple(SeedPart(one.var(ddof=1), 3, 2) for one in (first, second))
    one, known = Estimate(first.mean() - second.mean(), 0.0, 943, parts), ttest_ind(first, second, equal_var=False)
    assert one.interval() == pytest.approx(tuple(known.confidence_interval()))
    assert one.p_value() == pytest.approx(known.pvalue)


def test_three_seeds_that_differ_more_than_users_leave_about_two_degrees_of_freedom() -> None:
    """In units of the users' error: the error of three seeds is 3, so that t lies between those of 2 and 3 degrees."""
    low, high = Estimate(0.0, 1.0, 943, (SeedPart(3 * 9.0, 3, 2),)).interval()
    assert t.ppf(0.975, 3) < high / math.sqrt(1 + 9) < t.ppf(0.975, 2)
    assert low == -high


def test_interval_for_one_new_run_has_the_variance_of_one_seed_and_of_other_users() -> None:
    one = Estimate(0.4, 1e-4, 10**9, (SeedPart(4e-4, 3, 10**9),))
    low, high = one.run_interval()
    assert (high - 0.4, 0.4 - low) == pytest.approx((norm.ppf(0.975) * math.sqrt(2e-4 + 4e-4 * (1 + 1 / 3)),) * 2)


def test_equal_values_show_no_difference() -> None:
    same, apart = (estimate_mean(np.arange(50), np.full((1, 50), value)) for value in (0.0, 0.1))
    assert (same.interval(), same.p_value()) == ((0.0, 0.0), 1.0)
    assert apart.p_value() == 0.0


def test_of_a_single_user_there_is_no_interval_and_no_difference() -> None:
    one = estimate_mean(np.zeros(12, dtype=np.int64), np.array([[1.0] * 7 + [0.0] * 5]))
    assert one.p_value() == 1.0
    assert np.isnan([*one.interval(), *one.run_interval()]).all()


SEEDS_PER_USER_ERROR = (0.0, 0.3, 1.0, 3.0)  # the error of the seeds in units of the users'; our tables have 0.1 to 1.3


def simulate_hits(
    rng: np.random.Generator, users: int, seeds: int, ratio: float
) -> Iterator[tuple[Estimate, Estimate, float, float]]:
    """Yield the mean of a row and the difference of two with equal means, and hit@10 of a new run and its difference.

    A user's hit is a sum of user, seed and interaction above 0. The interaction has the size that it has in our tables.
    The two rows share half of the users' variance.
    """
    seed_deviation = ratio * math.sqrt(0.2 * seeds / users) / norm.pdf(0)  # 0.2: about the variance of a user's hits

    def draw_row(ability: np.ndarray, count: int) -> np.ndarray:
        effect = rng.normal(0, 1, len(ability))
        seed = rng.normal(0, seed_deviation * math.sqrt(1.15), (count, 1))
        return (0.7 * ability + 0.7 * effect + seed + rng.normal(0, 0.4, (count, len(ability))) > 0).astype(float)

    def make_part(values: np.ndarray) -> tuple[SeedPart, ...]:
        return (SeedPart(values.mean(axis=1).var(ddof=1), seeds, seeds - 1),)

    numbers = np.arange(users)
    while True:
        ability = rng.normal(0, 1, users)
        first, second = draw_row(ability, seeds), draw_row(ability, seeds)
        parts = make_part(first), make_part(second)
        one = estimate_mean(numbers, first, parts[0])
        difference = estimate_difference(numbers, first, second, parts[0] + parts[1])
        others = rng.normal(0, 1, users)
        run, other_run = draw_row(others, 1).mean(), draw_row(others, 1).mean()
        yield one, difference, run, run - other_run


def measure_coverage(users: int, seeds: int, ratio: float, repetitions: int) -> dict[str, float]:
    """Return how often each 95 % interval holds what it is for. The true mean is .5, the true difference 0."""
    hits = []
    draws = simulate_hits(np.random.default_rng(0), users, seeds, ratio)
    for (one, difference, run, run_difference), _ in zip(draws, range(repetitions), strict=False):
        pairs = [(one.interval(), 0.5), (difference.interval(), 0), (one.run_interval(), run)]
        pairs.append((difference.run_interval(), run_difference))
        hits.append([low <= truth <= high for (low, high), truth in pairs])
    return dict(zip(("mean", "difference", "run", "difference of runs"), np.mean(hits, axis=0), strict=True))


def check_coverage(users: int, seeds: int, ratio: float, repetitions: int) -> None:
    coverage = measure_coverage(users, seeds, ratio, repetitions)
    assert min(coverage.values()) >= 0.93, coverage
    assert max(coverage.values()) <= 0.97 + 2 * math.sqrt(0.97 * 0.03 / repetitions), coverage


@pytest.mark.parametrize("ratio", SEEDS_PER_USER_ERROR)
def test_intervals_over_three_seeds_hold_the_truth_as_often_as_they_say(ratio: float) -> None:
    check_coverage(943, 3, ratio, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("ratio", SEEDS_PER_USER_ERROR)
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("users", [943, 6040])
def test_intervals_hold_the_truth_as_often_as_they_say(users: int, seeds: int, ratio: float) -> None:
    check_coverage(users, seeds, ratio, 2000)


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        ("+", ["larger", "as printed", "as printed", "as printed", "smaller"]),
        ("−", ["opposite"] * 5),
        ("?", ["absent", "undecided", "undecided", "undecided", "absent"]),
    ],
)
def test_size_counts_the_bounds_as_printed(sign: str, words: list[str]) -> None:
    assert [judge_size(printed, Interval(0.4, 0.5), sign) for printed in (0.39, 0.4, 0.45, 0.5, 0.51)] == words


def test_holm_correction_is_the_textbooks() -> None:
    assert correct_by_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct_by_holm([0.9, 0.8]) == [1.0, 1.0]
    assert correct_by_holm([]) == []


def test_interval_of_a_correlation_resamples_users() -> None:
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(400), 3)
    x = rng.normal(size=1200)
    y = 0.3 * x + rng.normal(size=1200) + 5
    assert compute_correlation(x, y) == pytest.approx(pearsonr(x, y).statistic)
    low, high = bootstrap_correlation(users, x, y)
    known = pearsonr(x, y).confidence_interval()
    assert low == pytest.approx(known.low, abs=0.005)
    assert high == pytest.approx(known.high, abs=0.005)
    # Instances that are copies of each other tell no more than one of them.
    repeated = bootstrap_correlation(np.tile(users, 4), np.tile(x, 4), np.tile(y, 4))
    assert repeated == pytest.approx((low, high), abs=1e-9)


def test_tails_hold_five_percent_together() -> None:
    assert cut_tails(np.arange(1001.0)) == pytest.approx((25, 975))


def test_without_a_test_there_is_no_sign() -> None:
    assert [get_sign(*one) for one in ((0.1, 0.04), (-0.1, 0.04), (0.1, 0.05), (0.0, math.nan))] == ["+", "−", "?", "?"]
