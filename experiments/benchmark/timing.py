"""Time models and the literal oracles that they are compared with.

What is compared takes turns, and the best of several rounds counts.
"""

import math
import runpy
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from typing import Any

import torch
from hydra.utils import instantiate

from sdmr.datasets.task import Training
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.registry import CHECKOUT
from sdmr.harness.training.base import TorchRecommender

ORACLES = CHECKOUT / "tests" / "oracles" / "batched.py"  # which a wheel does not have
Measure = Callable[[], float]  # does some work, and returns the seconds it took


@dataclass(frozen=True)
class Entry:
    """A measurement: the seconds of the program and, if there is one, of its oracle."""

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


@cache
def load_oracles() -> dict[str, type]:
    """Return the literal oracles by model, which only a checkout has."""
    if not ORACLES.is_file():
        return {}
    classes = runpy.run_path(str(ORACLES))
    return {"sdp": classes["LiteralSDP"], "sdm": classes["LiteralSDM"]}


def make_with_oracle(name: str, *overrides: str) -> list[Any]:
    """Make a model of three epochs as `sdmr run` does, and its oracle, if any."""
    config = compose_config([f"model={name}", "epochs=3", *overrides]).settings["model"]
    constructor = instantiate(config | {"_partial_": True})
    classes = (constructor.func, load_oracles().get(name))
    return [cls(**constructor.keywords) for cls in classes if cls is not None]


def make_model(name: str, *overrides: str) -> Any:
    """Make a model alone."""
    return make_with_oracle(name, *overrides)[0]


def best_of(repeats: int, *measures: Measure) -> list[float]:
    """Return the least seconds of each measure.

    They take turns, so that all of them see the good and the bad moments of a machine whose speed drifts.
    """
    times = [[measure() for measure in measures] for _ in range(repeats)]
    return [min(column) for column in zip(*times, strict=True)]


def time_training_step(model: TorchRecommender, training: Training) -> float:
    """Return the seconds of a training step.

    It runs in the training loop of every model. The first epoch, in which memory is first touched, does not count.
    """
    model.fit(training)
    steps = math.ceil(len(training.instances) / model.optimization.batch_size)
    return min(entry["fit_seconds"] for entry in model.history[2:]) / steps


def run_in_subprocess(work: Callable[..., Any], *arguments: Any, copies: int = 1) -> Any:
    """Return what `work` returns in a new process; of several copies at once, the largest."""
    context, threads = get_context("spawn"), torch.get_num_threads()
    with ProcessPoolExecutor(copies, context, initializer=torch.set_num_threads, initargs=(threads,)) as processes:
        return max([processes.submit(work, *arguments) for _ in range(copies)], key=Future.result).result()
