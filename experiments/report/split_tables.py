"""Generated tables on ML-100k's test items: parts by time, further split seeds, cuts in time."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import MODELS, get_model
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.report.averages import ALL, read_metric
from sdmr.experiments.report.factors import DATASET
from sdmr.experiments.report.printed import METRICS
from sdmr.experiments.report.published_rows import list_published
from sdmr.experiments.report.strata import GAPS
from sdmr.experiments.report.writers import format_mean, format_metric, make_markdown

GAP_MODELS = ("item-knn", "mf-bpr", "prme-s", "gru4rec", "sdm")
SPLITS = "splits"  # in the results: split-1 to split-4 for further split seeds, and global-time
COLUMNS = (*METRICS, METRICS[1] + ALL)


def format_time_gaps(results: Path) -> str:
    """Return NDCG@10 of some models by the time since the interaction before."""
    strata = pd.read_csv(results / "table3-strata.csv").query("dataset == @DATASET and stratum == 'time gap'")
    cells = strata.set_index(["model", "range"])
    values = cells[METRICS[1]]
    rows = [
        {"model": name} | {gap: format_metric(float(values.loc[name, gap])) for gap in GAPS}
        for name in (get_model(model).name for model in GAP_MODELS)
    ]
    users = {gap: str(cells.loc[(rows[0]["model"], gap), "instances"]) for gap in GAPS}
    return make_markdown([*rows, {"model": "users", **users}], list(GAPS))


def read_first_seed(results: Path, model: str) -> list[float]:
    """Return the metrics of a row's first published seed, in the order of `COLUMNS`.

    Without a published record, there are none.
    """
    folders = list_published(results, DATASET, model)[:1]
    records = [(folder, load_record(folder / RECORD)) for folder in folders]
    return [read_metric(*one, metric).get("expected", math.nan) for one in records for metric in COLUMNS]


def format_splits(results: Path) -> str:
    """Return each row's mean and standard deviation over split seeds, and its places."""
    folders = [results, *sorted((results / SPLITS).glob("split-*"))]
    values = {model: [read_first_seed(folder, model) for folder in folders] for model in MODELS}
    complete = {model: np.array(one) for model, one in values.items() if all(one)}
    places = pd.DataFrame({model: one[:, 1] for model, one in complete.items()}).rank(axis=1, ascending=False)
    rows = [
        {"model": get_model(model).name}
        | {metric: format_mean(*one) for metric, *one in zip(COLUMNS, table.mean(0), table.std(0, ddof=1), strict=True)}
        | {"places": f"{places[model].min():.0f} to {places[model].max():.0f}"}
        for model, table in complete.items()
    ]
    return make_markdown(rows)


def format_global_time(results: Path) -> str:
    """Return the metrics of the first published seed of each row with cuts in time."""
    values = {get_model(model).name: read_first_seed(results / SPLITS / "global-time", model) for model in MODELS}
    rows = [
        {"model": name} | {metric: format_metric(value) for metric, value in zip(COLUMNS, one, strict=True)}
        for name, one in values.items()
        if one
    ]
    return make_markdown(rows, list(COLUMNS))
