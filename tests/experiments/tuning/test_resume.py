"""A sweep that is killed at any moment and continued, two sweeps at once, and their status."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdmr.experiments.core import tuned
from sdmr.experiments.tuning import space
from tests.experiments.tuning.helpers import call

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
        (HERE / f"started-{os.getpid()}").touch()
        time.sleep(2 * SLEEP)
"""
SWEEP = """
import sys
from pathlib import Path
from sdmr.experiments.core import cli, tuned
from sdmr.experiments.tuning import space

space.SPACES, tuned.FOLDER = Path("space"), Path("tuned")
sys.exit(cli.main(["sweep", *sys.argv[1:]]))
"""
ARGUMENTS = ("model=slow", "dataset=csv", "dataset.path=small.csv", "dataset.time=time", "epochs=3")


@pytest.fixture
def folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(space, "SPACES", Path("space"))
    monkeypatch.setattr(tuned, "FOLDER", Path("tuned"))
    rng = np.random.default_rng(5)
    rows = [f"{user},{item},{time}" for user in range(30) for time, item in enumerate(rng.choice(140, 8, False))]
    Path("small.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    Path("own_slow.py").write_text(SLOW)
    Path("space").mkdir()
    Path("space/slow.yaml").write_text(SPACE)
    return tmp_path


def start(name: str, sleep: float = 0.0) -> subprocess.Popen[str]:
    """Start a sweep of three runs (the fourth is cached), two at a time, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", SWEEP, *ARGUMENTS, "workers=2", f"runs={name}/runs", f"results={name}/results"],
        env={**os.environ, "SLEEP": str(sleep)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    """Kill the sweep and all its runs, as a power cut would."""
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


def read_results(name: str) -> dict[str, Any]:
    """Return what a sweep has found, without seconds and commits: records, table of points, tuned settings."""
    results: dict[str, Any] = {}
    for path in Path(name, "runs", "csv").glob("*/record.json"):
        record = json.loads(path.read_text())
        history = [{k: v for k, v in entry.items() if "seconds" not in k} for entry in record["history"]]
        results[path.parent.name] = record["validation"], history
    with Path(name, "results", "sweeps", "csv", "slow.csv").open() as lines:
        results["points"] = [
            {k: v for k, v in row.items() if k not in ("seconds", "commit")} for row in csv.DictReader(lines)
        ]
    content = tuned.read_tuned("csv", "slow")
    results["tuned"] = content | {"tuning": {k: content["tuning"][k] for k in ("validation", "best_epoch", "run")}}
    return results


def test_a_sweep_that_is_killed_several_times_ends_with_the_same_bits(folder: Path) -> None:
    process = start("once")
    assert process.wait() == 0, process.communicate()[0]
    expected = read_results("once")
    assert len(expected) == 3 + 2

    runs = Path("killed", "runs", "csv")
    moments: list[Callable[[], Any]] = [
        lambda: list(folder.glob("started-*")),  # before the first epoch
        lambda: list(runs.glob("*/.checkpoint.pt.*")),  # while a checkpoint is being written, the first one
        lambda: list(runs.glob("*/checkpoint.pt")),  # between epochs
        lambda: list(runs.glob("*/.record.json.*")),  # while the record is being written
        lambda: list(runs.glob("*/record.json")),  # some runs done, others not
    ]
    for moment in moments:
        for path in folder.glob("started-*"):
            path.unlink()
        process = start("killed", sleep=0.3)
        wait_for(moment, process)
        kill(process)
        for path in runs.glob("*/record.json"):
            json.loads(path.read_text())  # complete, or absent
    again = start("killed")
    out = again.communicate()[0]
    assert again.returncode == 0, out
    assert read_results("killed") == expected
    assert not list(runs.glob("*/.*.*.*"))  # no partly written file remains


def test_runs_end_with_their_sweep_even_if_nothing_else_is_killed(folder: Path) -> None:
    process = start("orphaned", sleep=30.0)  # a run needs minutes
    wait_for(lambda: len(list(folder.glob("started-*"))) == 2, process)
    process.kill()
    process.wait()
    pids = [int(path.name.removeprefix("started-")) for path in folder.glob("started-*")]
    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_sweeps_at_once_share_the_work(folder: Path) -> None:
    both = start("both", sleep=0.1), start("both", sleep=0.1)
    for process in both:
        out = process.communicate()[0]
        assert process.returncode == 0, out
    assert len(list(folder.glob("started-*"))) == 3  # each run was started once, by one of them
    assert len(list(Path("both/runs/csv").glob("*/record.json"))) == 3


def test_status_follows_a_sweep_from_its_start_to_its_end(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def status(*arguments: str) -> str:
        assert call(*arguments, command="status") == 0
        return capsys.readouterr().out

    sweep = (*ARGUMENTS, "runs=one/runs")
    out = status(*sweep)
    assert "stage 1, 2 runs: 0 done, 0 failed, 0 running, 0 interrupted, 2 pending" in out
    assert "3 runs to make" in out  # one more, of the second stage

    process = start("one", sleep=2.0)  # some ten seconds from the first checkpoint, of which the status takes a few
    wait_for(lambda: list(Path("one/runs/csv").glob("*/checkpoint.pt")), process)
    out = status(*sweep)
    assert "running: model.optimization.regularization=" in out
    kill(process)
    out = status(*sweep)
    assert ", 0 running, " in out
    assert "interrupted: model.optimization.regularization=" in out

    assert start("one").wait() == 0
    out = status(*sweep)
    assert "stage 2, 2 runs: 2 done, 0 failed, 0 running, 0 interrupted, 0 pending" in out
    assert "nothing to run" in out
    axes = ("model=own_slow.Slow", *sweep[1:], "test=false", "model.optimization.regularization=0.01,0.001,10")
    out = status("-m", *axes)
    assert "3 runs: 2 done, 0 failed, 0 running, 0 interrupted, 1 pending" in out
    assert "minutes spent, about " in out
