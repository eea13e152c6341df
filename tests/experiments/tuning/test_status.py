"""What `sdmr status` shows of a multirun and of the time that is left."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdmr.experiments import status
from sdmr.experiments.tuning.search import SearchOptions
from tests.experiments.tuning.helpers import call

Capture = pytest.CaptureFixture[str]


def test_a_failed_run_of_a_multirun_is_listed_with_its_error(small: tuple[str, ...], capsys: Capture) -> None:
    """Train at a learning rate at which nothing is finite: the other run goes on, and the exit status is 1."""
    axes = ("model=mf-bpr", *small, "test=false", "model.optimization.learning_rate=0.001,1e30")
    command = [sys.executable, "-m", "sdmr.experiments.run", "-m", *axes]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    assert call("-m", *axes, command="status") == 0
    out = capsys.readouterr().out
    assert "2 runs: 1 done, 1 failed, 0 running, 0 interrupted, 0 pending" in out
    assert re.search(r"failed: .*learning_rate=1e\+30: .*nan", out)


def test_the_time_left_counts_parts_once_and_ends_with_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty minutes of parts, and a quarter of one for each run itself."""
    seconds = {"fit": 15.0, "parts": 1200.0}
    record = SimpleNamespace(run="SDMR-0", dataset="csv", parts={"sdp": "SDP-0"}, seconds=seconds, runtime=15.0)
    done = SimpleNamespace(record=record, folder=tmp_path / "csv" / "0")
    runs: list[Any] = [done, *(SimpleNamespace(record=None, folder=tmp_path / "csv" / str(n)) for n in range(1, 9))]
    monkeypatch.setattr(status, "get_state", lambda run: "pending" if run.record is None else "done")
    assert status.estimate_remaining(runs).startswith("20.2 single-thread minutes spent, about 2.0 left")
    assert "about 3.0 left" in status.estimate_remaining(runs, remaining=4)
    assert "about 0.8 left" in status.estimate_remaining(runs, budget=21)
    spent = "20.2 single-thread minutes spent; the budget allows no further run"
    assert status.estimate_remaining(runs, budget=20.4) == spent
    assert status.estimate_remaining([done]) == "nothing to run"
    assert status.estimate_remaining(runs[1:], remaining=4).startswith("12 runs to make; ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-m", "model=glob(sd*)"), "glob"),
        (("-m", "model=mf-bpr", "model.hops=1,2"), "has no argument 'hops'"),
        (("--cfg", "model=mf-bpr"), "--cfg: expected key=value, or -m"),
        (("model=mf-bpr", "number=3"), "number: there is no such setting"),
    ],
)
def test_a_mistake_exits_with_2_and_one_line(
    arguments: tuple[str, ...], message: str, conf: Path, capsys: Capture
) -> None:
    assert call(*arguments, command="status") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_help_lists_the_options_of_a_sweep(capsys: Capture) -> None:
    assert call("--help", command="status") == 0
    out = capsys.readouterr().out
    assert all(f"  {option}=" in out for option in SearchOptions.model_fields if option != "overrides")
