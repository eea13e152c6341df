"""Trials: what the sampler learns from them, which one is the best, and who may write them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from filelock import FileLock, Timeout

from sdmr.experiments.core.parallel import Outcome
from sdmr.experiments.core.run import Run
from sdmr.experiments.tuning import search as search_module
from sdmr.experiments.tuning.origin import describe_origin
from sdmr.experiments.tuning.sampler import Sampler
from sdmr.experiments.tuning.study import Study
from sdmr.experiments.tuning.trial import Trial, select_best
from tests.experiments.report.published import make_record
from tests.experiments.tuning.helpers import call, make_search

AXES: dict[str, list[Any]] = {"model.dim": list(range(60)), "model.hops": list(range(10))}


FAKE = Run({}, "", "", "csv", Path("nowhere"))


def make_trials(sampler: Sampler, number: int) -> list[Trial]:
    trials: list[Trial] = []
    for index in range(number):
        settings = sampler.suggest(trials)
        assert settings is not None
        trials.append(Trial(index, settings, FAKE, state="complete", score=1 - abs(settings["model.dim"] - 45) / 60))
    return trials


@pytest.mark.parametrize("seed", [0, 1])
def test_the_sampler_comes_near_to_the_best_settings(seed: int) -> None:
    trials = make_trials(Sampler(AXES, {"model.dim": 0, "model.hops": 0}, [], seed), 40)
    assert np.median([abs(trial.settings["model.dim"] - 45) for trial in trials[-15:]]) <= 8


@pytest.mark.parametrize("state", ["running", "pruned"])
def test_a_running_or_pruned_trial_tells_the_sampler_something(state: str) -> None:
    sampler = Sampler(AXES, {"model.dim": 0, "model.hops": 0}, [], 0)
    trials, suggested = make_trials(sampler, 20), {}
    for one in (state, "failed"):
        for trial in trials[-6:]:
            trial.state, trial.score, trial.epoch = one, 0.1, 3
        suggested[one] = sampler.suggest(trials)
    assert suggested[state] != suggested["failed"]


def test_of_scores_that_are_written_alike_the_first_is_the_best() -> None:
    trials = [Trial(n, {}, FAKE, state="complete", score=score) for n, score in enumerate((0.1234561, 0.1234564))]
    assert select_best(trials) is trials[0]


def test_asking_and_telling_hold_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run({}, "", "", "csv", tmp_path / "runs" / "csv" / "Net-0")
    study = Study(tmp_path / "net.csv", tmp_path / "lock", {}, lambda _: run, {})
    held = []

    def note(*_: object) -> None:
        try:
            with FileLock(tmp_path / "lock", timeout=0):
                held.append(False)
        except Timeout:
            held.append(True)

    monkeypatch.setattr(Study, "_write", note)
    trial = study.ask(lambda trials: None if trials else {}, lambda trials: len(trials) < 2, lambda _: True)
    assert trial is not None
    assert held
    assert all(held)
    held.clear()
    study.tell(trial)
    assert held == [True]


def test_a_trial_is_watched_by_the_trials_that_it_knows(
    small: tuple[str, ...], spaces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = make_search("mf-bpr", *small)
    ended = [
        Trial(n, {}, FAKE, state="complete", record=make_record(history=[{"epoch": 0}, {"epoch": 1, "validation": n}]))
        for n in range(3)
    ]
    trial = Trial(3, search.sampler.default, search.row.default, known=(0, 2))
    asked = iter([trial])
    search.study = SimpleNamespace(ask=lambda *_: next(asked, None), read=lambda: [*ended, trial])  # type: ignore
    for one in ended:
        one.cpu_seconds = 600.0
    search.budget = 40
    seen: list[Any] = []
    monkeypatch.setattr(search_module, "make_watch", lambda *arguments: seen.append(arguments))
    assert len(list(search._start_trials({}, {}))) == 1
    ((histories, seconds, is_pruned),) = seen
    assert is_pruned
    assert [[entry["validation"] for entry in one[1:]] for one in histories] == [[0], [2]]
    assert seconds == 600  # of 40 minutes, three trials took 10 each


def test_minutes_of_tuned_settings_count_pruned_trials(
    small: tuple[str, ...], spaces: Path, made: list[tuple[str, ...]]
) -> None:
    call("model=mf-bpr", *small, "trials=2")
    search = make_search("mf-bpr", *small, "trials=2")
    trial = search.trials[1]
    trial.state, trial.record, trial.cpu_seconds = "pruned", None, 600.0
    origin = describe_origin(search, search.trials[0])
    assert origin["cpu_minutes"] == pytest.approx(10, abs=0.5)
    assert origin["pruned"] == 1


@pytest.mark.parametrize(("is_stopped", "state"), [(True, "pruned"), (False, "failed")])
def test_seconds_of_a_trial_without_a_record_count(
    is_stopped: bool, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"validation": 0.3, "fit_cpu_seconds": 60.0, "rank_cpu_seconds": 30.0}
    monkeypatch.setattr(search_module, "read_history", lambda _: [{"epoch": 0}, entry, entry])
    trial = Trial(0, {}, FAKE)
    search_module._save_outcome(trial, Outcome((), None, "" if is_stopped else "broken", is_stopped=is_stopped))
    assert (trial.state, trial.epoch, trial.score, trial.cpu_seconds) == (state, 2, 0.3, 180.0)
