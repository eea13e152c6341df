"""Stop hopeless trials, and the last one when the budget is spent.

Optuna's percentile pruner compares a trial with those that reached its epoch. Those that patience ended before are left
out there, and its study must be shared by all processes. Here a finished trial counts with its best value at all later
epochs, and the floor is known when a trial starts. So a trial ends at the same epoch on any machine, after any kill.
"""

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np

from sdmr.experiments.core.run_files import CHECKPOINT
from sdmr.experiments.core.trackers import History, Watch
from sdmr.harness.files import load_tensors_of
from sdmr.harness.training.loop import StopTraining

MIN_CURVES = 4  # finished trials before any is stopped
FIRST_EPOCH = 3  # after which a trial may be stopped
PERCENTILE = 100 / 3


def get_curve(history: History) -> list[float]:
    """Return the best validation value so far after each epoch, from 1.

    Without the start: of a model of fitted parts, it is often the best value, and the same in all trials.
    """
    return list(accumulate((entry.get("validation", 0.0) for entry in history[1:]), max))


def summarize(history: History) -> tuple[int | None, float, float]:
    """Return the epochs of an unfinished trial, its best validation value, and its CPU seconds."""
    seconds = sum(entry["fit_cpu_seconds"] + entry["rank_cpu_seconds"] for entry in history[1:])
    return len(history) - 1 if history else None, max(get_curve(history), default=-1.0), seconds


def make_watch(histories: Sequence[History], budget: float, prune: bool = True) -> Watch | None:
    """Return what stops a trial, None if nothing does.

    Args:
        histories: Of the finished trials that it knows.
        budget: The CPU seconds left, after which it stops. A search has at least one finished trial: where the trial
            knows of none, nothing stops it.
        prune: Whether it also stops if its values are hopeless.
    """
    curves = [curve for history in histories if (curve := get_curve(history))]
    if not curves:
        return None
    length = max(map(len, curves))
    extended = [curve + [curve[-1]] * (length - len(curve)) for curve in curves]
    floor: list[float] = []
    if prune and len(curves) >= MIN_CURVES:
        floor = [float(value) for value in np.percentile(extended, PERCENTILE, axis=0)]
    return partial(check_progress, floor, budget)


def check_progress(floor: Sequence[float], budget: float, history: History) -> None:
    """Raise StopTraining if the best value is below the floor, or the budget spent."""
    curve = get_curve(history)
    if floor and len(curve) >= FIRST_EPOCH and curve[-1] < floor[min(len(curve), len(floor)) - 1]:
        raise StopTraining
    if curve and summarize(history)[2] > budget:
        raise StopTraining


def read_history(folder: Path) -> History:
    """Return the epochs in a run's checkpoint, or none without one."""
    saved = load_tensors_of(folder / CHECKPOINT, "cpu")
    history: History = saved["history"] if saved else []
    return history
