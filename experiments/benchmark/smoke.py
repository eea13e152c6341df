"""Train every model on every data set for one epoch, and tabulate seconds and memory.

The metrics of such a run say nothing, so the table shows none. A data set that cannot be read is left out, and keeps
its published records.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import write_atomic
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.plan import PlannedRun, find_or_train
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import MODELS, get_model
from sdmr.experiments.core.run import compose_task, is_task_override
from sdmr.experiments.core.store import RECORD, published_folder
from sdmr.experiments.report.writers import NOTHING, markdown_table, write_csv

DATASETS = ("ml-100k", "ml-1m", "netflix-sample", "epinions", "ta-feng", "ijcai-15")
COLUMNS = ["dataset", "model", "epoch_seconds", "rank_seconds", "peak_mib", "commit"]
NOTE = (
    "Each cell: seconds of an epoch (of the complete fit, where there are none) + seconds to rank all validation and "
    "test instances | peak memory of the process in MiB, of which some 400 are PyTorch and the other packages. One "
    "thread; by the wall clock, other runs beside it, so that the seconds are upper bounds. –: not run yet."
)


def run_smoke(
    datasets: Sequence[str], models: Sequence[str], overrides: Sequence[str], runs: Path, results: Path, workers: int
) -> bool:
    """Make the runs, publish their records and the table. Returns whether all of them succeeded."""
    for model in models:
        compose_config([f"model={model}"])  # raises UsageError for an unknown name
    readable = [dataset for dataset in datasets if _is_readable(dataset, overrides, runs)]
    planned = [
        PlannedRun(
            model,
            dataset,
            settings=("epochs=1", *overrides),
            published=published_folder(results, "smoke", dataset, f"{model}-0"),
        )
        for dataset in readable
        for model in models
    ]
    findings = find_or_train(planned, runs, workers, use_published=False)
    for one, found in findings.runs.items():
        assert one.published is not None
        write_atomic(one.published / RECORD, (found.folder / RECORD).read_bytes())
    costs = collect_costs(results)
    if costs.empty:
        return not findings.failures
    text = format_costs(costs, overrides)
    write_csv(results / "smoke.csv", costs)
    write_atomic(results / "smoke.md", text.encode())
    print(text)
    return not findings.failures


def _is_readable(dataset: str, overrides: Sequence[str], runs: Path) -> bool:
    """Return whether a data set can be read; print why not."""
    try:
        compose_task(dataset, [override for override in overrides if is_task_override(override)], runs)
    except DataError as error:
        print(f"{dataset} is left out: {error}")
        return False
    return True


def collect_costs(results: Path) -> pd.DataFrame:
    """Return a row for each published record, in the order of `DATASETS` and `MODELS`; other names come last."""
    rows: list[tuple[Any, ...]] = []
    for path in published_folder(results, "smoke", "").glob(f"*/*-0/{RECORD}"):
        record = load_record(path)
        epoch_seconds = record.history[1]["fit_seconds"] if record.history else record.seconds["fit"]
        numbers = (epoch_seconds, record.seconds["rank"], record.peak_memory_mib)
        names = path.parts[-3], path.parts[-2].removesuffix("-0")
        rows.append((*names, *(round(number, 1) for number in numbers), record.environment.commit))
    rows.sort(key=lambda row: (_position(row[0], DATASETS), _position(row[1], tuple(MODELS))))
    return pd.DataFrame(rows, columns=COLUMNS)


def _position(name: str, names: Sequence[str]) -> tuple[int, str]:
    return (names.index(name) if name in names else len(names), name)


def format_costs(costs: pd.DataFrame, overrides: Sequence[str] = ()) -> str:
    """Return the Markdown table: a line a model, a column a data set. `overrides` are those of the latest runs."""
    cells = [f"{row.epoch_seconds:.0f} + {row.rank_seconds:.0f} s | {row.peak_mib:,.0f}" for row in costs.itertuples()]
    table = costs.assign(cell=cells).pivot(index="model", columns="dataset", values="cell")
    datasets = list(costs["dataset"].unique())
    table = table.reindex(index=costs["model"].unique(), columns=datasets).fillna(NOTHING)
    table.insert(0, "model", [get_model(str(model)).name for model in table.index])
    note = [f"**Some of it is made with {' '.join(overrides)}.**", ""] if overrides else []
    commits = ", ".join(sorted(costs["commit"].dropna().unique()))
    lines = ["# One epoch of every model on every data set", "", NOTE, "", *note, markdown_table(table, datasets), ""]
    return "\n".join([*lines, f"Made from {len(costs)} records of commit {commits}."]) + "\n"
