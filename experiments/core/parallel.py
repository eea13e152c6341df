"""Runs side by side. A process each keeps peak memory and crashes apart."""

import os
import signal
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.errors import ConfigError, UsageError
from sdmr.experiments.core.execute import execute, save_failure
from sdmr.experiments.core.progress import Progress, hide_bars, label_runs, show_progress
from sdmr.experiments.core.record import Record
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.run import compose_run
from sdmr.experiments.core.trackers import Tracker, Watch
from sdmr.harness.training.loop import StopTraining

# What a run imports: this module, every model, and what PyTorch's optimizers import when the first of them is made.
PRELOADED = [__name__, "torch._dynamo", *sorted({model.target.rpartition(".")[0] for model in MODELS.values()})]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """A finished run, or why there is none."""

    overrides: tuple[str, ...]
    record: Record | None
    error: str = ""
    has_died: bool = False  # its process has, so that the run could not write its own failure
    is_stopped: bool = False  # by its watch


class _Processes:
    """The processes of runs. Once they are terminated, a later one ends as it starts."""

    def __init__(self) -> None:
        self._running: set[BaseProcess] = set()
        self._is_over = False

    def add(self, process: BaseProcess) -> None:
        self._running.add(process)
        if self._is_over:
            process.terminate()

    def discard(self, process: BaseProcess) -> None:
        self._running.discard(process)

    def terminate(self) -> None:
        self._is_over = True
        for process in list(self._running):
            process.terminate()


class Launcher(Protocol):
    """Makes runs elsewhere than in processes of this machine."""

    def __call__(self, overrides: tuple[str, ...], runs: Path, watch: Watch | None, name: str) -> Outcome:
        """Make a run that must have this name, and wait for it."""

    def cancel(self) -> None:
        """End all its runs."""


def run_all(
    tasks: Iterable[tuple[str, ...]],
    runs: Path,
    workers: int,
    watches: Mapping[tuple[str, ...], Watch] | None = None,
    launch: Launcher | None = None,
    labels: Mapping[tuple[str, ...], object] | None = None,
) -> Iterator[Outcome]:
    """Yield runs as they end, `workers` at a time on one thread each.

    The next one is asked for when a worker is free for it, so that a generator may depend on the outcomes so far. A run
    that fails, or whose process is killed, is an outcome with its error, and does not stop the others. So is one whose
    code or data have changed since this process read them: its record would bear a wrong name. `watches` has
    what may stop the training of a task; a generator may add it before it yields the task. `launch` makes a run
    elsewhere. `labels` name the lines of progress; without them, those of a list are the settings in which its runs
    differ. What ends this generator ends its runs, such as an interrupt of this process alone.
    """
    processes = _Processes()

    def start(overrides: tuple[str, ...]) -> Future[Outcome]:
        watch, name = (watches or {}).get(overrides), _name_run(overrides, runs)
        if launch:
            return threads.submit(launch, overrides, runs, watch, name)
        label = str((labels or {}).get(overrides, ""))
        return threads.submit(_run_in_subprocess, overrides, runs, watch, name, label, processes)

    if labels is None and isinstance(tasks, Sequence):
        labels = label_runs(tasks)
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    with ThreadPoolExecutor(workers) as threads:
        pending = iter(tasks)
        try:
            running = {start(overrides) for overrides in islice(pending, workers)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    outcome = future.result()
                    if outcome.has_died:  # written here, as Hydra composes in one thread at a time
                        with suppress(OSError, DataError):  # such as a full disk; the other runs go on
                            save_failure(compose_run(outcome.overrides, runs), outcome.error)
                    yield outcome
                    running |= {start(overrides) for overrides in islice(pending, 1)}
        except BaseException:  # an interrupt, the end of the generator, or an error such as a full disk
            processes.terminate()
            if launch:
                launch.cancel()
            raise


def _name_run(overrides: tuple[str, ...], runs: Path) -> str:
    """Return the name of a run, by this process; nothing if it cannot be composed.

    The name depends on the code and the data that were read first.
    """
    try:
        return compose_run(overrides, runs).folder.name
    except (UsageError, DataError, OSError):  # which the run reports itself
        return ""


def _run_in_subprocess(
    overrides: tuple[str, ...],
    runs: Path,
    watch: Watch | None,
    name: str,
    label: str,
    processes: _Processes,
) -> Outcome:
    """Make a run in a new process, and show its progress.

    A server that has imported everything forks it. It is one of `processes` until it ends.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_outcome, args=(sender, dict(os.environ), overrides, runs, watch, name))
    process.start()
    processes.add(process)
    sender.close()
    try:
        with show_progress(label) as show:
            while isinstance(message := _receive(receiver), str):
                with suppress(OSError):  # such as a closed terminal; the run goes on
                    show(message)
        if message is not None:
            return message
        process.join()
        code = process.exitcode or 0
        memory = " (out of memory?)" if code == -signal.SIGKILL else ""
        error = f"its process was killed by signal {-code}{memory}" if code < 0 else f"its process exited: {code}"
        return Outcome(overrides, None, error, has_died=code != -signal.SIGINT)
    finally:
        process.join()
        processes.discard(process)


def _receive(receiver: Connection) -> str | Outcome | None:
    """Return what a run sends; None if its process has died.

    This may happen while it sends its outcome.
    """
    try:
        message: str | Outcome = receiver.recv()
        return message
    except (EOFError, OSError):
        return None


def _send_outcome(
    sender: Connection,
    environment: dict[str, str],
    overrides: tuple[str, ...],
    runs: Path,
    watch: Watch | None,
    name: str,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # by Ctrl-C a run is interrupted, and has not failed
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    hide_bars()
    os.environ.update(environment)  # the server's is that of its start
    sender.send(make_outcome(overrides, runs, watch, name, Progress(sender.send)))


def _exit_with_parent() -> None:
    """End this process with its parent. Its run continues from the last finished epoch another time."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def make_outcome(
    overrides: tuple[str, ...],
    runs: Path,
    watch: Watch | None = None,
    name: str = "",
    progress: Tracker | None = None,
) -> Outcome:
    """Make a run in this process. An exception of the model becomes the outcome's error.

    A traceback is for an error of code, not for a setting or a file of the user's. A run that has another `name` than
    is expected is not made: its code may not be what this process has imported.
    """
    try:
        run = compose_run(overrides, runs)
        if name not in ("", run.folder.name):
            raise ConfigError("its code or data have changed since this command started: give the command again")
        return Outcome(overrides, execute(run, watch=watch, progress=progress))
    except StopTraining:
        return Outcome(overrides, None, is_stopped=True)
    except Exception as error:
        if not isinstance(error, UsageError | DataError | OSError):
            traceback.print_exc()
        return Outcome(overrides, None, f"{type(error).__name__}: {error}")
