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
        losses = best - np.array([found for found, _ in orders])
        spent = np.mean([used for _, used in orders]) / minutes
        shares.append((np.mean(losses > 0), np.mean(losses > TOLERANCE), losses.max(), spent))
        lost, more, most, _ = shares[-1]
        name = f"{path.parent.name} {path.stem}"
        print(
            f"{name:24} {len(histories):2} trials: best one lost in {lost:4.0%} of orders, more than {TOLERANCE} lost in "
            f"{more:4.0%}, at most {most:.4f}; {spent:.0%} of the time"
        )
    lost, more, most, spent = (np.array(column) for column in zip(*shares, strict=True))
    print(
        f"{len(shares)} searches: best one lost in {lost.mean():.0%}, more than {TOLERANCE} lost in {more.mean():.0%}, at "
        f"most {most.max():.4f}; {spent.mean():.0%} of the time"
    )


if __name__ == "__main__":
    main()
