"""Trackers: what they see of a run, and that no run depends on one."""

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from sdmr.experiments.core.errors import ConfigError
from sdmr.experiments.core.execute import execute
from sdmr.experiments.core.record import Record
from sdmr.experiments.core.run import Run
from sdmr.harness.training.loop import StopTraining
from tests.experiments.conftest import SMALL, run_of
from tests.experiments.core.conftest import Sdmr

pytestmark = pytest.mark.usefixtures("temporary_cache")
RUN = ("model=mf-bpr", *SMALL)
calls: list[tuple[str, Any]] = []


class Recorder:
    """Note every call, and do to a run what it must not feel."""

    def start(self, run: Run) -> None:
        calls.append(("start", run.folder.name))
        run.config.clear()

    def epoch(self, entry: dict[str, float]) -> None:
        calls.append(("epoch", dict(entry)))
        entry["validation"] = 1.0
        random.random()
        np.random.random()  # noqa: NPY002
        torch.rand(1)

    def end(self, record: Record | None) -> None:
        calls.append(("end", record))


class Failing(Recorder):
    def epoch(self, entry: dict[str, float]) -> None:
        raise ConnectionError("no server " + 200 * "x")


class Changing(Recorder):
    def epoch(self, entry: dict[str, float]) -> None:
        torch.set_grad_enabled(False)


class Leaving(Recorder):
    def end(self, record: Record | None) -> None:
        sys.exit(3)


class Unreachable(Recorder):
    def __init__(self) -> None:
        raise ConnectionError("no server")


class Incomplete:
    def start(self) -> None: ...


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


def tracker(name: str) -> str:
    return f"tracker={__name__}.{name}"


def drop_times(record: Record) -> dict[str, Any]:
    history = [{key: value for key, value in entry.items() if "seconds" not in key} for entry in record.history or []]
    varying = {"seconds", "cpu_seconds", "load", "peak_memory_mib", "environment", "history"}
    return record.model_dump(exclude=varying) | {"history": history}


def test_tracker_sees_each_run_with_its_parts_before_it(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    record = execute(run_of(tmp_path, "model=neumf", "epochs=2", *overrides, tracker("Recorder")))
    expected = [*record.parts.values(), record.run]
    assert [argument for name, argument in calls if name == "start"] == expected
    assert [argument.run for name, argument in calls if name == "end"] == expected
    assert [name for name, _ in calls] == 3 * ["start", "epoch", "epoch", "epoch", "end"]
    assert [argument for name, argument in calls[-4:-1]] == record.history
    assert calls[-1] == ("end", record)


@pytest.mark.parametrize("name", ["Recorder", "Failing", "Changing", "Leaving"])
def test_run_does_not_depend_on_its_tracker(
    name: str, tmp_path: Path, overrides: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    expected = execute(run_of(tmp_path / "without", *RUN, *overrides))
    record = execute(run_of(tmp_path / "with", *RUN, *overrides, tracker(name)))
    assert drop_times(record) == drop_times(expected)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (name != "Recorder")
    if name == "Failing":
        assert (
            f"{record.run} goes on without its tracker: Failing.epoch has failed (ConnectionError: no server"
            in lines[0]
        )
        assert len(lines[0]) < 220
        assert [method for method, _ in calls] == ["start"]


def test_stopped_run_ends_without_record_and_is_shown_as_one_when_it_goes_on(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    def stop(history: list[dict[str, float]]) -> None:
        if len(history) == 2:
            raise StopTraining

    run = run_of(tmp_path, *RUN, *overrides, tracker("Recorder"))
    with pytest.raises(StopTraining):
        execute(run, watch=stop)
    assert [name for name, _ in calls] == ["start", "epoch", "epoch", "end"]
    assert calls[-1] == ("end", None)
    calls.clear()
    record = execute(run)
    assert [argument for name, argument in calls if name == "epoch"] == record.history
    calls.clear()
    execute(run)
    assert calls == []  # a finished run is not made


def test_csv_tracker_writes_the_history(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, *RUN, *overrides, "tracker=csv")
    record = execute(run)
    pd.testing.assert_frame_equal(pd.read_csv(run.folder / "epochs.csv"), pd.DataFrame(record.history))


def test_tracker_that_cannot_be_made_is_an_error_before_training(
    tmp_path: Path, overrides: tuple[str, ...], sdmr: Sdmr
) -> None:
    runs = f"runs={tmp_path / 'runs'}"
    assert sdmr("run", *RUN, *overrides, runs).status == 0
    (path,) = tmp_path.glob("runs/csv/*/record.json")
    answer = sdmr("run", *RUN, *overrides, runs, "force=true", tracker("Unreachable"))
    assert answer.status == 2
    assert "Unreachable: ConnectionError: no server" in answer.error
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("nowhere", "ImportError: there is no tracker nowhere"),
        ("my_nowhere.Tracker", "ModuleNotFoundError: No module named 'my_nowhere'"),
        (f"{__name__}.Absent", "AttributeError: module .* has no attribute 'Absent'"),
        (f"{__name__}.Incomplete", "TypeError: too many positional arguments"),
        (f"{__name__}.calls", "AttributeError: 'list' object has no attribute 'start'"),
    ],
)
def test_wrong_tracker_is_an_error_that_says_what_is_allowed(name: str, fault: str, tmp_path: Path) -> None:
    expected = (
        r"expected none, csv, tensorboard, or a class such as my_module.MyTracker with the methods start\(run\), "
    )
    with pytest.raises(ConfigError, match=rf"^tracker={name}: {expected}epoch\(entry\) and end\(record\) \({fault}"):
        run_of(tmp_path, "model=popularity", f"tracker={name}")


def test_missing_tensorboard_is_an_error_that_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ConfigError, match=r"not installed; pip install 'sdmr-benchmark\[trackers\]'"):
        run_of(tmp_path, "model=popularity", "tracker=tensorboard")


@pytest.mark.slow
def test_tensorboard_shows_epochs_and_metrics(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = run_of(tmp_path, *RUN, *overrides, "tracker=tensorboard")
    execute(run)
    record = execute(run, force=True)  # which replaces the events of before
    assert record.history
    assert record.test
    events = EventAccumulator(str(run.folder)).Reload()
    losses = [(event.step, event.value) for event in events.Scalars("loss")]
    assert losses == [(entry["epoch"], pytest.approx(entry["loss"])) for entry in record.history[1:]]
    (metric,) = events.Scalars("test/NDCG@10")
    assert metric.value == pytest.approx(record.test["NDCG@10"]["expected"])
