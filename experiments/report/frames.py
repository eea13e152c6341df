"""Make the cells of Tables 3 and 4 from records, beside the paper's values. A missing number is NaN."""

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import BASKET_DATASETS, GRID, GRID_ROWS, MODELS, get_model
from sdmr.experiments.core.store import RANKS, RECORD, list_published_folders
from sdmr.experiments.report.uncertainty import SeedPart, Size, estimate_mean, judge_size
from sdmr.harness.metrics import TIE_POLICIES, TiePolicy, summarize
from sdmr.harness.records import read_ranks

METRICS = ("hit@10", "NDCG@10")
ALL = " all"  # behind the name of a metric: among all unseen items
PAPER = Path(__file__).parents[1] / "paper"  # the paper's tables
DATASETS = {3: ("ml-100k", "ml-1m", "netflix", "epinions"), 4: BASKET_DATASETS}
PRINTED = {dataset: table for table, datasets in DATASETS.items() for dataset in datasets}
ID_ORDER_DATASET = "epinions-id-order"  # the claim on Epinions is judged on it
# Data sets with published records, but in no table: by name, the one whose printed values stand beside theirs.
FURTHER_DATASETS = {ID_ORDER_DATASET: "epinions", "netflix-sample": "netflix"}
# By data set: the table with whose records its own are published.
TABLES = PRINTED | {dataset: PRINTED[printed] for dataset, printed in FURTHER_DATASETS.items()}
CELL = ["dataset", "model", "metric", "paper", "ours", "spread", "seeds", "optimistic", "pessimistic", "commit"]
BOUNDS = ["low", "high", "run_low", "run_high"]
SIZES = {"inside": Size.AS_PRINTED, "paper higher": Size.SMALLER, "paper lower": Size.LARGER}  # of a verdict
VERDICTS = {size: verdict for verdict, size in SIZES.items()}
OTHER_TARGETS = {"test_item", "equal_times", "candidates"}  # deviations that rule out a comparison with the paper
MIN_SEEDS = 3  # that a model needs before other rows borrow its variance between seeds
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
    return float(read_paper_values().get((dataset, get_model(model.removesuffix(GRID)).name, metric), math.nan))


@cache
def read_groups() -> dict[str, str]:
    """Return the paper's group of each model, by printed name."""
    return dict(pd.read_csv(PAPER / "table3.csv", index_col="method")["group"])


def list_published(results: Path, dataset: str, model: str) -> list[Path]:
    """Return the folders of a model's published records, by seed."""
    return list_published_folders(results, f"table{TABLES[dataset]}", dataset, model) if dataset in TABLES else []


def select_row(results: Path, dataset: str, model: str) -> str:
    """Return the row that claims are judged on: inside the paper's grid, if published."""
    row = f"{model}{GRID}"
    return row if row in GRID_ROWS and list_published(results, dataset, row) else model


def drop_unranked(cells: pd.DataFrame) -> pd.DataFrame:
    """Return cells without metrics among all items that no record has.

    A data set keeps the metrics that any of its records has.
    """
    is_ranked = cells.groupby(["dataset", "metric"])["ours"].transform("count") > 0
    return cells[is_ranked | ~cells["metric"].str.endswith(ALL)].reset_index(drop=True)


def average_seeds(
    dataset: str,
    model: str,
    folders: Sequence[Path],
    tie_policy: TiePolicy = "expected",
    metrics: Sequence[str] = METRICS,
    printed: str = "",
) -> pd.DataFrame:
    """Return a row for each metric of a model: the paper's value and our mean.

    Without ranks among all items, the mean of a metric among them is NaN, and the number of seeds 0. The paper's value
    is NaN beside records of other test items or candidates than the paper's.

    Args:
        dataset: The data set's name.
        model: The model's name on the command line. The rows have its printed name.
        folders: The runs of its seeds, each with `record.json`.
        tie_policy: How `ours` and `spread`, the sample standard deviation over seeds, read a tie.
        metrics: Those of records, or any other that their ranks give.
        printed: The data set whose printed values count, if it is not `dataset`.
    """
    records = [load_record(folder / RECORD) for folder in folders]
    if model in MODELS and records and not is_trained(model, records[0]):  # every seed gives the same
        records = records[:1]
    commit = ", ".join(sorted({record.environment.commit or "" for record in records}))
    is_paper_protocol, rows = not any(map(has_other_targets, records)), []
    for metric in metrics:
        values = pd.DataFrame(
            [read_metric(*one, metric) for one in zip(folders, records, strict=False)],
            columns=list(dict.fromkeys([*TIE_POLICIES, tie_policy])),
            dtype=float,
        )
        names = (dataset, get_model(model).name, metric)
        means, spread = values.mean(), values[tie_policy].std()
        paper = get_paper_value(printed or dataset, model, metric) if is_paper_protocol else math.nan
        bounds = (means["optimistic"], means["pessimistic"])
        seeds = int(values[tie_policy].count())
        rows.append((*names, paper, means[tie_policy], spread, seeds, *bounds, commit if seeds else ""))
    return pd.DataFrame(rows, columns=CELL)


