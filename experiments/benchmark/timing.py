"""Time calls and training steps. What is compared takes turns, and the best of several rounds counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import torch

from sdmr.datasets.task import Training
from sdmr.harness.training.base import TorchRecommender

Measure = Callable[[], float]  # does some work, and returns the seconds it took


@dataclass(frozen=True)
class Entry:
    """Hold one measurement: the seconds of the program, and those of what it is compared with, if anything."""

    name: str
    setting: dict[str, Any]
    seconds: float
    oracle_seconds: float | None = None
    threads: int = field(default_factory=torch.get_num_threads, kw_only=True)

    @property
    def ratio(self) -> float | None:
        """Return how many times faster than the oracle the program is."""
        return None if self.oracle_seconds is None else self.oracle_seconds / self.seconds

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x"
        oracle = "" if self.oracle_seconds is None else f"{self.oracle_seconds:.4g} s"
        count = self.setting.get("count")
        rate = f"{count / self.seconds:,.0f} {self.setting['of']}/s" if count else ""
        setting = ", ".join(f"{key} {value}" for key, value in self.setting.items() if key not in ("count", "of"))
        return f"{ratio:>9}  {self.name:21} {self.seconds:9.4g} s  {oracle:>9}  {rate:>26}  {setting}"


def best_of(repeats: int, *measures: Measure) -> list[float]:
    """Return the least seconds of each measure.

    They take turns, so that all of them see the good and the bad moments of a machine whose speed drifts.
    """
    times = [[measure() for measure in measures] for _ in range(repeats)]
    return [min(column) for column in zip(*times, strict=True)]


def time_call(work: Callable[[], object]) -> Measure:
    """Return a measure of a call's seconds."""

    def measure() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return measure


def time_training_step(model: TorchRecommender, training: Training) -> Measure:
    """Return a measure of a training step's seconds.

    A step is one of the training loop that every model is run by. The first epoch, in which memory is first touched,
    does not count.
    """

    def measure() -> float:
        model.fit(training)
        steps = -(-len(training.instances) // model.optimization.batch_size)
        return min(entry["fit_seconds"] for entry in model.history[2:]) / steps

    return measure


def run_in_subprocess(work: Callable[..., Any], *arguments: Any, copies: int = 1) -> Any:
    """Return what `work` returns in a new process; of several copies at once, the largest."""
    context, threads = get_context("spawn"), torch.get_num_threads()
    with ProcessPoolExecutor(copies, context, initializer=torch.set_num_threads, initargs=(threads,)) as processes:
        return max([processes.submit(work, *arguments) for _ in range(copies)], key=Future.result).result()
