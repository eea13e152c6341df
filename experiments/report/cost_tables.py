"""What the published rows have cost: CPU hours, and the ranking among all items."""

import statistics
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import MODELS, get_model
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.core.store import get_published_folder
from sdmr.experiments.report.factors import DATASET
from sdmr.experiments.report.printed import TABLES
from sdmr.experiments.report.published_rows import list_published
from sdmr.experiments.report.summary_tables import NAMES
from sdmr.experiments.report.writers import make_markdown

HOUR = 3600
COUNTED = "cpu_seconds"  # in the list of a search's trials; older lists do not have it


def format_costs(results: Path) -> str:
    """Return CPU hours by data set: of searches, and of runs beyond them."""
    rows = []
    for dataset, name in NAMES.items():
        searches = [one[COUNTED].sum() for one in _read_searches(results, dataset)]
        records = [record for record in _load_records(results, dataset) if record.cpu_seconds]
        published = {record.run for record in records}
        runs = [_sum_seconds(record, published) for record in records]
        if searches or runs:
            hours = [sum(seconds) / HOUR for seconds in (searches, runs)]
            row = {"data set": name, "searches": len(searches), "their hours": f"{hours[0]:.1f}", "runs": len(runs)}
            rows.append(row | {"hours beyond searches": f"{hours[1]:.1f}", "sum": f"{sum(hours):.1f}"})
    return make_markdown(rows, list(rows[0])[1:] if rows else [])


def format_ranking_costs(results: Path) -> str:
    """Return CPU seconds of an epoch and of ranking among all items, and their ratio.

    Each is that of seed 0 on ML-100k. A model without epochs has its whole training in their place.
    """
    rows = []
    for model in MODELS:
        for folder in list_published(results, DATASET, model)[:1]:
            record = load_record(folder / RECORD)
            if "rank_all" in record.cpu_seconds:
                epochs = [entry["fit_cpu_seconds"] for entry in (record.history or [])[1:]]
                epoch = statistics.mean(epochs) if epochs else record.cpu_seconds["fit"]
                ranking = record.cpu_seconds["rank_all"]
                row = {"model": get_model(model).name, "epoch": f"{epoch:.2f}", "all items": f"{ranking:.2f}"}
                rows.append(row | {"ratio": f"{ranking / epoch:.2f}"})
    return make_markdown(rows, ["epoch", "all items", "ratio"])


def _read_searches(results: Path, dataset: str) -> Iterator[pd.DataFrame]:
    """Yield the trials of each search that counted CPU time."""
    for path in sorted((results / "sweeps" / dataset).glob("*.csv")):
        if COUNTED in (trials := pd.read_csv(path)):
            yield trials


def _load_records(results: Path, dataset: str) -> Iterator[Record]:
    """Yield the published records of a data set's table."""
    folder = get_published_folder(results, f"table{TABLES[dataset]}", dataset)
    yield from (load_record(path) for path in sorted(folder.glob(f"*/{RECORD}")))


def _sum_seconds(record: Record, published: set[str]) -> float:
    """Return the CPU seconds of a run beyond its search and its published parts.

    Of other parts, only the seconds of the wall clock are known. All have one thread.
    """
    seconds = record.cpu_seconds["rank"] + record.cpu_seconds.get("rank_all", 0.0)
    if record.trained is not None:  # by the search
        return seconds
    is_counted = set(record.parts.values()) <= published
    return seconds + record.cpu_seconds["fit"] + (0.0 if is_counted else record.seconds.get("parts", 0.0))
