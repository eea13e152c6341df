"""What `sdmr status` shows of a multirun and of the time that is left."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdmr.experiments import status
from sdmr.experiments.tuning.options import SearchOptions
from tests.experiments.tuning.helpers import call, make_search

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
    assert "nothing to run" not in out


def test_the_time_left_of_a_multirun_counts_parts_once(tmp_path: Path) -> None:
    """Twenty minutes of parts, and a quarter of one for each run itself."""
    shared = {"run": "SDMR-0", "dataset": "csv", "separate_runs": {"parts": ["SDP-0"]}}
    record = SimpleNamespace(**shared, seconds={"fit": 15.0, "parts": 1200.0}, runtime=15.0)
    done = SimpleNamespace(record=record, folder=tmp_path / "csv" / "0")
    runs: list[Any] = [done, *(SimpleNamespace(record=None, folder=tmp_path / "csv" / str(n)) for n in range(1, 9))]
    for others in (["pending"] * 8, [*["failed"] * 3, *["pending"] * 5]):
        text = status.estimate_remaining(runs, ["done", *others])
        assert text.startswith("20.2 single-thread minutes spent, about 2.0 left")
    assert status.estimate_remaining([done], ["done"]) == "nothing to run"
    assert status.estimate_remaining(runs[1:], ["pending"] * 8).startswith("8 runs to make; ")


def test_a_search_is_shown_from_its_start_to_its_end(
    small: tuple[str, ...], spaces: Path, made: list[tuple[str, ...]], capsys: Capture
) -> None:
    def show(*arguments: str) -> str:
        capsys.readouterr()
        assert call("model=mf-bpr", *small, *arguments, command="status") == 0
        return capsys.readouterr().out

    def count(complete: int, running: int, interrupted: int) -> str:
        states = f"{complete} complete, 0 pruned, 0 failed, {running} running, {interrupted} interrupted"
        return f"mf-bpr on csv: {complete + running + interrupted} of 3 trials: {states}"

    assert f"{count(0, 0, 0)}\n3 trials to make; " in show("trials=3")
    search = make_search("mf-bpr", *small, "trials=3")
    trial = search.study.ask(search._suggest, search.allows, search.is_pending)
    assert trial is not None
    assert f"{count(0, 1, 0)}\n  running: 0: model.optimization.regularization=0.01 " in show("trials=3")
    search.study._claims.pop(trial.run.folder.name).release()
    assert f"{count(0, 0, 1)}\n  interrupted: 0: model." in show("trials=3")
    assert call("model=mf-bpr", *small, "trials=2") == 0
    out = show("trials=3")
    assert count(2, 0, 0) in out
    assert "0.0 of 30 CPU minutes spent, about 0.0 left" in out
    assert "the budget allows no further trial" in show("trials=3", "budget=0.0001")
    assert all("; nothing to run" in show(f"trials={number}") for number in (1, 2))


def test_a_failed_trial_is_still_to_be_made(
    small: tuple[str, ...], spaces: Path, made: list[tuple[str, ...]], capsys: Capture
) -> None:
    (spaces / "sdp.yaml").write_text("axes: {model.dim: [4, 3, 2]}")  # 3 cannot be halved
    arguments = ("model=sdp", "model.layers=2", *small)
    assert call(*arguments) == 1
    capsys.readouterr()
    assert call(*arguments, command="status") == 0
    out = capsys.readouterr().out
    assert "3 of 3 trials: 2 complete, 0 pruned, 1 failed" in out
    assert re.search(r"CPU minutes spent, about \d+\.\d left", out)


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
