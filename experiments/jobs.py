"""Several runs side by side: one process each, so that a run's peak memory is its own and a crash is its own too."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from joblib import cpu_count

from sdmr.experiments.configs import MODELS, compose_run
from sdmr.experiments.execute import execute, make_run, note_failure

CORES = cpu_count()  # that this process may use; a scheduler or a container may leave it fewer than there are

# What a run imports: this module, every model, and what PyTorch's optimisers import when the first of them is made.
PRELOADED = [__name__, "torch._dynamo", *sorted({model.target.rpartition(".")[0] for model in MODELS.values()})]


@dataclass(frozen=True)
class Outcome:
    """A finished run, or why there is none."""

    overrides: tuple[str, ...]
    record: dict[str, Any] | None
    error: str = ""
    has_died: bool = False  # its process has, so that the run could not note itself why


def at_least_one(text: str) -> int:
    """A number of jobs, threads or seeds, for argparse. Raises ArgumentTypeError if it is less than one, or none."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text} is no whole number from 1 on")
    return int(text)


def heeded(override: str) -> str:
    """The override. Raises ArgumentTypeError for what runs side by side do not heed, with an option of its own or none.

    For argparse, which tells it in one line.
    """
    if (name := override.partition("=")[0].lstrip("+")) in ("model", "dataset", "seed", "test"):
        told = "the test items are ranked" if name == "test" else "see the options of this command"
        raise ArgumentTypeError(f"{override} would change each of the runs that are compared here; {told}")
    try:
        refuse_ignored([override], "runs")
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    return override


def refuse_ignored(overrides: Iterable[str], *others: str) -> None:
    """Raise ValueError for what runs side by side would not heed: `threads`, `force`, Hydra's own, and the `others`."""
    for override in overrides:
        name = override.partition("=")[0].lstrip("+")
        if name.startswith(("hydra/", "hydra.")):
            raise ValueError(f"{override} has no effect here; a launcher goes with `python -m sdmr.experiments.run -m`")
        if name in ("threads", "force", *others):
            raise ValueError(
                f"{override} has no effect here: runs have one thread each, and one that is there is not made again; "
                "`python -m sdmr.experiments.run` makes a single one as it is told"
            )


def run_all(jobs: Iterable[tuple[str, ...]], runs: Path, workers: int) -> Iterator[Outcome]:
    """Run `sdmr.experiments.run` with each job's overrides, `workers` at a time on one thread each, in any order.

    The next job is asked for when a worker is free for it, so that a generator may depend on the outcomes so far. A job
    that fails, or whose process is killed, is an outcome with its error, and does not stop the others.
    """
    if workers > 1:
        os.environ["TQDM_DISABLE"] = "1"  # the bars of several processes would overwrite each other
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = "1"
    with ThreadPoolExecutor(workers) as threads:
        waiting = iter(jobs)
        running = {threads.submit(_in_its_own_process, job, runs) for job in islice(waiting, workers)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                outcome = future.result()
                if outcome.has_died:  # noted here, as Hydra composes in one thread at a time
                    note_failure(make_run(*compose_run(outcome.overrides), runs), outcome.error)
                yield outcome
                running |= {threads.submit(_in_its_own_process, job, runs) for job in islice(waiting, 1)}


def _in_its_own_process(job: tuple[str, ...], runs: Path) -> Outcome:
    """Forked from a server that has imported what a run needs and done nothing else, which takes seconds otherwise."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, dict(os.environ), job, runs))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:  # it has died
        process.join()
        code = process.exitcode or 0
        memory = " (out of memory?)" if code == -signal.SIGKILL else ""
        error = f"its process was killed by signal {-code}{memory}" if code < 0 else f"its process exited: {code}"
        return Outcome(job, None, error, has_died=code != -signal.SIGINT)
    finally:
        process.join()


def _send(sender: Connection, environment: dict[str, str], job: tuple[str, ...], runs: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # by Ctrl-C a run is cut off, and has not failed
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment)  # the server's is that of its start
    sender.send(_run(job, runs))


def _end_with_parent() -> None:
    """Who kills a sweep, and nothing else, wants its runs to end too. They go on from their last epoch another time."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run(job: tuple[str, ...], runs: Path) -> Outcome:
    try:
        config, dataset = compose_run(job)
        return Outcome(job, execute(make_run(config, dataset, runs)))
    except Exception as error:  # whatever a model raises is this run's outcome
        traceback.print_exc()
        return Outcome(job, None, f"{type(error).__name__}: {error}")
