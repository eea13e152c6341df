"""One epoch of every model on every data set: `sdmr bench suite=smoke`.

The metrics of one epoch say nothing, so the table shows seconds and memory alone. A data set that cannot be read is
left out, and keeps its published records.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import write_atomic
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.effects import check_effects
from sdmr.experiments.core.plan import PlannedRun, find_or_train
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import MODELS, can_read, get_model
from sdmr.experiments.core.run import compose_task, is_task_override
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.core.store import get_published_folder, lock_results
from sdmr.experiments.report.writers import NOTHING, make_markdown, write_csv

DATASETS = ("ml-100k", "ml-1m", "netflix-sample", "epinions", "ta-feng", "ijcai-15")
NOTE = (
    "Default settings. Each cell: seconds of an epoch (of the complete fit, where there are none) + seconds to rank "
    "all validation and test instances | peak memory of the process in MiB, with PyTorch and the other packages. "
    "One thread; by the wall clock, other runs beside it, so that the seconds are upper bounds. –: not run, or a model "
    "that reads no baskets."
)
ALL_NOTE = (
    "After the slash: seconds to rank the test instances, or a sample of them, among all items; in brackets, that time "
    "as a multiple of an epoch, both in CPU seconds."
)


def run_smoke(
    datasets: Sequence[str], models: Sequence[str], overrides: Sequence[str], runs: Path, results: Path, workers: int
) -> bool:
    """Make the runs, and publish what they cost. Returns whether all of them succeeded."""
    for model in models:
        compose_config([f"model={model}"])  # raises UsageError for an unknown name
    check_effects(overrides, models, datasets)
    planned = [
        PlannedRun(
            model, dataset, 0, ("epochs=1", *overrides), get_published_folder(results, "smoke", dataset, f"{model}-0")
        )
        for dataset in datasets
        if _is_readable(dataset, overrides, runs)
        for model in models
        if can_read(model, dataset)
    ]
    findings = find_or_train(planned, runs, workers, use_published=False)
    with lock_results(results):
        for one, run in findings.runs.items():
            assert one.published is not None
            write_atomic(one.published / RECORD, (run.folder / RECORD).read_bytes())
        publish_costs(results, overrides)
    return not findings.failures


def publish_costs(results: Path, overrides: Sequence[str]) -> None:
    """Write and print the table of all published records, if there are any."""
    costs = collect_costs(results)
    if costs.empty:
        return
    text = format_costs(costs, overrides)
    write_csv(results / "smoke.csv", costs)
    write_atomic(results / "smoke.md", text.encode())
    print(text)


def _is_readable(dataset: str, overrides: Sequence[str], runs: Path) -> bool:
    """Return whether a data set can be read; print why not."""
    try:
        compose_task(dataset, [override for override in overrides if is_task_override(override)], runs)
    except DataError as error:
        print(f"{dataset} is left out: {error}")
        return False
    return True


def collect_costs(results: Path) -> pd.DataFrame:
    """Return a row for each published record.

    Rows are in the order of `DATASETS` and `MODELS`; other names come last.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted(get_published_folder(results, "smoke", "").glob(f"*/*-0/{RECORD}")):
        record = load_record(path)
        names = {"dataset": path.parts[-3], "model": path.parts[-2].removesuffix("-0")}
        epoch = record.history[1]["fit_seconds"] if record.history else record.seconds["fit"]
        costs = {"epoch_seconds": epoch, "rank_seconds": record.seconds["rank"], "peak_mib": record.peak_memory_mib}
        ratio = {}
        if "rank_all" in record.seconds:
            cpu_seconds = record.history[1]["fit_cpu_seconds"] if record.history else record.cpu_seconds["fit"]
            ratio = {"rank_all_ratio": round(record.cpu_seconds["rank_all"] / cpu_seconds, 2)}
            costs["rank_all_seconds"] = record.seconds["rank_all"]
        rounded = {name: round(value, 1) for name, value in costs.items()}
        rows.append(names | rounded | ratio | {"commit": record.environment.commit})
    order = {name: number for number, name in enumerate((*DATASETS, *MODELS))}
    rows.sort(key=lambda row: [order.get(row[name], len(order)) for name in ("dataset", "model")])
    return pd.DataFrame(rows)


def format_costs(costs: pd.DataFrame, overrides: Sequence[str] = ()) -> str:
    """Return the Markdown table: a line a model, a column a data set. `overrides` are those of the latest runs."""
    cells, note = [_format_cost(row) for row in costs.to_dict("records")], NOTE
    if "rank_all_seconds" in costs:
        note = f"{NOTE} {ALL_NOTE}"
    table = costs.assign(cell=cells).pivot(index="model", columns="dataset", values="cell")
    datasets = list(costs["dataset"].unique())
    table = table.reindex(index=costs["model"].unique(), columns=datasets).fillna(NOTHING)
    table.insert(0, "model", [get_model(str(model)).name for model in table.index])
    made = f"**Some of it is made with {' '.join(overrides)}.**\n\n" if overrides else ""
    commits = ", ".join(sorted(costs["commit"].dropna().unique()))
    return (
        f"# One epoch of every model on every data set\n\n{note}\n\n{made}{make_markdown(table, datasets)}\n\n"
        f"Made from {len(costs)} records of commit {commits}.\n"
    )


def _format_cost(row: Mapping[Hashable, Any]) -> str:
    """Return a cell of the Markdown table."""
    full_ranks = ""
    if not pd.isna(seconds := row.get("rank_all_seconds")):
        full_ranks = f" / {seconds:.0f} ({row['rank_all_ratio']:.2f})"
    return f"{row['epoch_seconds']:.0f} + {row['rank_seconds']:.0f}{full_ranks} s | {row['peak_mib']:,.0f}"
