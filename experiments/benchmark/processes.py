"""Measure in new processes, which inherit no memory and no warm threads."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from typing import Any

import torch

_barrier: Barrier | None = None  # of a process that run_copies has started


def run_in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `work` returns in a new process."""
    return run_copies(1, work, *arguments)[0]


def run_copies(number: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Return what `work` returns in each of several new processes at once."""
    context = get_context("spawn")
    start = torch.get_num_threads(), context.Barrier(number)
    with ProcessPoolExecutor(number, context, initializer=_start, initargs=start) as processes:
        futures = [processes.submit(work, *arguments) for _ in range(number)]
        return [future.result() for future in futures]


def wait_for_copies() -> None:
    """Wait until every copy has come here, so that what follows runs at once."""
    if _barrier is not None:
        _barrier.wait()


def _start(n_threads: int, barrier: Barrier) -> None:
    global _barrier  # which a process can get only as it starts
    _barrier = barrier
    torch.set_num_threads(n_threads)
