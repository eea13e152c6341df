"""Measure what the pruner saves and costs: `python -m tests.experiments.tuning.measure_pruning FOLDER`.

24 points of SDM's space are drawn once and trained on ML-100k to their ends, one after the other. A pruned training is
the beginning of the full one, to the bit. So the same curves tell where the pruner ends each trial, what it finds, and
what it costs. This takes an hour or two of processor time. The same command goes on after an interruption.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sdmr.experiments.core.parallel import run_all
from sdmr.experiments.tuning.pruning import History, get_curve, make_watch
from sdmr.harness.training.loop import StopTraining
from tests.experiments.tuning.helpers import make_search

POINTS = 24
ORDERS = 300  # of the same points, to see how much depends on theirs
TOLERANCE = 0.003  # of validation NDCG@10


def find_end(history: History, finished: Sequence[History]) -> int:
    """Return the epoch after which the pruner ends a trial, by the trials that have finished."""
    watch = make_watch(finished, math.inf)
    for epoch in range(len(history) - 1):  # called before each epoch
        try:
            if watch is not None:
                watch(history[: epoch + 1])
        except StopTraining:
            return epoch
    return len(history) - 1


def sum_minutes(history: History, end: int) -> float:
    return sum(entry["fit_cpu_seconds"] + entry["rank_cpu_seconds"] for entry in history[1 : end + 1]) / 60


def replay(histories: Sequence[History]) -> tuple[list[int], float, float]:
    """Return the epochs of each trial with pruning, the best value of those not pruned, and all CPU minutes."""
    finished: list[History] = []
    ends, best, minutes = [], 0.0, 0.0
    for history in histories:
        end = find_end(history, finished)
        if end == len(history) - 1:
            finished.append(history)
            best = max(best, get_curve(history)[-1])
        ends.append(end)
        minutes += sum_minutes(history, end)
    return ends, best, minutes


def main(folder: Path) -> None:
    search = make_search("sdm", "dataset=ml-100k", f"runs={folder}", f"results={folder / 'results'}")
    grid = search.sampler.list_grid()
    rng = np.random.default_rng(0)
    drawn = rng.choice(len(grid), POINTS, replace=False)
    tasks = [search.row.list_overrides(grid[index]) for index in drawn]
    histories: list[History] = []
    for outcome in run_all(tasks, folder, workers=1):
        assert outcome.record is not None, outcome.error
        histories.append(outcome.record.history or [])
    best = max(get_curve(history)[-1] for history in histories)
    minutes = sum(sum_minutes(history, len(history) - 1) for history in histories)
    ends, pruned_best, pruned_minutes = replay(histories)
    for history, end in zip(histories, ends, strict=True):
        print(f"{end} of {len(history) - 1} epochs, best {get_curve(history)[-1]:.4f}")
    print(f"without pruning: best {best:.4f}, {minutes:.1f} CPU minutes")
    print(f"with pruning: best {pruned_best:.4f}, {pruned_minutes:.1f} CPU minutes, {pruned_minutes / minutes:.0%}")
    orders = [replay([histories[n] for n in rng.permutation(POINTS)])[1:] for _ in range(ORDERS)]
    shares = np.array([spent for _, spent in orders]) / minutes
    worse = sum(best - one > TOLERANCE for one, _ in orders)
    print(
        f"{ORDERS} random orders: {shares.mean():.0%} of the time, from {shares.min():.0%} to {shares.max():.0%}; "
        f"half of it or less in {(shares <= 0.5).mean():.0%}; more than {TOLERANCE} lower in {worse}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
