"""Tables 3 and 4 on the terminal, and from the published records."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from sdmr.datasets.errors import format_counts
from sdmr.experiments.core.options import CommandOptions, Names, Numbers, check_choices
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import GRID, MODELS, OTHER_ROWS, PAPER_ROWS, get_model, insert_grid_rows
from sdmr.experiments.core.store import RECORD, get_published_settings, read_published_tuning
from sdmr.experiments.core.tuned import describe_search, read_tuned
from sdmr.experiments.report import frames
from sdmr.experiments.report.agreement import describe_full_ranking
from sdmr.experiments.report.comparability import PROTOCOL, collect_marks, describe_differences, format_marks, mark_rows
from sdmr.experiments.report.comparisons import Folders, compare_paper_models, mark_cells
from sdmr.experiments.report.dataset_check import describe_test_items
from sdmr.experiments.report.dataset_statistics import describe_substitute
from sdmr.experiments.report.differences import is_lower_better
from sdmr.experiments.report.frames import DATASETS, METRICS, TABLES, average_seeds, list_published
from sdmr.experiments.report.writers import format_mean, format_metric, highlight, make_table, rank_places
from sdmr.harness.metrics import METRIC_NAMES, TiePolicy, list_metrics

Published = tuple[dict[str, pd.Series], set[str]]
NOT_IN_PAPER = "Not in the paper:"
DEFAULT_DATASETS = {3: ["ml-100k"], 4: ["ta-feng"]}


class MetricOptions(CommandOptions):
    """The choice of metrics."""

    metrics: Names = Field(["hit", "NDCG"], description=f"metrics to show, of {', '.join(METRIC_NAMES)}")
    cutoffs: Numbers = Field([10], description="k of hit@k and NDCG@k; any k needs no new run")

    def list_columns(self) -> list[str]:
        """Return the metrics among the sampled candidates, then the same ones among all items.

        Raises UsageError for an unknown one.
        """
        check_choices("metrics", self.metrics, METRIC_NAMES)
        metrics = list_metrics(self.metrics, self.cutoffs)
        return [*metrics, *(metric + frames.ALL for metric in metrics)]


class _RowOptions(CommandOptions):
    datasets: Names | None = Field(None, description="default: ml-100k for Table 3, ta-feng for Table 4")
    models: Names | None = Field(
        None, description="default: all; names, paper for the paper's rows, or classes such as package.Class"
    )
    seeds: int = Field(1, ge=1, description="seeds 0 to n − 1 of each model that draws random numbers")
    settings: Literal["default", "tuned"] = Field("default", description="settings of the models")


class AccuracyOptions(MetricOptions, _RowOptions):
    """The choice of cells of Table 3 or 4. The last base's options come first."""


@dataclass(frozen=True)
class AccuracyTable:
    """Table 3 or 4, as it is published."""

    number: int
    cells: pd.DataFrame  # the rows of `make_cells` with marks and places
    comparisons: pd.DataFrame  # the rows of `compare_paper_models`
    notes: dict[str, list[str]]  # by data set: what stands under its table
    records: dict[str, dict[str, list[Record]]]  # by data set and model

    def list_records(self) -> list[Record]:
        """Return all records of the table."""
        return [one for models in self.records.values() for records in models.values() for one in records]


def read_published_means(
    dataset: str, models: Sequence[str], results: Path, metrics: Sequence[str] = METRICS
) -> Published:
    """Read the published means of models, and their settings. Raises DataError for a damaged record."""
    folders = {model: list_published(results, dataset, model) for model in models}
    experiment = f"table{TABLES.get(dataset)}"
    names = {get_published_settings(results, experiment, dataset, model) for model in models if folders[model]}
    means = {m: average_seeds(dataset, m, paths, metrics=metrics)["ours"] for m, paths in folders.items()}
    return means, names


def blank_incomparable(published: Published, dataset: str, results: Path, record: Record) -> Published:
    """Return published means, NaN where data or protocol are not those of a record."""

    def is_comparable(model: str) -> bool:
        folders = list_published(results, dataset, model)
        return not folders or not describe_differences([record, load_record(folders[0] / RECORD)], PROTOCOL)

    means, names = published
    return {model: mean if is_comparable(model) else mean * math.nan for model, mean in means.items()}, names


def describe_left_out(before: Published, after: Published) -> list[str]:
    """Return a line on the published means that `blank_incomparable` has left out, if any."""
    models = [get_model(model).name for model, mean in before[0].items() if mean.count() > after[0][model].count()]
    return [f"Published values of other data or another protocol are left out: {', '.join(models)}."] if models else []


