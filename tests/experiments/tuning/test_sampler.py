"""The settings of the next trial, by the trials so far."""

from pathlib import Path
from typing import Any

import pytest

from sdmr.experiments.core.run import Run
from sdmr.experiments.tuning.sampler import Sampler
from sdmr.experiments.tuning.space import Settings
from sdmr.experiments.tuning.trial import Trial

AXES: dict[str, list[Any]] = {"model.dim": [8, 16, 32, 64], "model.negatives": ["all", "hardest"]}
DEFAULT = {"model.dim": 16, "model.negatives": "all"}
RUN = Run({}, "", "", "csv", Path("nowhere"))


def make_trials(sampler: Sampler, number: int, running: int = 0) -> list[Trial]:
    """Return trials that ended one after the other, by a score with one maximum; the last ones are running."""
    trials: list[Trial] = []
    for index in range(number):
        settings = sampler.suggest(trials)
        assert settings is not None
        score = 0.5 - abs(settings["model.dim"] - 32) / 100 - 0.1 * (settings["model.negatives"] == "all")
        trials.append(Trial(index, settings, RUN, state="complete", score=score))
    for trial in trials[number - running :]:
        trial.state, trial.score = "running", -1.0
    return trials


def list_settings(trials: list[Trial]) -> list[Settings]:
    return [trial.settings for trial in trials]


def test_the_default_settings_come_first_then_those_of_other_data_sets_each_once() -> None:
    first = [{"model.dim": 64}, {"model.negatives": "all"}, {"model.dim": 8, "model.negatives": "hardest"}]
    settings = list_settings(make_trials(Sampler(AXES, DEFAULT, first, seed=0), 3))
    assert settings == [DEFAULT, DEFAULT | first[0], DEFAULT | first[2]]


def test_a_grid_has_every_combination_once_the_default_and_tuned_settings_first() -> None:
    sampler = Sampler(AXES, DEFAULT, [{"model.dim": 64}], seed=0, is_grid=True)
    trials = make_trials(sampler, 8)
    settings = list_settings(trials)
    assert settings[:2] == [DEFAULT, DEFAULT | {"model.dim": 64}]
    assert sorted((one["model.dim"], one["model.negatives"]) for one in settings) == sorted(
        (dim, negatives) for dim in AXES["model.dim"] for negatives in AXES["model.negatives"]
    )
    assert sampler.suggest(trials) is None


def test_part_of_a_grid_has_the_last_values_of_a_long_axis_too() -> None:
    axes = {"model.dim": list(range(100)), "model.negatives": ["all", "hardest"]}
    for seed in range(5):
        settings = list_settings(make_trials(Sampler(axes, DEFAULT | {"model.dim": 0}, [], seed, is_grid=True), 60))
        assert sum(one["model.dim"] >= 50 for one in settings) > 15  # of 60; each half has 100 of all 200
        assert {one["model.negatives"] for one in settings} == {"all", "hardest"}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_sampler_tries_nothing_twice_and_ends_when_all_is_tried(seed: int) -> None:
    sampler = Sampler(AXES, DEFAULT, [], seed)
    trials = make_trials(sampler, 8)
    assert len({tuple(settings.values()) for settings in list_settings(trials)}) == 8
    assert sampler.suggest(trials) is None


def test_the_same_seed_and_trials_give_the_same_settings_another_seed_others() -> None:
    axes = {"model.dim": list(range(1, 60)), "model.negatives": ["all", "hardest"]}
    trials = make_trials(Sampler(axes, DEFAULT, [], seed=3), 12)
    assert list_settings(make_trials(Sampler(axes, DEFAULT, [], seed=3), 12)) == list_settings(trials)
    assert list_settings(make_trials(Sampler(axes, DEFAULT, [], seed=4), 12)) != list_settings(trials)
    again = Sampler(axes, DEFAULT, [], seed=3).suggest(trials[:7])  # as after a kill
    assert again == trials[7].settings


def test_a_running_trial_counts() -> None:
    axes = {"model.dim": list(range(1, 60)), "model.negatives": ["all", "hardest"]}
    sampler = Sampler(axes, DEFAULT, [], seed=3)
    trials = make_trials(sampler, 12, running=1)
    settings = sampler.suggest(trials)
    assert settings not in list_settings(trials)
    assert settings != sampler.suggest(trials[:-1])  # a second process that asks meanwhile has another seed


def test_trials_that_were_pruned_or_failed_or_lack_an_axis_are_understood() -> None:
    sampler = Sampler(AXES, DEFAULT, [], seed=0)
    trials = [
        Trial(0, DEFAULT, RUN, state="complete", score=0.5),
        Trial(1, {"model.dim": 8, "model.negatives": "all"}, RUN, state="pruned", score=0.1, epoch=3),
        Trial(2, {"model.dim": 64, "model.negatives": "all"}, RUN, state="failed"),
        Trial(3, {"model.dim": 32}, RUN, state="complete", score=0.6),
    ]
    assert sampler.suggest(trials) not in [None, *list_settings(trials)]


def test_the_sampler_learns_how_good_a_pruned_trial_was() -> None:
    trial = Trial(0, DEFAULT, RUN, state="pruned", score=0.1, epoch=3)
    assert Sampler(AXES, DEFAULT, [], seed=0)._freeze(trial).intermediate_values == {3: 0.1}
