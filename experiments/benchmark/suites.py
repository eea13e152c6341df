"""The suites of `sdmr bench` that make runs.

They are one epoch of every model, and dense against row-wise Adam.

The metrics of one epoch say nothing, so that table shows seconds and memory alone. A data set that cannot be read is
left out, and keeps its published records. The table of optimizers decides the default, so it shows validation metrics.
The seconds of a training step are measured anew, in turns, on data of ML-100k's shape.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import write_atomic
from sdmr.experiments.benchmark.scale import Scale
from sdmr.experiments.benchmark.timing import Steps, compare, make_model
from sdmr.experiments.core.config import DEFAULT_DATASET, compose_config
from sdmr.experiments.core.effects import check_effects
from sdmr.experiments.core.plan import FoundRun, PlannedRun, find_or_train
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import MODELS, get_model
from sdmr.experiments.core.run import compose_task, is_task_override
from sdmr.experiments.core.store import RECORD, get_published_folder
from sdmr.experiments.report.writers import NOTHING, make_markdown, write_csv

DATASETS = ("ml-100k", "ml-1m", "netflix-sample", "epinions", "ta-feng", "ijcai-15")
NOTE = (
    "Each cell: seconds of an epoch (of the complete fit, where there are none) + seconds to rank all validation and "
    "test instances | peak memory of the process in MiB, of which some 400 are PyTorch and the other packages. One "
    "thread; by the wall clock, other runs beside it, so that the seconds are upper bounds. –: not run yet."
)
MODEL_NAMES = ("mf-bpr", "sdp", "sdm")  # whose optimizers are compared
OPTIMIZERS = ("dense", "rowwise")
OPTIMIZER = "model.optimization.optimizer"


def run_smoke(
    datasets: Sequence[str], models: Sequence[str], overrides: Sequence[str], runs: Path, results: Path, workers: int
) -> bool:
    """Make the runs, publish their records and the table. Returns whether all of them succeeded."""
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
    ]
    findings = find_or_train(planned, runs, workers, use_published=False)
    for one, run in findings.runs.items():
        assert one.published is not None
        write_atomic(one.published / RECORD, (run.folder / RECORD).read_bytes())
    costs = collect_costs(results)
    if not costs.empty:
        _write_table(results, "smoke", costs, format_costs(costs, overrides))
    return not findings.failures


def compare_optimizers(
    models: Sequence[str], seeds: int, overrides: Sequence[str], runs: Path, results: Path, workers: int
) -> bool:
    """Make the missing runs, and write results/optimizers.{md,csv}.

    Returns whether all runs succeeded.
    """
    check_effects(overrides, models, [DEFAULT_DATASET])
    findings = find_or_train(plan_optimizer_runs(models, seeds, overrides), runs, workers)
    if findings.runs:
        torch.set_num_threads(1)
        table = tabulate_runs(findings.runs, time_steps(models, Scale()))
        _write_table(results, "optimizers", table, format_optimizers(table, overrides))
    return not findings.failures


def _write_table(results: Path, name: str, table: pd.DataFrame, text: str) -> None:
    """Write NAME.csv and NAME.md, and print the latter."""
    write_csv(results / f"{name}.csv", table)
    write_atomic(results / f"{name}.md", text.encode())
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
        rounded = {name: round(value, 1) for name, value in costs.items()}
        rows.append(names | rounded | {"commit": record.environment.commit})
    order = {name: number for number, name in enumerate((*DATASETS, *MODELS))}
    rows.sort(key=lambda row: [order.get(row[name], len(order)) for name in ("dataset", "model")])
    return pd.DataFrame(rows)


def format_costs(costs: pd.DataFrame, overrides: Sequence[str] = ()) -> str:
    """Return the Markdown table: a line a model, a column a data set. `overrides` are those of the latest runs."""
    cells = [f"{row.epoch_seconds:.0f} + {row.rank_seconds:.0f} s | {row.peak_mib:,.0f}" for row in costs.itertuples()]
    table = costs.assign(cell=cells).pivot(index="model", columns="dataset", values="cell")
    datasets = list(costs["dataset"].unique())
    table = table.reindex(index=costs["model"].unique(), columns=datasets).fillna(NOTHING)
    table.insert(0, "model", [get_model(str(model)).name for model in table.index])
    note = f"**Some of it is made with {' '.join(overrides)}.**\n\n" if overrides else ""
    commits = ", ".join(sorted(costs["commit"].dropna().unique()))
    return (
        f"# One epoch of every model on every data set\n\n{NOTE}\n\n{note}{make_markdown(table, datasets)}\n\n"
        f"Made from {len(costs)} records of commit {commits}.\n"
    )


def plan_optimizer_runs(models: Sequence[str], seeds: int, overrides: Sequence[str]) -> list[PlannedRun]:
    """Plan each model with each optimizer and seed; the optimizer is the run's group."""
    return [
        PlannedRun(
            model, DEFAULT_DATASET, seed, ("test=false", f"{OPTIMIZER}={optimizer}", *overrides), group=optimizer
        )
        for seed in range(seeds)
        for model in models
        for optimizer in OPTIMIZERS
    ]


def time_steps(models: Sequence[str], scale: Scale) -> dict[tuple[str, str], float]:
    """Measure the seconds of a training step of each model with each optimizer."""
    training = scale.make_training(scale.steps)
    seconds: dict[tuple[str, str], float] = {}
    for model in models:
        trained = [Steps(make_model(model, f"{OPTIMIZER}={optimizer}"), training) for optimizer in OPTIMIZERS]
        costs = compare(scale.turns, *(partial(one.run, scale.steps) for one in trained), count=scale.steps)
        seconds |= {(model, optimizer): cost.seconds for optimizer, cost in zip(OPTIMIZERS, costs, strict=True)}
    return seconds


def tabulate_runs(runs: Mapping[PlannedRun, FoundRun], steps: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    """Return a row for each run. `steps` has the seconds of a step by model and optimizer."""
    rows = []
    for planned, run in runs.items():
        record = run.record
        names = {"model": planned.model, "optimizer": planned.group, "seed": planned.seed}
        quality = {"validation_ndcg@10": record.validation["NDCG@10"]["expected"], "best_epoch": record.best_epoch}
        step = {"step_seconds": steps[planned.model, planned.group]}
        rows.append(names | quality | step | {"commit": record.environment.commit})
    return pd.DataFrame(rows)


def format_optimizers(table: pd.DataFrame, overrides: Sequence[str] = ()) -> str:
    """Return the Markdown table: a line a model and optimizer. `overrides` are those of the runs."""
    rows = []
    for (model, optimizer), runs in table.groupby(["model", "optimizer"], sort=False):
        values = runs["validation_ndcg@10"]
        row = {
            "model": get_model(str(model)).name,
            "optimizer": optimizer,
            "NDCG@10 by seed": ", ".join(f"{value:.4f}" for value in values),
            "mean": f"{values.mean():.4f}",
            "best epoch": ", ".join(str(epoch) for epoch in runs["best_epoch"]),
            "ms a step": f"{1000 * runs['step_seconds'].iloc[0]:.2f}",
        }
        rows.append(row)
    command = " ".join([f"sdmr bench suite=optimizers seeds={table['seed'].nunique()}", *overrides])
    return (
        "# Dense and row-wise Adam on ML-100k\n\n"
        "Validation NDCG@10 of the best epoch, that epoch, and milliseconds of a training step of 256 positives.\n\n"
        f"{make_markdown(rows, right=('mean', 'ms a step'))}\n\nMade by `{command}`.\n"
    )