def format_table(
    dataset: str,
    folders: Folders,
    published: Published,
    number: int,
    conditions: str,
    policy: TiePolicy,
    metrics: Sequence[str] = METRICS,
) -> str:
    """Return a line for each model: the paper's, the published and this machine's values.

    If models of the suite that are not in the paper are among them, all such models come last. Of a metric that no row
    has, among all items, there is no column.

    Args:
        dataset: The data set's name.
        folders: This machine's runs.
        published: What `read_published_means` returns, of the same metrics.
        number: The table's number, for the caption.
        conditions: How this machine's runs were made, for the caption.
        policy: How this machine's values read a tie.
        metrics: The columns.
    """
    means, names = published
    cells = {
        model: average_seeds(dataset, model, paths, policy, metrics).assign(published=means[model])
        for model, paths in folders.items()
    }
    every = pd.concat(cells.values(), ignore_index=True)
    known = set(every["metric"][every["ours"].notna() | every["published"].notna()])
    shown = [metric for metric in metrics if metric in known or not metric.endswith(frames.ALL)]
    settings = f" ({', '.join(sorted(names))} settings)" if names else ""
    every = add_places(every[every["metric"].isin(shown)])
    ours = [format_mean(cell.ours, cell.spread, " ±") for cell in frames.list_rows(every)]
    every = every.assign(text=highlight(ours, every["place"], "text"))
    has_others = bool(set(folders) & set(OTHER_ROWS))
    others = {model for model in folders if has_others and model.removesuffix(GRID) not in PAPER_ROWS}
    rows: list[dict[str, str]] = []
    for model in sorted(cells, key=others.__contains__):  # stable
        if model in others and {"model": NOT_IN_PAPER} not in rows:
            rows.append({"model": NOT_IN_PAPER})
        row = {"model": get_model(model).name}
        for cell in frames.list_rows(every[every["model"] == row["model"]]):
            row[cell.metric] = f"{format_metric(cell.paper):>5} | {format_metric(cell.published):>5} | {cell.text}"
        rows.append(row)
    caption = f"Table {number}, {dataset}: paper | published{settings} | this machine ({conditions}; ± over seeds)"
    return f"{caption}\n{make_table(rows, 'text')}"


def add_places(cells: pd.DataFrame) -> pd.DataFrame:
    """Return cells with the `rank_places` of ours, by data set and metric."""
    columns = cells.groupby(["dataset", "metric"])
    ranked = [
        column.assign(place=rank_places(column["ours"], is_lower_better(str(metric))))
        for (_, metric), column in columns
    ]
    return pd.concat(ranked).sort_index()


def describe_data(dataset: str, records: Iterable[Record]) -> list[str]:
    """Return a line on what the data left out, if anything."""
    reports = [format_counts(record.data_report) for record in records if record.data_report]
    return [f"Data of {dataset}: {text}." for text in dict.fromkeys(reports)]


def describe_protocol(dataset: str, records: Sequence[Record], is_tuned: bool) -> list[str]:
    """Return a line on what cannot be compared with the paper, if anything."""
    if not any(map(frames.has_other_targets, records)):
        return []
    text = (
        f"{dataset}: the test items or candidates are drawn by another rule than in the paper. Values by the paper's "
        "rule are left out."
    )
    if all(record.deviations.get("candidates") == "all" for record in records):
        text += " All metrics are those among all items."
    return [text + (" The tuned settings were chosen under the default protocol." if is_tuned else "")]


def describe_rows(dataset: str, folders: Folders, settings: str) -> list[str]:
    """Return the cost of the searches behind runs, and the marks of the rows."""
    runs = {model: [load_record(path / RECORD) for path in paths] for model, paths in folders.items() if paths}
    rows = [model for model in runs if settings == "tuned" and model.removesuffix(GRID) in MODELS]
    tunings = {model: read_tuned(dataset, model)["tuning"] for model in rows}
    searches = [f"{get_model(m).name} {text}" for m, tuning in tunings.items() if (text := describe_search(tuning))]
    lines = [f"Searches on {dataset}, trials and CPU minutes: {' | '.join(searches)}."] if searches else []
    return lines + format_marks(mark_rows(dataset, runs, tunings))


def make_published_cells(
    results: Path, dataset: str, model: str, spreads: pd.DataFrame, metrics: Sequence[str]
) -> pd.DataFrame:
    """Return the cells of a model's published records, with the cost of its search."""
    row, printed = (results, f"table{TABLES[dataset]}", dataset, model), frames.FURTHER_DATASETS.get(dataset, dataset)
    paths, settings = list_published(results, dataset, model), get_published_settings(*row)
    cells = frames.make_cells(dataset, model, paths, spreads, settings, printed, metrics)
    return cells.assign(search=describe_search(read_published_tuning(*row)))


def collect_published(
    number: int, results: Path, metrics: Sequence[str], ordered: Sequence[str] | None = None
) -> AccuracyTable | None:
    """Make Table 3 or 4 of its published records: every model on each data set.

    The notes compare the orders of the rows by the metrics `ordered`, by default all.
    """
    cells, comparisons, records, notes = [], [], {}, {}
    spreads, marks = frames.read_seed_spreads(results, metrics), collect_marks(number, results)
    for dataset in DATASETS[number]:
        folders = {model: list_published(results, dataset, model) for model in insert_grid_rows(MODELS)}
        if not any(folders.values()):
            continue
        comparisons.append(compare_paper_models(dataset, folders, spreads))
        for model, paths in folders.items():
            if not paths and model not in PAPER_ROWS:
                continue
            cells.append(make_published_cells(results, dataset, model, spreads, metrics))
        records[dataset] = {m: [load_record(path / RECORD) for path in paths] for m, paths in folders.items()}
        every = [run for runs in records[dataset].values() for run in runs]
        settings = {get_published_settings(results, f"table{number}", dataset, m) for m, p in folders.items() if p}
        notes[dataset] = describe_substitute(dataset) + describe_protocol(dataset, every, "tuned" in settings)
        notes[dataset] += describe_test_items(results, every)
        notes[dataset] += describe_full_ranking(dataset, folders, ordered or metrics)
        notes[dataset] += format_marks(mark for mark in marks if mark.dataset == dataset)
    if not cells:
        return None
    tests = pd.concat(comparisons, ignore_index=True)
    shown = frames.drop_unranked(pd.concat(cells, ignore_index=True))
    return AccuracyTable(number, add_places(mark_cells(shown, tests)), tests, notes, records)
