"""The values that the paper prints, and the tables that have them."""

import math
from functools import cache
from itertools import product
from pathlib import Path

import pandas as pd

from sdmr.experiments.core.datasets import BASKET_DATASETS
from sdmr.experiments.core.registry import GRID, get_model

METRICS = ("hit@10", "NDCG@10")
PAPER = Path(__file__).parents[1] / "paper"  # the paper's tables
DATASETS = {3: ("ml-100k", "ml-1m", "netflix", "epinions"), 4: BASKET_DATASETS}
PRINTED = {dataset: table for table, datasets in DATASETS.items() for dataset in datasets}
ID_ORDER_DATASET = "epinions-id-order"  # the claim on Epinions is judged on it
# Data sets with published records, but in no table: by name, the one whose printed values stand beside theirs.
FURTHER_DATASETS = {ID_ORDER_DATASET: "epinions", "netflix-sample": "netflix"}
# By data set: the table with whose records its own are published.
TABLES = PRINTED | {dataset: PRINTED[printed] for dataset, printed in FURTHER_DATASETS.items()}
GROUPS = ("general", "sequential")  # of baselines, as the paper has them


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
