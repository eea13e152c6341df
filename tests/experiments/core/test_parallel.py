"""Runs side by side: one process each, whose failure or death stops no other."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest
from tqdm import tqdm

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training
from sdmr.experiments.core import execute as execute_module
from sdmr.experiments.core import parallel, progress
from sdmr.experiments.core.parallel import Outcome, make_outcome, run_all
from tests.experiments.conftest import run_of
from tests.experiments.core.conftest import USER_OVERRIDES

CHECKOUT = Path(execute_module.__file__).parents[2]
pytestmark = pytest.mark.usefixtures("temporary_cache")


@pytest.fixture
def outcomes(
    user_folder: Path, tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> list[Outcome]:
    """Of two jobs that want the same run, and one that fails, side by side."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    for name in names:
        monkeypatch.setenv(name, "1")  # and undone at the end, since `run_all` sets them for good
    same = (*USER_OVERRIDES, "model.wait_for=4", *overrides)  # beside this process, which composes
    failing = (*USER_OVERRIDES, "model.weight=-1.0", *overrides)
    return list(run_all([same, failing, same], tmp_path / "runs", workers=3))


def test_one_run_that_two_processes_ask_for_is_made_once(
    outcomes: list[Outcome], user_folder: Path, tmp_path: Path
) -> None:
    """The run that two processes want is made once, for both; the one that fails is an outcome and stops no other."""
    assert len(list(user_folder.glob("here-*"))) == 4
    assert len(list(user_folder.glob("fitted-*"))) == 1
    failed = [outcome for outcome in outcomes if outcome.record is None]
    assert [outcome.error for outcome in failed] == ["ArithmeticError: a weight below 0"]
    assert "model.weight=-1.0" in failed[0].overrides
    first, second = (outcome.record for outcome in outcomes if outcome.record is not None)
    assert first == second
    assert len(list((tmp_path / "runs").glob("csv/*/record.json"))) == 1


def test_an_error_between_runs_ends_those_of_a_launcher(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    class Endless:
        def __init__(self) -> None:
            self.end = threading.Event()

        def __call__(self, overrides: tuple[str, ...], *_: object) -> Outcome:
            assert self.end.wait(30)
            return Outcome(overrides, None, "cancelled")

        def cancel(self) -> None:
            self.end.set()

    def fail_after_start() -> Iterator[tuple[str, ...]]:
        yield ("model=popularity", *overrides)
        raise OSError("the disk is full")

    launch = Endless()
    with pytest.raises(OSError, match="the disk is full"):
        list(run_all(fail_after_start(), tmp_path, 2, launch=launch))
    assert launch.end.is_set()


def test_run_whose_code_has_changed_since_the_start_is_not_made(
    user_folder: Path, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    """The record would be named after code that this process has not read, and that a server may not run."""

    def edit_between() -> Iterator[tuple[str, ...]]:
        yield (*USER_OVERRIDES, "model.weight=1.0", *overrides)
        path = user_folder / "own_nearest.py"
        path.write_text(path.read_text().replace("return -self.weight", "return self.weight"))
        yield (*USER_OVERRIDES, "model.weight=2.0", *overrides)

    before, after = run_all(edit_between(), tmp_path / "runs", workers=1)
    assert before.record is not None
    assert after.record is None
    assert "have changed since this command started" in after.error
    assert len(list((tmp_path / "runs").glob("csv/*/record.json"))) == 1


def test_terminal_that_is_gone_stops_no_run(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def show_on_closed_terminal(_: str) -> Iterator[Callable[[str], None]]:
        def show(_: str) -> None:
            raise BrokenPipeError

        yield show

    monkeypatch.setattr(parallel, "show_progress", show_on_closed_terminal)
    (outcome,) = run_all([("model=popularity", *overrides)], tmp_path, workers=1)
    assert outcome.record is not None
    assert run_of(tmp_path, "model=popularity", *overrides).failure is None


class Deadly:
    """A model whose fit ends the process, as the kernel does when memory is out, or a person by Ctrl-C."""

    context_length = 0

    def __init__(self, number: int = signal.SIGKILL) -> None:
        self.number = number

    def fit(self, training: Training) -> None:
        os.kill(os.getpid(), self.number)

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> IntArray:
        raise AssertionError


def test_killed_process_is_a_failure_and_stops_no_other_run(
    tmp_path: Path,
    overrides: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(progress, "SECONDS_A_LINE", 0)
    deadly = (f"model._target_={__name__}.Deadly", *overrides)
    outcomes = {o.overrides: o for o in run_all([deadly, ("model=popularity", *overrides)], tmp_path, workers=1)}
    assert outcomes[deadly].record is None
    assert "killed by signal 9" in outcomes[deadly].error
    assert run_of(tmp_path, *deadly).failure == outcomes[deadly].error
    assert outcomes["model=popularity", *overrides].record is not None
    assert "model=popularity: Popularity\n" in capfd.readouterr().err  # sent by the process of the run


def test_death_that_cannot_be_written_down_stops_no_other_run(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(parallel, "save_failure", raise_full)
    deadly = (f"model._target_={__name__}.Deadly", *overrides)
    outcomes = list(run_all([deadly, ("model=popularity", *overrides)], tmp_path, workers=1))
    assert [outcome.record is None for outcome in outcomes] == [True, False]


def test_interrupted_run_has_not_failed(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    interrupted = (f"model._target_={__name__}.Deadly", f"model.number={int(signal.SIGINT)}", *overrides)
    (outcome,) = run_all([interrupted], tmp_path, workers=1)
    assert "killed by signal 2" in outcome.error
    assert run_of(tmp_path, *interrupted).failure is None


class Sleeper:
    """A model whose fit says that it runs, and goes on for long."""

    context_length = 0

    def __init__(self, path: str) -> None:
        self.path = path

    def fit(self, training: Training) -> None:
        tqdm([])  # which has a lock
        Path(self.path).write_text(str(os.getpid()))
        time.sleep(600)

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> IntArray:
        raise AssertionError


def test_interrupt_of_the_command_alone_ends_its_runs(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    path = tmp_path / "number"
    task = (f"model={__name__}.Sleeper", f"model.path={path}", *overrides)
    code = "import sys; from pathlib import Path; from sdmr.experiments.core.parallel import run_all\n"
    code += "list(run_all([tuple(sys.argv[2:])], Path(sys.argv[1]), 1))"
    command = [sys.executable, "-c", code, str(tmp_path), *task]
    process = subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not path.exists() or not path.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "leaked" not in error
    with pytest.raises(ProcessLookupError):
        os.kill(int(path.read_text()), 0)


def test_process_that_starts_after_the_interrupt_ends_at_once() -> None:
    before, after = Mock(), Mock()
    processes = parallel._Processes()
    processes.add(before)
    before.terminate.assert_not_called()
    processes.terminate()
    processes.add(after)
    assert [one.terminate.call_count for one in (before, after)] == [1, 1]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot hold a process to some cores")
def test_default_workers_are_the_cores_of_this_process() -> None:
    program = (
        "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1]); "
        "from sdmr.experiments.core.options import CORES; print(CORES)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True).stdout == "1\n"


def test_only_an_error_of_code_prints_its_traceback(
    user_folder: Path, tmp_path: Path, overrides: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert "must be a valid integer" in make_outcome(("model=mf-bpr", "model.dim=8.5", *overrides), tmp_path).error
    assert capfd.readouterr().err == ""
    assert "a weight below 0" in make_outcome((*USER_OVERRIDES, "model.weight=-1.0", *overrides), tmp_path).error
    assert "Traceback" in capfd.readouterr().err
