"""A search that is killed at any moment and continued, and searches that share a folder, as two machines do."""

import gc
import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sdmr.datasets import files
from sdmr.experiments.core import config, parallel, tuned
from sdmr.experiments.core.tuned import read_tuned
from sdmr.experiments.tuning import search
from tests.experiments.tuning.helpers import call, make_search, read_points, run_here
from tests.experiments.tuning.test_search import Made

ARGUMENTS = ("trials=4", "epochs=2", "patience=2")


class Kill(BaseException):
    """The end of a process, which no part of the suite catches."""


@pytest.fixture
def arguments(small: tuple[str, ...], spaces: Path) -> tuple[str, ...]:
    return ("model=mf-bpr", *small[:3], *ARGUMENTS)


def read_results(name: str) -> dict[str, Any]:
    """Return what a search has found, without seconds and commits: records, trials, tuned settings."""
    results: dict[str, Any] = {"trials": read_points(results=name)}
    for path in Path(name, "sweeps", "csv").glob("*/record.json"):
        record = json.loads(path.read_text())
        history = [{k: v for k, v in entry.items() if "seconds" not in k} for entry in record["history"]]
        results[path.parent.name] = record["validation"], history
    content = read_tuned("csv", "mf-bpr")
    return results | {"tuned": content | {"tuning": {k: content["tuning"][k] for k in ("validation", "run", "trials")}}}


def kill_at_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the process end in the middle of the n-th file that it writes, before the file has its name."""
    replace, count = os.replace, iter(range(1, number + 1))

    def replace_or_die(*paths: Any) -> None:
        if next(count, number + 1) == number:
            raise Kill
        replace(*paths)

    monkeypatch.setattr(files.os, "replace", replace_or_die)


def test_a_search_that_is_killed_again_and_again_ends_with_the_same_bits(
    arguments: tuple[str, ...], made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kill it in every fourth file: the trials, the checkpoints, the parameters, the records and the settings."""
    assert call(*arguments, "workers=1", "runs=once", "results=once") == 0
    expected = read_results("once")
    assert len(expected) == 4 + 2
    kills = 0
    while True:
        with monkeypatch.context() as context:
            kill_at_write(context, 4)
            try:
                assert call(*arguments, "workers=1", "runs=killed", "results=killed") == 0
                break
            except Kill:
                kills += 1
        gc.collect()  # the claims of the dead process
        for path in Path("killed").glob("**/*.json"):
            json.loads(path.read_text())  # complete, or absent
    assert kills > 5
    assert read_results("killed") == expected
    assert not list(Path("killed").glob("**/.*.*.*"))  # no partly written file remains


def test_a_second_search_takes_other_trials_and_counts_those_that_run(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(search: Any) -> Any:
        return search.study.ask(search._suggest, search.allows, search.is_pending)

    first, second = (make_search("mf-bpr", *arguments[1:]) for _ in range(2))
    trials = [ask(search) for search in (first, second, first, second)]
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert len({trial.run.folder for trial in trials}) == 4
    assert {trial.known for trial in trials} == {()}  # none has ended
    assert ask(first) is None  # all are at work
    second.study._claims.pop(trials[1].run.folder.name).release()  # as when the second one's process dies
    assert ask(first).number == 1


def test_runs_of_another_process_are_not_made_again(arguments: tuple[str, ...], made: Made) -> None:
    busy = make_search("mf-bpr", *arguments[1:])
    trial = busy.study.ask(busy._suggest, busy.allows, busy.is_pending)
    assert trial is not None
    assert call(*arguments) == 0
    assert len(made) == 3
    assert [point["state"] for point in read_points()] == ["running", *["complete"] * 3]
    outcome = parallel.make_outcome(busy.row.list_overrides(trial.settings), Path("runs"))
    assert outcome.record is not None
    busy.study.tell(trial)
    assert [point["state"] for point in read_points()] == ["complete"] * 4
    assert make_search("mf-bpr", *arguments[1:]).best is not None


def sweep(folder: Path, arguments: tuple[str, ...], epoch: float) -> None:
    """Make a sweep in a process by itself, whose epochs take a while."""
    os.chdir(folder)
    os.environ["SDMR_CACHE"] = str(folder / "cache")
    config.CONF, tuned.SPACES = folder / "conf", folder / "conf" / "space"
    tuned.FOLDER = folder / "conf" / "settings" / "tuned"
    write = files.open_atomic

    def open_slowly(path: Path) -> Any:
        if path.name == "checkpoint.pt":
            time.sleep(epoch)
        return write(path)

    files.open_atomic = open_slowly
    if epoch:
        search.run_all = run_here  # type: ignore[assignment]
    sys.exit(call(*arguments))


def start(folder: Path, arguments: tuple[str, ...], epoch: float) -> Any:
    """Start a sweep, forked from a server that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(parallel.PRELOADED)
    process = context.Process(target=sweep, args=(folder, arguments, epoch))
    process.start()
    return process


def wait_for(pattern: str, processes: list[Any]) -> None:
    deadline = time.monotonic() + 120
    while not list(Path("runs").glob(pattern)):
        assert any(process.is_alive() for process in processes)
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_two_processes_share_the_work_and_one_goes_on_where_the_other_is_killed(
    arguments: tuple[str, ...], made: Made, tmp_path: Path
) -> None:
    processes = [start(tmp_path, arguments, 0.2) for _ in range(2)]
    try:
        wait_for("csv/*/checkpoint.pt", processes)
        os.kill(processes[0].pid, signal.SIGKILL)
        processes[1].join(120)
        assert processes[1].exitcode == 0
    finally:
        for process in processes:
            process.kill()
            process.join()
    assert call(*arguments) == 0  # what the killed one had begun when the other had no trial left
    points = read_points()
    assert [point["state"] for point in points] == ["complete"] * 4
    assert len({point["run"] for point in points}) == 4
    assert len(list(Path("runs").glob("csv/*/record.json"))) == 4


@pytest.mark.slow
def test_trials_end_with_their_sweep_even_if_nothing_else_is_killed(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """With workers of its own, which are processes: they end with their parent."""
    longer = [one for one in arguments if not one.startswith(("epochs=", "patience="))]
    process = start(tmp_path, (*longer, "epochs=100000", "patience=100000"), 0.0)
    wait_for("csv/*/checkpoint.pt", [process])
    process.kill()
    process.join()
    trials = make_search("mf-bpr", *longer[1:], "epochs=100000", "patience=100000").trials
    assert trials
    deadline = time.monotonic() + 20
    while any(trial.run.is_running for trial in trials):
        assert time.monotonic() < deadline
        time.sleep(0.01)
