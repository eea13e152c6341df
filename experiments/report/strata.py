"""Metrics by time gap, popularity of the target, and length of the history."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.readers import bind_reader
from sdmr.experiments.core.record import load_record, translate_task
from sdmr.experiments.core.registry import MODELS, get_model, insert_grid_rows
from sdmr.experiments.core.run import Run, compose_task
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.report.averages import ALL
from sdmr.experiments.report.compared_rows import ComparedRow
from sdmr.experiments.report.gaps import measure_test_gaps
from sdmr.experiments.report.printed import DATASETS, METRICS
from sdmr.experiments.report.published_rows import list_published
from sdmr.experiments.report.ranked_rows import read_seed_spreads
from sdmr.experiments.report.row_values import load_values
from sdmr.experiments.report.writers import format_metrics, make_markdown

GAPS = {"same time": 0, "to a minute": 60, "to an hour": 3600, "to a day": 86_400, "more than a day": np.inf}  # seconds
KEY = ["dataset", "stratum", "range", "instances"]
ALL_METRICS = tuple(metric + ALL for metric in METRICS)
PARTS = 4
CAPTION = (
    "hit@10 / NDCG@10 of the published rows on parts of the test instances, mean over seeds; in brackets, the number "
    "of instances. Metrics among all items are those of the rows that have them. A row that ranked a sample of the "
    "instances has those of the sample in each part; `table3.md` and `table4.md` name these rows. Ties count with "
    "their expected value. Time gap: from the user's interaction before the test item to the test item, where there "
    "are times of known unit and no baskets. Popularity: the training users of the target. History: the training items "
    "of the user, of all baskets. The last two are cut into quarters of the instances."
)


def collect_strata(number: int, results: Path) -> pd.DataFrame:
    """Return a row for each published model and part of the test instances.

    Raises DataError for a data set that cannot be read, or whose instances are not those of the published ranks.
    """
    metrics, rows = (*METRICS, *ALL_METRICS), []
    spreads = read_seed_spreads(results, metrics)
    for dataset in DATASETS[number]:
        models = insert_grid_rows(MODELS)
        folders = {model: paths for model in models if (paths := list_published(results, dataset, model))}
        if not folders:
            continue
        run = compose_task(dataset, [])
        strata = label_instances(run)
        for model, paths in folders.items():
            records = [load_record(path / RECORD) for path in paths]
            if translate_task(records[0].data) != translate_task(run.data):
                raise DataError(f"{paths[0]}: its test instances are not those of dataset={dataset}; publish it again")
            row = ComparedRow(get_model(model).name, model, tuple(paths), tuple(records))
            values = pd.DataFrame({metric: _average_row(row, metric, spreads) for metric in metrics})
            for stratum, labels in strata.items():
                parts = values.groupby(labels, observed=True)
                means = parts.mean().assign(instances=parts.size(), model=row.name)
                means = means.rename_axis("range").reset_index()
                rows.append(means.assign(dataset=dataset, stratum=stratum))
    if not rows:
        raise DataError(f"{results}: no published records of Table {number}; `sdmr publish` copies them there")
    return pd.concat(rows, ignore_index=True)[[*KEY, "model", *metrics]]


def _average_row(row: ComparedRow, metric: str, spreads: pd.DataFrame) -> pd.Series:
    """Return a metric by the number of the test instance, the mean over seeds. It is empty without ranks."""
    loaded = load_values(row, metric, spreads)
    return pd.Series(dtype=float) if loaded is None else pd.Series(loaded.row.values.mean(axis=0), loaded.instances)


def label_instances(run: Run) -> dict[str, pd.Series]:
    """Return the part of each test instance [n], by stratum."""
    task, data = run.load_task(), bind_reader(run.config["dataset"])()
    matrix, test = task.training.matrix, task.test
    strata = {}
    if (gaps := measure_test_gaps(task, data)) is not None:
        strata["time gap"] = pd.cut(pd.Series(gaps), [-np.inf, *GAPS.values()], labels=list(GAPS))
    strata["popularity"] = cut_quarters(np.asarray(matrix.sum(axis=0)).ravel().astype(np.int64)[test.targets])
    strata["history"] = cut_quarters(np.bincount(task.training.instances.users, minlength=matrix.shape[0])[test.users])
    return strata


def cut_quarters(values: IntArray) -> pd.Series:
    """Cut values [n] into parts of about the same size, named by their ranges."""
    codes = np.searchsorted(np.quantile(values, np.arange(1, PARTS) / PARTS), values)
    ends = pd.Series(values).groupby(codes).agg(["min", "max"])
    names = [f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in ends.itertuples(index=False)]
    return pd.Series(pd.Categorical(np.array(names)[np.searchsorted(ends.index, codes)], names))


def format_strata(number: int, cells: pd.DataFrame) -> str:
    """Return a table for each data set and stratum, a model a row, in Markdown."""
    blocks = [f"# Table {number}, by parts of the test instances", CAPTION]
    for (dataset, stratum), block in cells.groupby(["dataset", "stratum"], sort=False):
        blocks += [f"## {dataset}, {stratum}", _format_block(block, METRICS)]
        if len(ranked := block.dropna(subset=list(ALL_METRICS))):
            blocks += [f"## {dataset}, {stratum}, among all items", _format_block(ranked, ALL_METRICS)]
    return "\n\n".join(blocks) + "\n"


def _format_block(block: pd.DataFrame, metrics: Sequence[str]) -> str:
    """Return a line for each model, a column for each part."""
    texts = block.assign(
        part=block["range"].astype(str) + block["instances"].map(" ({:,})".format),
        text=[format_metrics(pair) for pair in block[list(metrics)].to_numpy()],
    )
    frame = texts.pivot(index="model", columns="part", values="text")
    return make_markdown(frame.reindex(index=texts["model"].unique(), columns=texts["part"].unique()).reset_index())


def format_csv(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells as they are published, with six decimals."""
    metrics = (*METRICS, *ALL_METRICS)
    return cells.assign(**{metric: cells[metric].map("{:.6f}".format, na_action="ignore") for metric in metrics})
