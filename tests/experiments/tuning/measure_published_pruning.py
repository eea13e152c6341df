"""Measure what the pruner would lose: `python -m tests.experiments.tuning.measure_published_pruning`.

Each published search with enough trained trials is replayed in random orders. Trials that were pruned have no full
curve, so they are left out: the others were better at first, and the pruner ends fewer of them.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.experiments.core.record import load_record
from sdmr.experiments.tuning.pruning import History, get_curve
from tests.experiments.tuning.measure_pruning import TOLERANCE, replay, sum_minutes

ENOUGH = 7  # trials with full curves: the pruner waits for four
ORDERS = 100


def read_histories(path: Path) -> list[History]:
    """Return the histories of a search's finished trials of models with epochs."""
    trials = pd.read_csv(path)
    if "state" not in trials or "run" not in trials:  # of an earlier version
        return []
    runs = trials.loc[trials["state"] == "complete", "run"]
    records = [load_record(file) for run in runs if (file := path.parent / str(run) / "record.json").exists()]
    return [record.history for record in records if record.history]


def describe(lost: float, more: float, most: float, spent: float) -> str:
    """Return what the orders lose and take."""
    shares = f"{lost:.0%} of the orders lose the best trial, {more:.0%} more than {TOLERANCE}"
    return f"{shares}, at most {most:.4f}; {spent:.0%} of the time"


def main() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for path in sorted(Path("results/sweeps").glob("*/*.csv")):
        histories = read_histories(path)
        if len(histories) < ENOUGH:
            continue
        best = max(get_curve(history)[-1] for history in histories)
        minutes = sum(sum_minutes(history, len(history) - 1) for history in histories)
        orders = [replay([histories[n] for n in rng.permutation(len(histories))])[1:] for _ in range(ORDERS)]
        losses = best - np.array([value for value, _ in orders])
        spent = np.mean([used for _, used in orders]) / minutes
        shares.append((np.mean(losses > 0), np.mean(losses > TOLERANCE), losses.max(), spent))
        lost, more, most, _ = shares[-1]
        print(f"{path.parent.name} {path.stem}, {len(histories)} trials: {describe(*shares[-1])}")
    lost, more, most, spent = (np.array(column) for column in zip(*shares, strict=True))
    print(f"{len(shares)} searches: {describe(lost.mean(), more.mean(), most.max(), spent.mean())}")


if __name__ == "__main__":
    main()