def has_other_targets(record: Record) -> bool:
    """Tell whether another rule than the paper's draws test items or candidates."""
    return bool(OTHER_TARGETS & record.deviations.keys())


def is_trained(model: str, record: Record) -> bool:
    """Tell whether a model was trained from random numbers. Of scores made elsewhere, this is assumed."""
    return record.history is not None or get_model(model).is_random or not record.validation


def read_metric(folder: Path, record: Record, metric: str) -> Mapping[str, float]:
    """Return a metric by tie policy, of the record or of its ranks.

    It is empty if the record has no ranks among all items, or its ranks are too old for the metric.
    """
    is_among_all, name = metric.endswith(ALL), metric.removesuffix(ALL)
    metrics = record.test_all if is_among_all else record.metrics()
    if metrics is None or name in metrics:
        return {} if metrics is None else metrics[name]
    ranks = read_ranks(folder / RANKS, is_among_all)[1]
    if name == "AUC" and ranks.others is None:
        return {}
    base, _, cutoff = name.partition("@")
    return {str(policy): value for policy, value in summarize(ranks, [int(cutoff or 1)], [base])[name].items()}


class Row(NamedTuple):
    """A model's metric on the test instances."""

    users: IntArray  # [n]
    values: NDArray[np.float64]  # [seeds, n]
    seeds: tuple[SeedPart, ...]  # one, of a trained model


def read_seed_spreads(results: Path, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Return s² of each published model with three seeds, by data set and metric."""
    rows = []
    for dataset, model in product(PRINTED, MODELS):
        if len(folders := list_published(results, dataset, model)) < MIN_SEEDS:
            continue
        cells = average_seeds(dataset, model, folders, metrics=metrics)
        rows += [
            (model, one.metric, one.spread**2, one.seeds - 1) for one in list_rows(cells) if one.seeds >= MIN_SEEDS
        ]
    return pd.DataFrame(rows, columns=["model", "metric", "variance", "degrees"])


def load_row(
    model: str, folders: Sequence[Path], metric: str, spreads: pd.DataFrame, tie_policy: TiePolicy = "expected"
) -> Row:
    """Read a model's ranks, and how far its seeds differ.

    A trained model with one seed borrows the model's largest s² of `spreads` or, if there is none, the largest of all
    models. Without any, or untrained, it has no seed part. Seeds without ranks among all items are left out of a metric
    among them.
    """
    is_among_all, name = metric.endswith(ALL), metric.removesuffix(ALL)
    if is_among_all:
        folders = [folder for folder in folders if load_record(folder / RECORD).test_all is not None]
    is_random = is_trained(model, load_record(folders[0] / RECORD))
    if model in MODELS and not is_random:  # every seed gives the same
        folders = folders[:1]
    values = []
    for folder in folders:
        users, ranks = read_ranks(folder / RANKS, is_among_all)
        values.append(ranks.compute(name, tie_policy))
    part: tuple[SeedPart, ...] = ()
    if len(folders) > 1:
        part = (SeedPart(float(np.mean(values, axis=1).var(ddof=1)), len(folders), len(folders) - 1),)
    elif is_random and len(known := spreads[spreads["metric"] == metric]):
        same = known[known["model"] == model.removesuffix(GRID)]
        borrowed = (known if same.empty else same).nlargest(1, "variance").iloc[0]
        part = (SeedPart(float(borrowed["variance"]), 1, int(borrowed["degrees"])),)
    return Row(users, np.stack(values), part)


def make_cells(
    dataset: str,
    model: str,
    folders: Sequence[Path],
    spreads: pd.DataFrame,
    settings: str = "default",
    printed: str = "",
    metrics: Sequence[str] = METRICS,
) -> pd.DataFrame:
    """Return the rows of `average_seeds` with intervals, verdicts on the paper, and settings.

    The folders have `ranks.npz` too. `low` and `high` bound the 95 % interval of the mean, `run_low` and `run_high`
    that for one new run. By the latter, the verdict says whether the paper's value is inside, higher or lower.

    Args:
        printed: The data set whose printed values count, if it is not `dataset`.
    """
    cells = average_seeds(dataset, model, folders, metrics=metrics, printed=printed)
    cells = cells.assign(**dict.fromkeys(BOUNDS, math.nan), verdict="", settings="")
    for row in cells.index[cells["seeds"] > 0]:
        estimate = estimate_mean(*load_row(model, folders, cells.loc[row, "metric"], spreads))
        cells.loc[row, "settings"] = settings
        cells.loc[row, BOUNDS] = [*estimate.interval(), *estimate.run_interval()]
        if not math.isnan(paper := cells.loc[row, "paper"]):
            cells.loc[row, "verdict"] = VERDICTS[judge_size(paper, estimate.run_interval())]
    return cells


def select_best_on_validation(folders: Mapping[str, Sequence[Path]]) -> str:
    """Return the model (key) with the best mean validation NDCG@10 over its seeds."""

    def average(model: str) -> float:
        records = (load_record(folder / RECORD) for folder in folders[model])
        return statistics.mean(record.validation["NDCG@10"]["expected"] for record in records)

    return max(folders, key=average)
