"""From records to the cells of Tables 3 and 4, beside the paper's values."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import MODELS, get_model
from sdmr.experiments.core.store import RANKS, RECORD
from sdmr.experiments.report.stats import aggregate_by_user, bootstrap_interval, judge_paper_value
from sdmr.harness.metrics import TiePolicy
from sdmr.harness.records import read_ranks

METRICS = ("hit@10", "NDCG@10")
PAPER = Path(__file__).parents[1] / "paper"  # the paper's tables
DATASETS = {3: ("ml-100k", "ml-1m", "netflix", "epinions"), 4: ("ijcai-15", "ta-feng")}
GROUPS = ("general", "sequential")  # of baselines, as the paper has them


@dataclass(frozen=True)
class Cell:
    """One metric of one model on one data set, over the seeds that were run: a row of `results/table3.csv`."""

    dataset: str
    model: str  # as the paper prints it
    metric: str
    paper: float | None = None
    ours: float | None = None  # the mean over seeds
    spread: float | None = None  # sample standard deviation over seeds; None for fewer than two
    seeds: int = 0
    optimistic: float | None = None
    pessimistic: float | None = None
    low: float | None = None  # of the 95 % interval, a bootstrap over users
    high: float | None = None
    verdict: str = ""  # where the paper's value lies: paper lower, inside, paper higher
    settings: str = ""  # default or tuned, where there are seeds
    marks: str = ""  # significant differences from the best baselines, such as "g+ s−"
    commit: str = ""

    @property
    def is_paper_outside(self) -> bool:
        """Whether the paper's value lies outside our 95 % interval."""
        return self.verdict not in ("", "inside")


@cache
def read_paper_values(table: int) -> pd.Series:
    """Return the paper's Table 3 or 4: its values by (data set, model, metric)."""
    frame = pd.read_csv(PAPER / f"table{table}.csv", index_col="method", dtype=str)
    return pd.Series(
        {
            (dataset, str(model), metric): float(values[f"{dataset}_{metric.lower()}"])
            for model, values in frame.to_dict("index").items()
            for dataset in DATASETS[table]
            for metric in METRICS
        }
    )


def get_paper_value(table: int, dataset: str, model: str, metric: str) -> float | None:
    """Return a value of the paper's, None where it prints none. `model` is the printed name."""
    value = read_paper_values(table).get((dataset, model, metric))
    return None if value is None else float(value)


@cache
def read_groups(table: int) -> dict[str, str]:
    """Return the paper's group of each model in the table, by printed name."""
    return dict(pd.read_csv(PAPER / f"table{table}.csv", index_col="method")["group"])


def make_cells(
    table: int,
    dataset: str,
    model: str,
    folders: Sequence[Path],
    tie_policy: TiePolicy = "expected",
    settings: str = "default",
) -> list[Cell]:
    """Return a cell for each metric of a model.

    Args:
        table: 3 or 4.
        dataset: The data set's name.
        model: The model's name on the command line.
        folders: The runs of its seeds, each with `record.json` and `ranks.npz`.
        tie_policy: How the values read a tie. The interval and the verdict hold for the expected ones.
        settings: How the runs were made, default or tuned.
    """
    name = get_model(model).name
    records = [load_record(folder / RECORD) for folder in folders]
    if model in MODELS and records and records[0].history is None:  # untrained: every seed gives the same
        records = records[:1]
    commit = ", ".join(sorted({record.environment.commit or "" for record in records}))
    cells = []
    for metric in METRICS:
        paper = get_paper_value(table, dataset, name, metric)
        if not records:
            cells.append(Cell(dataset, name, metric, paper))
            continue
        values = [record.metrics()[metric] for record in records]
        ours = [value[tie_policy] for value in values]
        optimistic, pessimistic = (statistics.mean(v[side] for v in values) for side in ("optimistic", "pessimistic"))
        spread = statistics.stdev(ours) if len(ours) > 1 else None
        interval = bootstrap_interval(*_average_seeds(folders[: len(records)], metric, "expected"))
        verdict = "" if paper is None else judge_paper_value(paper, interval)
        numbers = (statistics.mean(ours), spread, len(records), optimistic, pessimistic, *interval)
        cells.append(Cell(dataset, name, metric, paper, *numbers, verdict, settings, commit=commit))
    return cells


def per_user(folders: Sequence[Path], metric: str, tie_policy: TiePolicy = "expected") -> NDArray[np.float64]:
    """Return [n_users]: the metric's mean over the seeds and over the user's test instances, in the order of users."""
    total, count = aggregate_by_user(*_average_seeds(folders, metric, tie_policy))
    return total / count


def _average_seeds(folders: Sequence[Path], metric: str, tie_policy: TiePolicy) -> tuple[IntArray, NDArray[np.float64]]:
    """Return the user of each test instance, and the mean of the metric over the seeds."""
    values = []
    for folder in folders:
        users, ranks = read_ranks(folder / RANKS)
        values.append(ranks.hit(10, tie_policy) if metric == "hit@10" else ranks.ndcg(10, tie_policy))
    return users, np.mean(values, axis=0)


def select_best_on_validation(folders: Mapping[str, Sequence[Path]]) -> str:
    """Return the model (a key of `folders`) with the best mean validation NDCG@10 over its seeds."""

    def average(model: str) -> float:
        records = (load_record(folder / RECORD) for folder in folders[model])
        return statistics.mean(record.validation["NDCG@10"]["expected"] for record in records)

    return max(folders, key=average)
