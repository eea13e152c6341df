"""Make the cells of Tables 3 and 4 from records, beside the paper's values. A missing number is NaN."""

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import MODELS, get_model
from sdmr.experiments.core.store import RANKS, RECORD, list_published_folders
from sdmr.experiments.report.uncertainty import aggregate_by_user, bootstrap_mean, judge_paper_value
from sdmr.harness.metrics import TIE_POLICIES, TiePolicy
from sdmr.harness.records import read_ranks

METRICS = ("hit@10", "NDCG@10")
PAPER = Path(__file__).parents[1] / "paper"  # the paper's tables
DATASETS = {3: ("ml-100k", "ml-1m", "netflix", "epinions"), 4: ("ijcai-15", "ta-feng")}
TABLES = {dataset: table for table, datasets in DATASETS.items() for dataset in datasets}
CELL = ["dataset", "model", "metric", "paper", "ours", "spread", "seeds", "optimistic", "pessimistic", "commit"]
GROUPS = ("general", "sequential")  # of baselines, as the paper has them


def list_rows(frame: pd.DataFrame) -> list[Any]:
    """Return the rows, whose cells are attributes named by their columns."""
    return list(frame.itertuples(index=False))


@cache
def read_paper_values() -> pd.Series:
    """Return the paper's Tables 3 and 4, by (data set, printed model, metric)."""
    values = {}
    for table, datasets in DATASETS.items():
        printed = pd.read_csv(PAPER / f"table{table}.csv", index_col="method", dtype=str).to_dict("index")
        for dataset, model, metric in product(datasets, printed, METRICS):
            values[dataset, str(model), metric] = float(printed[model][f"{dataset}_{metric.lower()}"])
    return pd.Series(values)


def get_paper_value(dataset: str, model: str, metric: str) -> float:
    """Return the paper's value of a model, NaN where it prints none."""
    return float(read_paper_values().get((dataset, get_model(model).name, metric), math.nan))


@cache
def read_groups() -> dict[str, str]:
    """Return the paper's group of each model, by printed name."""
    return dict(pd.read_csv(PAPER / "table3.csv", index_col="method")["group"])


def list_published(results: Path, dataset: str, model: str) -> list[Path]:
    """Return the folders of a model's published records, by seed."""
    return list_published_folders(results, f"table{TABLES[dataset]}", dataset, model) if dataset in TABLES else []


def average_seeds(
    dataset: str, model: str, folders: Sequence[Path], tie_policy: TiePolicy = "expected"
) -> pd.DataFrame:
    """Return a row for each metric of a model: the paper's value and our mean.

    Args:
        dataset: The data set's name.
        model: The model's name on the command line. The rows have its printed name.
        folders: The runs of its seeds, each with `record.json`.
        tie_policy: How `ours` and `spread`, the sample standard deviation over seeds, read a tie.
    """
    records = [load_record(folder / RECORD) for folder in folders]
    if model in MODELS and records and records[0].history is None:  # untrained: every seed gives the same
        records = records[:1]
    commit = ", ".join(sorted({record.environment.commit or "" for record in records}))
    rows = []
    for metric in METRICS:
        values = pd.DataFrame([record.metrics()[metric] for record in records], columns=TIE_POLICIES, dtype=float)
        names = (dataset, get_model(model).name, metric)
        means, spread = values.mean(), values[tie_policy].std()
        paper = get_paper_value(dataset, model, metric)
        bounds = (means["optimistic"], means["pessimistic"])
        rows.append((*names, paper, means[tie_policy], spread, len(records), *bounds, commit))
    return pd.DataFrame(rows, columns=CELL)


def make_cells(dataset: str, model: str, folders: Sequence[Path], settings: str = "default") -> pd.DataFrame:
    """Return the rows of `average_seeds` with intervals, verdicts on the paper, and settings.

    The folders have `ranks.npz` too. `low` and `high` are a 95 % bootstrap interval over users.
    """
    cells = average_seeds(dataset, model, folders)
    if not folders:
        return cells.assign(low=math.nan, high=math.nan, verdict="", settings="")
    counted = folders[: cells["seeds"].iloc[0]]
    intervals = [bootstrap_mean(*_average_ranks(counted, metric, "expected")) for metric in METRICS]
    verdicts = [judge_paper_value(paper, one) for paper, one in zip(cells["paper"], intervals, strict=True)]
    cells[["low", "high"]] = intervals
    return cells.assign(verdict=verdicts, settings=settings)


def average_by_user(folders: Sequence[Path], metric: str, tie_policy: TiePolicy = "expected") -> NDArray[np.float64]:
    """Return each user's mean of the metric over seeds and test instances [n_users]."""
    total, count = aggregate_by_user(*_average_ranks(folders, metric, tie_policy))
    return total / count


def _average_ranks(folders: Sequence[Path], metric: str, tie_policy: TiePolicy) -> tuple[IntArray, NDArray[np.float64]]:
    """Return the user of each test instance, and its mean metric over seeds."""
    values = []
    for folder in folders:
        users, ranks = read_ranks(folder / RANKS)
        values.append(ranks.hit(10, tie_policy) if metric == "hit@10" else ranks.ndcg(10, tie_policy))
    return users, np.mean(values, axis=0)


def select_best_on_validation(folders: Mapping[str, Sequence[Path]]) -> str:
    """Return the model (key) with the best mean validation NDCG@10 over its seeds."""

    def average(model: str) -> float:
        records = (load_record(folder / RECORD) for folder in folders[model])
        return statistics.mean(record.validation["NDCG@10"]["expected"] for record in records)

    return max(folders, key=average)
