"""The CPU hours behind the published tables, for docs/reproducing."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.store import RECORD, get_published_folder
from sdmr.experiments.report.frames import TABLES
from sdmr.experiments.report.summary_tables import NAMES
from sdmr.experiments.report.writers import make_markdown

HOUR = 3600
COUNTED = "cpu_seconds"  # in the list of a search's trials; older lists do not have it


def format_costs(results: Path) -> str:
    """Return CPU hours by data set, of searches and of further runs.

    The table also counts both.
    """
    rows = []
    for dataset, name in NAMES.items():
        searches = [one[COUNTED].sum() for one in _read_searches(results, dataset)]
        runs = [_sum_seconds(record) for record in _load_records(results, dataset) if record.cpu_seconds]
        if searches or runs:
            hours = [sum(seconds) / HOUR for seconds in (searches, runs)]
            row = {"data set": name, "searches": len(searches), "hours": f"{hours[0]:.1f}", "runs": len(runs)}
            rows.append(row | {"further hours": f"{hours[1]:.1f}", "sum": f"{sum(hours):.1f}"})
    return make_markdown(rows, list(rows[0])[1:] if rows else [])


def _read_searches(results: Path, dataset: str) -> Iterator[pd.DataFrame]:
    """Yield the trials of each search that counted CPU time."""
    for path in sorted((results / "sweeps" / dataset).glob("*.csv")):
        if COUNTED in (trials := pd.read_csv(path)):
            yield trials


def _load_records(results: Path, dataset: str) -> Iterator[Record]:
    """Yield the published records of a data set's table."""
    folder = get_published_folder(results, f"table{TABLES[dataset]}", dataset)
    yield from (load_record(path) for path in sorted(folder.glob(f"*/{RECORD}")))


def _sum_seconds(record: Record) -> float:
    """Return the seconds of a run beyond its search, which has trained seed 0."""
    ranking = record.cpu_seconds["rank"] + record.cpu_seconds.get("rank_all", 0.0)
    is_new = record.config["seed"] > 0
    return ranking + (record.cpu_seconds["fit"] + record.seconds.get("parts", 0.0) if is_new else 0.0)
