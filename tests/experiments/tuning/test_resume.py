"""A sweep that is killed, at any moment, and begun again; two sweeps at once; and what `status` tells of them."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sdmr.experiments import status

CHECKOUT = Path(status.__file__).parents[1]
SPACE = """
model: own_slow.Slow
stages:
  - model.optimization.regularization: [0.01, 0.001]
  - model.dim: [4, 8]
"""
# A model that leaves time to be killed: before its first epoch, and in the middle of every file that it writes.
SLOW = """
import os
import re
import time
from pathlib import Path

from sdmr.baselines.mf_bpr import MFBPR
from sdmr.harness.training.optimizer import OptimizationConfig

HERE = Path(__file__).parent
SLEEP = float(os.environ.get("SLEEP", "0"))
sync = os.fsync


def slowly(descriptor):
    time.sleep(SLEEP)
    sync(descriptor)


os.fsync = slowly


class Slow(MFBPR):
    def __init__(self, dim: int = 8, optimization: OptimizationConfig = OptimizationConfig(regularization=0.01)):
        super().__init__(dim, optimization=optimization)

    def build(self, n_users, n_items):
        super().build(n_users, n_items)
        (HERE / f"begun-{os.getpid()}").touch()
        time.sleep(2 * SLEEP)
"""
SWEEP = """
import sys
from pathlib import Path
from sdmr.experiments import chosen, sweep

sweep.SPACES, chosen.FOLDER = Path("space"), Path("chosen")
sys.exit(sweep.main())
"""


@pytest.fixture
def folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    rng = np.random.default_rng(5)
    rows = [f"{user},{item},{time}" for user in range(30) for time, item in enumerate(rng.choice(140, 8, False))]
    Path("small.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    Path("own_slow.py").write_text(SLOW)
    Path("space").mkdir()
    Path("space/slow.yaml").write_text(SPACE)
    return tmp_path


def begin(place: str, sleep: float = 0.0) -> subprocess.Popen[str]:
    """A sweep of three runs (the fourth is found), two at a time, in a session of its own."""
    arguments = ("model=slow", "dataset=csv", "dataset.path=small.csv", "dataset.time=time", "epochs=3", "jobs=2")
    return subprocess.Popen(
        [sys.executable, "-c", SWEEP, *arguments, f"runs={place}/runs", f"results={place}/results"],
        env={**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}.", "SLEEP": str(sleep)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    """The sweep and all its runs, as a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def results_of(place: str) -> dict[str, Any]:
    """What a sweep has found, but for seconds and commits: every run's record, its parameters, the table of points."""
    found: dict[str, Any] = {}
    for path in Path(place, "runs", "csv").glob("*/record.json"):
        record = json.loads(path.read_text())
        history = [{k: v for k, v in entry.items() if "seconds" not in k} for entry in record["history"]]
        found[path.parent.name] = record["validation"], history
    with Path(place, "results", "sweeps", "csv", "slow.csv").open() as lines:
        found["points"] = [
            {k: v for k, v in row.items() if k not in ("seconds", "commit")} for row in csv.DictReader(lines)
        ]
    found["chosen"] = [line for line in Path("chosen/csv/slow.txt").read_text().splitlines() if line[0] != "#"]
    return found


def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["sdmr.experiments.status", *arguments])
    assert status.main() == 0
    return capsys.readouterr().out


def test_a_sweep_that_is_killed_again_and_again_ends_with_the_same_bits(folder: Path) -> None:
    whole = begin("whole")
    assert whole.wait() == 0, whole.communicate()[0]
    expected = results_of("whole")
    assert len(expected) == 3 + 2

    runs = Path("killed", "runs", "csv")
    moments: list[Callable[[], Any]] = [
        lambda: list(folder.glob("begun-*")),  # before the first epoch
        lambda: list(runs.glob("*/.checkpoint.pt.*")),  # while a checkpoint is being written, the first one
        lambda: list(runs.glob("*/checkpoint.pt")),  # between epochs
        lambda: list(runs.glob("*/.record.json.*")),  # while the record is being written
        lambda: list(runs.glob("*/record.json")),  # some runs done, others not
    ]
    for moment in moments:
        for path in folder.glob("begun-*"):
            path.unlink()
        process = begin("killed", sleep=0.3)
        wait_for(moment, process)
        kill(process)
        for path in runs.glob("*/record.json"):
            json.loads(path.read_text())  # whole, or not there
    again = begin("killed")
    out = again.communicate()[0]
    assert again.returncode == 0, out
    assert results_of("killed") == expected
    assert not list(runs.glob("*/.*.*.*"))  # nothing half written is left


