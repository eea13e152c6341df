"""Which trials are stopped, and when."""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmr.experiments.tuning.pruning import FIRST_EPOCH, MIN_CURVES, PERCENTILE, History, make_watch
from sdmr.experiments.tuning.pruning import summarize as summarize_trial
from sdmr.harness.training.loop import StopTraining
from tests.experiments.tuning.measure_pruning import find_end

curves = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def make_history(curve: Sequence[float], seconds: float = 0) -> History:
    """Return epochs with these validation values, each of which takes the CPU seconds for training and for ranking."""
    times = {"fit_cpu_seconds": seconds, "rank_cpu_seconds": seconds}
    return [{"epoch": 0}, *({"epoch": epoch, "validation": value} | times for epoch, value in enumerate(curve, 1))]


def find_trial_end(curve: Sequence[float], finished: Sequence[Sequence[float]]) -> int:
    return find_end(make_history(curve), [make_history(one) for one in finished])


def find_end_naively(curve: Sequence[float], finished: Sequence[Sequence[float]]) -> int:
    for epoch in range(FIRST_EPOCH, len(curve)):
        values = [max(one[:epoch]) for one in finished]  # all of one that has ended before
        if len(finished) >= MIN_CURVES and max(curve[:epoch]) < float(np.percentile(values, PERCENTILE)):
            return epoch
    return len(curve)


def test_the_rule_is_the_documented_one() -> None:
    assert (MIN_CURVES, FIRST_EPOCH, 3 * PERCENTILE) == (4, 3, 100)


@given(curves, st.lists(curves, max_size=8))
def test_a_trial_ends_where_its_best_value_is_below_the_lower_third_of_the_finished_ones(
    curve: list[float], finished: list[list[float]]
) -> None:
    assert find_trial_end(curve, finished) == find_end_naively(curve, finished)


def test_a_finished_trial_counts_with_its_best_value_after_its_end() -> None:
    two_epochs = [[0.5, 0.6]] * MIN_CURVES
    assert find_trial_end([0.1, 0.2, 0.59, 0.61, 0.7], two_epochs) == 3
    assert find_trial_end([0.1, 0.2, 0.6, 0.5, 0.4], two_epochs) == 5


def test_no_trial_is_stopped_before_enough_have_finished_nor_in_its_first_epochs() -> None:
    good = [[0.9] * 9]
    assert find_trial_end([0.0] * 9, good * (MIN_CURVES - 1)) == 9
    assert find_trial_end([0.0] * 9, good * MIN_CURVES) == FIRST_EPOCH
    assert find_trial_end([0.0] * 9, [[]] * MIN_CURVES) == 9  # of models without epochs


@pytest.mark.parametrize(
    ("values", "budget", "stops"),
    [
        ([0.5], 30, False),  # exactly the budget
        ([0.5], 29, True),
        ([0.9], 29, True),  # be it the best of all
        ([0.5, 0.9], 60, False),
        ([0.1], -5, True),  # another trial has exceeded the budget
        ([], -5, False),  # every trial has an epoch
    ],
)
def test_a_trial_stops_when_the_budget_is_spent(values: list[float], budget: float, stops: bool) -> None:
    watch = make_watch([make_history([0.2, 0.6, 0.4]), make_history([0.5])], budget)
    assert watch
    with pytest.raises(StopTraining) if stops else nullcontext():
        watch(make_history(values, seconds=15))


def test_without_pruning_the_budget_alone_stops_a_trial() -> None:
    finished = [make_history([0.9] * 5)] * MIN_CURVES
    hopeless = make_history([0.1] * FIRST_EPOCH, seconds=10)
    for prune, budget, stops in ((True, 999, True), (False, 999, False), (False, 10 * FIRST_EPOCH - 1, True)):
        watch = make_watch(finished, budget, prune)
        assert watch
        with pytest.raises(StopTraining) if stops else nullcontext():
            watch(hopeless)


def test_a_trial_that_knows_of_no_finished_one_may_exceed_the_budget() -> None:
    assert make_watch([], 0) is None
    assert make_watch([[]], 0) is None  # of models without epochs


def test_the_start_does_not_count() -> None:
    start = [{"epoch": 0, "validation": 0.9}]
    finished = [start + make_history([0.5, 0.6, 0.7, 0.8])[1:]] * MIN_CURVES
    assert find_end(start + make_history([0.5, 0.6, 0.6, 0.8])[1:], finished) == 3
    assert find_end(start + make_history([0.5, 0.6, 0.7, 0.8])[1:], finished) == 4


def test_an_unfinished_trial_has_the_best_value_and_all_processor_seconds_of_its_epochs() -> None:
    entry = {"fit_cpu_seconds": 1.0, "rank_cpu_seconds": 2.0}
    history = [{"epoch": 0, "validation": 0.9}, *(entry | {"validation": value} for value in (0.1, 0.3, 0.2))]
    assert summarize_trial(history) == (3, 0.3, 9.0)
    assert summarize_trial([]) == (None, -1.0, 0.0)
