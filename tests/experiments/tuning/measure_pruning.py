"""Measure what the pruner saves and costs: `python -m tests.experiments.tuning.measure_pruning FOLDER`.

24 points of SDM's space are drawn once and trained on ML-100k to their ends, one after the other. A pruned training is
the beginning of the full one, to the bit. So the same curves tell where the pruner ends each trial, what it finds, and
what it costs. This takes an hour or two of processor time. The same command goes on after an interruption.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sdmr.experiments.core.parallel import run_all
from sdmr.experiments.tuning.pruning import History, get_curve, make_watch
from sdmr.harness.training.loop import StopTraining
from tests.experiments.tuning.helpers import make_search

POINTS = 24


def find_end(history: History, finished: Sequence[History]) -> int:
    """Return the epoch after which the pruner ends a trial, by the trials that have finished."""
    watch = make_watch(finished)
    for epoch in range(len(history) - 1):  # called before each epoch
        try:
            if watch is not None:
                watch(history[: epoch + 1])
        except StopTraining:
            return epoch
    return len(history) - 1


def sum_minutes(history: History, end: int) -> float:
    return sum(entry["fit_cpu_seconds"] + entry["rank_cpu_seconds"] for entry in history[1 : end + 1]) / 60


def main(folder: Path) -> None:
    search = make_search("sdm", "dataset=ml-100k", f"runs={folder}", f"results={folder / 'results'}")
    grid = search.sampler.list_grid()
    drawn = np.random.default_rng(0).choice(len(grid), POINTS, replace=False)
    tasks = [search.row.list_overrides(grid[index]) for index in drawn]
    finished: list[History] = []
    best, minutes = {"full": 0.0, "pruned": 0.0}, {"full": 0.0, "pruned": 0.0}
    for number, outcome in enumerate(run_all(tasks, folder, workers=1), 1):
        assert outcome.record is not None, outcome.error
        history = outcome.record.history or []
        end = find_end(history, finished)
        if end == len(history) - 1:
            finished.append(history)
            best["pruned"] = max(best["pruned"], get_curve(history)[-1])
        best["full"] = max(best["full"], get_curve(history)[-1])
        for name, last in (("full", len(history) - 1), ("pruned", end)):
            minutes[name] += sum_minutes(history, last)
        print(
            f"{number}: {end} of {len(history) - 1} epochs; best {best['full']:.4f}, pruned {best['pruned']:.4f}; "
            f"{minutes['full']:.1f} CPU minutes, pruned {minutes['pruned']:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
