"""What the published rows have cost: CPU hours, and the ranking among all items."""

import math
import statistics
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import MODELS, get_model
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.core.store import get_published_folder
from sdmr.experiments.report.factors import DATASET
from sdmr.experiments.report.printed import TABLES
from sdmr.experiments.report.published_rows import list_published
from sdmr.experiments.report.summary_tables import NAMES
from sdmr.experiments.report.writers import NOTHING, make_markdown

HOUR = 3600
COUNTED = "cpu_seconds"  # in the list of a search's trials; older lists do not have it
OTHER_RUNS = {  # beside the tables of the data sets, by the folders of their records
    "ML-100k, cut in time": "splits/global-time/records/*/*/*",
    "ML-100k, split seeds 1 to 4": "splits/split-*/records/*/*/*",
    "Figure 6": "records/figure6/*/*",
    "Audit": "records/audit/*/*",
}


def format_costs(results: Path) -> str:
    """Return the CPU hours of all searches and runs, and their sum."""
    costs = []
    for dataset, name in NAMES.items():
        records = [record for record in _load_records(results, dataset) if record.cpu_seconds]
        costs.append(_sum_costs(name, [one[COUNTED].sum() for one in _read_searches(results, dataset)], records))
        costs[-1]["clock / CPU"] = _compare_clock([*records, *_load_trials(results, dataset)])
    for name, pattern in OTHER_RUNS.items():
        costs.append(_sum_costs(name, [], [load_record(path) for path in sorted(results.glob(f"{pattern}/{RECORD}"))]))
    frame = pd.DataFrame(costs)
    frame = frame[frame["searches"] + frame["runs"] > 0]
    frame["sum"] = frame["their hours"] + frame["hours beyond searches"]
    ratios = frame.pop("clock / CPU").map(lambda ratio: NOTHING if math.isnan(ratio) else f"{ratio:.1f}")
    total = {**frame.sum(numeric_only=True), "part": "all"}
    frame = pd.concat([frame, pd.DataFrame([total])]).astype({"searches": int, "runs": int})
    texts = frame.map(lambda cell: f"{cell:.1f}" if isinstance(cell, float) else cell)
    texts["clock / CPU"] = [*ratios, NOTHING]
    return make_markdown(texts, [str(column) for column in texts][1:])


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


def _load_trials(results: Path, dataset: str) -> Iterator[Record]:
    """Yield the published records of a data set's trials."""
    yield from (load_record(path) for path in sorted((results / "sweeps" / dataset).glob(f"*/{RECORD}")))


def _compare_clock(records: Sequence[Record]) -> float:
    """Return the clock's seconds as a multiple of CPU seconds; NaN without any."""
    phases = [(record.seconds.get(name, 0.0), cpu) for record in records for name, cpu in record.cpu_seconds.items()]
    clock, cpu = (sum(seconds) for seconds in zip(*phases, strict=True)) if phases else (0.0, 0.0)
    return clock / cpu if cpu else math.nan


def _sum_costs(name: str, searches: Sequence[float], records: Sequence[Record]) -> dict[str, Any]:
    """Return the number and the CPU hours of searches, and of runs beyond them."""
    published = {record.run for record in records}
    hours = sum(_sum_seconds(record, published) for record in records) / HOUR
    row = {"part": name, "searches": len(searches), "their hours": sum(searches) / HOUR}
    return row | {"runs": len(records), "hours beyond searches": hours}


def _sum_seconds(record: Record, published: Container[str]) -> float:
    """Return the CPU seconds of a run beyond its search and its published parts.

    Of other parts, and of older records, only the seconds of the wall clock are known. All have one thread.
    """
    measured = record.cpu_seconds or record.seconds
    seconds = sum(measured.get(name, 0.0) for name in ("rank", "rank_all"))
    if record.trained is not None:  # by the search
        return seconds
    is_counted = all(run in published for run in record.parts.values())
    return seconds + measured["fit"] + (0.0 if is_counted else record.seconds.get("parts", 0.0))
