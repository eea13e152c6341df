"""Planned runs: which are planned, which are found, and which are made."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sdmr.experiments.core import plan
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.estimate import estimate_time
from sdmr.experiments.core.execute import execute
from sdmr.experiments.core.parallel import Outcome
from sdmr.experiments.core.plan import (
    PlannedRun,
    check_overrides,
    find_or_train,
    is_stochastic,
    plan_runs,
    read_tie_policy,
)
from sdmr.experiments.core.run import compose_run
from sdmr.experiments.core.store import publish_run
from sdmr.experiments.core.tuned import write_tuned
from tests.experiments.conftest import run_of
from tests.experiments.report.commands import compose_fake_run, hide_tuned_settings
from tests.experiments.report.records import write_random_run

pytestmark = pytest.mark.usefixtures("temporary_cache")


def plan_popularity(overrides: tuple[str, ...], published: Path | None = None) -> PlannedRun:
    return PlannedRun("popularity", "csv", settings=overrides[1:], published=published)


def test_models_that_draw_get_every_seed_and_others_one() -> None:
    planned = plan_runs(["popularity", "mf-bpr"], ["ml-100k"], 2)
    assert [(run.model, run.seed) for run in planned] == [("popularity", 0), ("mf-bpr", 0), ("mf-bpr", 1)]
    assert [is_stochastic(model) for model in ("slim", "ease", "sdm", "ials")] == [False, False, True, True]


def test_model_without_tuned_settings_is_left_out_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hide_tuned_settings(tmp_path, monkeypatch, "ta-feng", kept="popularity")
    planned = plan_runs(["popularity", "slim"], ["ta-feng"], 1, "tuned")
    assert [run.overrides for run in planned] == [("model=popularity", "dataset=ta-feng", "seed=0", "settings=tuned")]
    assert capsys.readouterr().out.startswith("SLIM on ta-feng is left out: ")


def test_class_of_a_user_has_its_tuned_settings_or_those_of_its_constructor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hide_tuned_settings(tmp_path, monkeypatch, "ml-100k", kept="popularity")
    model = "sdmr.baselines.popularity.Popularity"
    assert [one.overrides[3:] for one in plan_runs([model], ["ml-100k"], 1, "tuned")] == [()]
    assert capsys.readouterr().out == f"{model} on ml-100k has no tuned settings, and keeps those of its constructor\n"
    write_tuned("ml-100k", model, {}, {})
    assert [one.overrides[3:] for one in plan_runs([model], ["ml-100k"], 1, "tuned")] == [("settings=tuned",)]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("override", ["model=sdm", "seed=3", "threads=2", "force=true", "hydra/launcher=joblib"])
def test_override_that_a_command_fixes_or_ignores_is_refused(override: str) -> None:
    with pytest.raises(UsageError, match=override.lstrip("+").partition("=")[0]):
        check_overrides([override])


def test_tie_policy_is_read_from_the_overrides() -> None:
    assert read_tie_policy(["epochs=2", "protocol.tie_policy=optimistic"]) == "optimistic"
    assert read_tie_policy([]) == "expected"


def test_missing_run_is_made_and_a_finished_one_is_found(
    tmp_path: Path, overrides: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    planned = plan_popularity(overrides)
    assert find_or_train([planned], tmp_path, 1, train=False).runs == {}
    findings = find_or_train([planned, planned], tmp_path, 1)
    assert findings.runs[planned].folder == run_of(tmp_path, "model=popularity", *overrides).folder
    assert "0 cached, 1 to run, 1 workers" in capsys.readouterr().out
    find_or_train([planned], tmp_path, 1)
    assert "1 cached, 0 to run" in capsys.readouterr().out


def test_published_record_stands_in_for_a_missing_run(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path / "first", "model=popularity", *overrides)
    record = execute(run)
    folder = tmp_path / "records" / "popularity-0"
    publish_run(run, folder)
    planned = plan_popularity(overrides, folder)
    answer = find_or_train([planned], tmp_path / "second", 1, train=False).runs[planned]
    assert (answer.is_published, answer.folder, answer.record) == (True, folder, record)
    assert find_or_train([planned], tmp_path / "second", 1, train=False, use_published=False).runs == {}
    assert "no estimate" not in estimate_time([planned], 1)
    assert estimate_time([plan_popularity(overrides)], 1).startswith("no estimate of the time")


def test_failed_run_and_missing_data_are_reported_once_with_their_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (f"dataset.path={tmp_path}/nowhere.csv",)
    planned = [PlannedRun(model, "csv", settings=settings) for model in ("popularity", "item-knn")]
    findings = find_or_train(planned, tmp_path, 1)
    assert (findings.runs, set(findings.failures)) == ({}, set(planned))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("FAILED csv: ")


def forbid_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a run was made")

    monkeypatch.setattr(plan, "run_all", refuse)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.hop=3", "model.hop: .* has no argument 'hop'"),
        ("model.dim=8.5", "model.dim=8.5: must be a valid integer"),
        ("model.layers=0", "model.layers=0: must be greater than or equal to 1"),
        ("epochs=0", "epochs=0: must be greater"),
    ],
)
def test_wrong_setting_of_every_run_is_one_error_before_any_run(
    setting: str, message: str, tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_runs(monkeypatch)
    planned = [PlannedRun("sdp", "csv", seed, (*overrides[1:], setting)) for seed in range(3)]
    with pytest.raises(UsageError, match=f"^{message}") as raised:
        find_or_train(planned, tmp_path, 2)
    assert len(re.findall(message, str(raised.value))) == 1


def test_wrong_setting_of_some_models_is_one_line_a_model_and_the_others_run(
    tmp_path: Path, overrides: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (*overrides[1:], "model.neighbors=5")
    planned = [PlannedRun(model, "csv", seed, settings) for model in ("popularity", "item-knn") for seed in range(2)]
    findings = find_or_train(planned, tmp_path, 1)
    assert {one.model for one in findings.runs} == {"item-knn"}
    assert {one.model for one in findings.failures} == {"popularity"}
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("FAILED"))
    assert line.startswith("FAILED model=popularity: model.neighbors: ")


def test_planned_run_is_written_as_the_command_line_that_makes_it(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    planned = plan_popularity(overrides)
    assert compose_run(str(planned).split(), tmp_path) == compose_run(planned.overrides, tmp_path)


def test_long_runs_start_first_and_a_model_with_parts_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run_all(tasks: Sequence[tuple[str, ...]], *_: object) -> list[Any]:
        asked.extend(task[0].partition("=")[2] for task in tasks)
        return []

    monkeypatch.setattr(plan, "compose_run", compose_fake_run)
    monkeypatch.setattr(plan, "run_all", run_all)
    planned = [PlannedRun(model, "ml-100k") for model in ("sdmr", "sdmr-grid", "slim", "sdp", "sdm")]
    find_or_train(planned, tmp_path, 1)
    assert asked == ["sdm", "sdp", "slim", "sdmr", "sdmr-grid"]


def test_a_run_that_ended_under_another_name_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its tuned settings were replaced meanwhile."""
    monkeypatch.setattr(plan, "compose_run", compose_fake_run)
    monkeypatch.setattr(plan, "run_all", lambda *_: [])
    one = PlannedRun("sdm", "ml-100k")
    assert list(find_or_train([one], tmp_path, 1).failures) == [one]
    assert "FAILED model=sdm dataset=ml-100k seed=0: its settings have changed" in capsys.readouterr().err


def test_a_run_that_was_tried_has_failed_even_if_a_published_record_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plan, "compose_run", compose_fake_run)
    monkeypatch.setattr(
        plan, "run_all", lambda tasks, *_: [Outcome(one, None, "its process was killed") for one in tasks]
    )
    one = PlannedRun("sdm", "ml-100k", published=write_random_run(tmp_path / "sdm-0", "sdm", 0))
    findings = find_or_train([one], tmp_path, 1)
    assert findings.runs[one].is_published
    assert list(findings.failures) == [one]
    assert "FAILED model=sdm dataset=ml-100k seed=0: its process was killed" in capsys.readouterr().err


def test_a_run_whose_published_record_stands_in_has_not_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_random_run(tmp_path / "popularity-0", "popularity", 0)
    one = PlannedRun("popularity", "csv", 0, (f"dataset.path={tmp_path}/nowhere.csv",), published=folder)
    findings = find_or_train([one], tmp_path, 1)
    assert findings.runs[one].is_published
    assert findings.failures == {}
    assert "FAILED" not in capsys.readouterr().err
