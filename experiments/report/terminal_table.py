"""Tables 3 and 4 on the terminal: the paper's, the published and this machine's values."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from sdmr.datasets.errors import format_counts
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import GRID, OTHER_ROWS, PAPER_ROWS, get_model
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.core.store import get_published_settings
from sdmr.experiments.core.tuned import describe_search, get_tuned_path, read_tuned
from sdmr.experiments.report.averages import ALL, average_seeds, list_rows
from sdmr.experiments.report.comparability import PROTOCOL_DEVIATIONS, describe_differences, format_marks, mark_rows
from sdmr.experiments.report.comparisons import COMPARED_METRIC, Folders
from sdmr.experiments.report.places import add_places
from sdmr.experiments.report.printed import METRICS, TABLES
from sdmr.experiments.report.published_rows import list_published
from sdmr.experiments.report.writers import format_mean, format_metric, highlight, make_table
from sdmr.harness.metrics import TiePolicy

Published = tuple[dict[str, pd.Series], set[str]]
NOT_IN_PAPER = "Not in the paper:"


def read_published_means(
    dataset: str,
    models: Sequence[str],
    results: Path,
    metrics: Sequence[str] = METRICS,
    policy: TiePolicy = "expected",
) -> Published:
    """Read the published means of models, and their settings. Raises DataError for a damaged record."""
    folders = {model: list_published(results, dataset, model) for model in models}
    published = [model for model in models if folders[model]]  # none of a data set that no table has
    names = {get_published_settings(results, f"table{TABLES[dataset]}", dataset, model) for model in published}
    means = {m: average_seeds(dataset, m, paths, policy, metrics)["ours"] for m, paths in folders.items()}
    return means, names


def blank_incomparable(published: Published, dataset: str, results: Path, record: Record) -> Published:
    """Return published means, NaN where data or protocol are not those of a record."""

    def is_comparable(model: str) -> bool:
        folders = list_published(results, dataset, model)
        return not folders or not describe_differences([record, load_record(folders[0] / RECORD)], PROTOCOL_DEVIATIONS)

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
        policy: How this machine's values and the published ones read a tie.
        metrics: The columns.
    """
    means, names = published
    cells = {
        model: average_seeds(dataset, model, paths, policy, metrics).assign(published=means[model])
        for model, paths in folders.items()
    }
    every = pd.concat(cells.values(), ignore_index=True)
    known = set(every["metric"][every["ours"].notna() | every["published"].notna()])
    shown = [metric for metric in metrics if metric in known or not metric.endswith(ALL)]
    settings = f" ({', '.join(sorted(names))} settings)" if names else ""
    every = add_places(every[every["metric"].isin(shown)])
    ours = [format_mean(cell.ours, cell.spread, " ±") for cell in list_rows(every)]
    every = every.assign(text=highlight(ours, every["place"], "text"))
    has_others = bool(set(folders) & set(OTHER_ROWS))
    others = {model for model in folders if has_others and model.removesuffix(GRID) not in PAPER_ROWS}
    rows: list[dict[str, str]] = []
    for model in sorted(cells, key=others.__contains__):  # stable
        if model in others and {"model": NOT_IN_PAPER} not in rows:
            rows.append({"model": NOT_IN_PAPER})
        row = {"model": get_model(model).name}
        for cell in list_rows(every[every["model"] == row["model"]]):
            row[cell.metric] = f"{format_metric(cell.paper):>5} | {format_metric(cell.published):>5} | {cell.text}"
        rows.append(row)
    caption = f"Table {number}, {dataset}: paper | published{settings} | this machine ({conditions}; ± over seeds)"
    return f"{caption}\n{make_table(rows, 'text')}"


def describe_order(dataset: str, folders: Folders, policy: TiePolicy) -> list[str]:
    """Return a line with this machine's rows, the highest NDCG@10 first."""
    cells = [
        average_seeds(dataset, model, paths, policy, [COMPARED_METRIC]) for model, paths in folders.items() if paths
    ]
    if len(cells) < 2:
        return []
    ordered = pd.concat(cells).sort_values("ours", ascending=False, kind="stable")
    names = ", ".join(f"{cell.model} {format_metric(cell.ours)}" for cell in list_rows(ordered))
    return [f"{dataset}, the highest {COMPARED_METRIC} first: {names}."]


def describe_data(dataset: str, records: Iterable[Record]) -> list[str]:
    """Return a line on what the data left out, if anything."""
    reports = [format_counts(record.data_report) for record in records if record.data_report]
    return [f"Data of {dataset}: {text}." for text in dict.fromkeys(reports)]


def describe_rows(dataset: str, folders: Folders, settings: str) -> list[str]:
    """Return the cost of the searches behind runs, and the marks of the rows."""
    runs = {model: [load_record(path / RECORD) for path in paths] for model, paths in folders.items() if paths}
    rows = [model for model in runs if settings == "tuned" and get_tuned_path(dataset, model).exists()]
    tunings = {model: read_tuned(dataset, model)["tuning"] for model in rows}
    searches = [f"{get_model(m).name} {text}" for m, tuning in tunings.items() if (text := describe_search(tuning))]
    lines = [f"Searches on {dataset}, trials and CPU minutes: {' | '.join(searches)}."] if searches else []
    return lines + format_marks(mark_rows(dataset, runs, tunings))
