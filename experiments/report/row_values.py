"""A metric of a compared row, instance by instance."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sdmr.datasets.interactions import IntArray
from sdmr.experiments.core.run_files import RANKS
from sdmr.experiments.report.averages import ALL, read_metric
from sdmr.experiments.report.compared_rows import ComparedRow, ranks_all_items
from sdmr.experiments.report.ranked_rows import Row, load_row
from sdmr.harness.records import read_ranks


class Values(NamedTuple):
    """A metric of a row, with its test instances."""

    row: Row
    instances: IntArray  # [n] their numbers
    others: IntArray | None  # [n] of a metric among all items: the number of items beside the target


def list_folders(row: ComparedRow, metric: str) -> list[Path]:
    """Return the folders of a row's records that have a metric."""
    name, pairs = find_recorded_name(row, metric), zip(row.folders, row.records, strict=True)
    return [folder for folder, record in pairs if name and read_metric(folder, record, name)]


def find_recorded_name(row: ComparedRow, metric: str) -> str | None:
    """Return what a row's records call a metric, None if they cannot have it.

    With `candidates=all` they rank among all items alone, so `hit@10 all` is their `hit@10`.
    """
    if not ranks_all_items(row):
        return metric
    return metric.removesuffix(ALL) if metric.endswith(ALL) else None


def load_values(row: ComparedRow, metric: str, spreads: pd.DataFrame) -> Values | None:
    """Read a metric of a row, None if its ranks do not have it."""
    name = find_recorded_name(row, metric)
    if not name or not (folders := list_folders(row, metric)):
        return None
    known = spreads[spreads["metric"] == metric].assign(metric=name)
    values = load_row(row.model, folders, name, known)
    with np.load(folders[0] / RANKS) as saved:  # the numbers of a sample of the instances, of metrics among all items
        is_sample = metric.endswith(ALL) and "all_rows" in saved
        instances = saved["all_rows"].astype(np.int64) if is_sample else np.arange(len(values.users))
    others = read_ranks(folders[0] / RANKS, name.endswith(ALL))[1].others if metric.endswith(ALL) else None
    return Values(values, instances, others)
