"""Read the ranks of a row, and how far its seeds differ."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import GRID, MODELS, insert_grid_rows
from sdmr.experiments.core.run_files import RANKS, RECORD
from sdmr.experiments.report.averages import ALL, average_seeds, is_trained, list_rows
from sdmr.experiments.report.printed import METRICS, PRINTED
from sdmr.experiments.report.published_rows import list_published
from sdmr.experiments.report.uncertainty import SeedPart
from sdmr.harness.metrics import TiePolicy
from sdmr.harness.records import read_ranks

MIN_SEEDS = 3  # that a model needs before other rows borrow its variance between seeds


class Row(NamedTuple):
    """A model's metric on the test instances."""

    users: IntArray  # [n]
    values: NDArray[np.float64]  # [seeds, n]
    seeds: tuple[SeedPart, ...]  # one, of a trained model


def read_seed_spreads(results: Path, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Return s² of each published row with three seeds, by data set and metric.

    A row inside the paper's grid has the name of its model.
    """
    rows = []
    for dataset, model in product(PRINTED, insert_grid_rows(MODELS)):
        if len(folders := list_published(results, dataset, model)) < MIN_SEEDS:
            continue
        cells = average_seeds(dataset, model, folders, metrics=metrics)
        rows += [
            (model.removesuffix(GRID), one.metric, one.spread**2, one.seeds - 1)
            for one in list_rows(cells)
            if one.seeds >= MIN_SEEDS
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