def test_runs_end_with_their_sweep_even_if_nothing_else_is_killed(folder: Path) -> None:
    process = begin("orphaned", sleep=30.0)  # a run needs minutes
    wait_for(lambda: len(list(folder.glob("begun-*"))) == 2, process)
    process.kill()
    process.wait()
    pids = [int(path.name.removeprefix("begun-")) for path in folder.glob("begun-*")]
    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_sweeps_at_once_share_the_work(folder: Path) -> None:
    both = begin("both", sleep=0.1), begin("both", sleep=0.1)
    for process in both:
        out = process.communicate()[0]
        assert process.returncode == 0, out
    assert len(list(folder.glob("begun-*"))) == 3  # each run was begun once, by one of them
    assert len(list(Path("both/runs/csv").glob("*/record.json"))) == 3


def test_status_of_a_sweep(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdmr.experiments.sweep.SPACES", Path("space"))
    monkeypatch.setattr("sdmr.experiments.chosen.FOLDER", Path("chosen"))
    sweep = ("model=slow", "dataset=csv", "dataset.path=small.csv", "dataset.time=time", "epochs=3", "runs=one/runs")
    out = told(capsys, monkeypatch, *sweep)
    assert "stage 1, 2 runs: 0 done, 0 failed, 0 running, 0 cut off, 2 left" in out
    assert "3 runs to do" in out  # one more, of the second stage

    process = begin("one", sleep=2.0)  # some ten seconds from the first checkpoint, of which the status takes a few
    wait_for(lambda: list(Path("one/runs/csv").glob("*/checkpoint.pt")), process)
    out = told(capsys, monkeypatch, *sweep)
    assert " running" in out
    assert "running: model.optimization.regularization=" in out
    kill(process)
    out = told(capsys, monkeypatch, *sweep)
    assert ", 0 running, " in out
    assert "cut off: model.optimization.regularization=" in out

    assert begin("one").wait() == 0
    out = told(capsys, monkeypatch, *sweep)
    assert "stage 2, 2 runs: 2 done, 0 failed, 0 running, 0 cut off, 0 left" in out
    assert "nothing is left to do" in out
    axes = ("model=own_slow.Slow", *sweep[1:], "test=false", "model.optimization.regularization=0.01,0.001,10")
    out = told(capsys, monkeypatch, "-m", *axes)
    assert "3 runs: 2 done, 0 failed, 0 running, 0 cut off, 1 left" in out
    assert "minutes spent, about " in out


def test_status_tells_what_a_run_has_died_of(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learning rate at which nothing is finite; it does not stop the other run, and the exit code says so."""
    given = ("dataset=csv", "dataset.path=small.csv", "dataset.time=time", "epochs=1", "test=false")
    axes = ("model=mf-bpr", *given, "model.optimization.learning_rate=0.001,1e30")
    command = [sys.executable, "-m", "sdmr.experiments.run", "-m", *axes]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True)
    assert done.returncode == 1
    out = told(capsys, monkeypatch, "-m", *axes)
    assert "2 runs: 1 done, 1 failed, 0 running, 0 cut off, 0 left" in out
    assert re.search(r"failed: .*learning_rate=1e\+30: .*nan", out)


def test_the_time_left_counts_parts_once_and_ends_with_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty minutes of parts, and a quarter of one for each run itself."""
    record = {"run": "SDMR-0", "dataset": "csv", "parts": {"sdp": "SDP-0"}}
    done = SimpleNamespace(record=record | {"seconds": {"fit": 15.0, "parts": 1200.0}}, folder=tmp_path / "csv" / "0")
    runs: list[Any] = [done, *(SimpleNamespace(record=None, folder=tmp_path / "csv" / str(n)) for n in range(1, 9))]
    monkeypatch.setattr(status, "state_of", lambda run: "left" if run.record is None else "done")
    assert status.time_left(runs).startswith("20.2 single-thread minutes spent, about 2.0 left")
    assert "about 3.0 left" in status.time_left(runs, later=4)
    assert "about 0.8 left" in status.time_left(runs, budget=21)
    spent = "20.2 single-thread minutes spent; the budget has none left for one more run"
    assert status.time_left(runs, budget=20.4) == spent
    assert status.time_left([done]) == "nothing is left to do"
    assert (
        status.time_left(runs[1:], later=4) == "12 runs to do; how long one takes is not known before the first is done"
    )


def test_status_of_what_cannot_be_parsed_is_an_error_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sdmr.experiments.status", "-m", "model=glob(sd*)"])
    assert status.main() == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_status_without_a_model_tells_how_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sdmr.experiments.status"])
    assert status.main() == 2
