"""Compare dense Adam with Adam on the batch's rows, on ML-100k.

Only validation metrics count, since this table decides the default. Missing runs are made. The seconds of a training
step are measured anew, in turns, on data of ML-100k's shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from sdmr.datasets.files import write_atomic
from sdmr.experiments.benchmark.cases import Scale
from sdmr.experiments.benchmark.models import OPTIMIZER, make_model
from sdmr.experiments.benchmark.timing import best_of, time_training_step
from sdmr.experiments.core.plan import FoundRun, PlannedRun, find_or_train
from sdmr.experiments.core.registry import get_model
from sdmr.experiments.report.writers import make_markdown, write_csv

MODEL_NAMES = ("mf-bpr", "sdp", "sdm")
OPTIMIZERS = ("dense", "rowwise")


def compare_optimizers(
    models: Sequence[str], seeds: int, overrides: Sequence[str], runs: Path, results: Path, workers: int
) -> bool:
    """Write results/optimizers.{md,csv}. Returns whether all runs succeeded."""
    findings = find_or_train(plan_optimizer_runs(models, seeds, overrides), runs, workers)
    if findings.runs:
        torch.set_num_threads(1)
        table = tabulate_runs(findings.runs, time_steps(models, Scale()))
        text = format_table(table, overrides)
        write_csv(results / "optimizers.csv", table)
        write_atomic(results / "optimizers.md", text.encode())
        print(text)
    return not findings.failures


def plan_optimizer_runs(models: Sequence[str], seeds: int, overrides: Sequence[str]) -> list[PlannedRun]:
    """Plan each model with each optimizer and seed; the optimizer is the run's group."""
    return [
        PlannedRun(model, "ml-100k", seed, ("test=false", f"{OPTIMIZER}={optimizer}", *overrides), group=optimizer)
        for seed in range(seeds)
        for model in models
        for optimizer in OPTIMIZERS
    ]


def time_steps(models: Sequence[str], scale: Scale) -> pd.DataFrame:
    """Measure a training step of each model with each optimizer."""
    training = scale.make_training(scale.steps)
    rows: list[tuple[str, str, float]] = []
    for model in models:
        trained = [make_model(model, f"{OPTIMIZER}={optimizer}") for optimizer in OPTIMIZERS]
        seconds = best_of(scale.repeats, *(time_training_step(one, training) for one in trained))
        rows += [(model, *pair) for pair in zip(OPTIMIZERS, seconds, strict=True)]
    return pd.DataFrame(rows, columns=["model", "optimizer", "step_seconds"])


def tabulate_runs(found: dict[PlannedRun, FoundRun], steps: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each run, with the seconds of its training step."""
    rows = []
    for planned, run in found.items():
        record = run.record
        names = {"model": planned.model, "optimizer": planned.group, "seed": planned.seed}
        metrics = {"validation_ndcg@10": record.validation["NDCG@10"]["expected"], "best_epoch": record.best_epoch}
        rows.append(names | metrics | {"commit": record.environment.commit})
    table = pd.DataFrame(rows).merge(steps, how="left", on=["model", "optimizer"])
    return table[[*table.columns.drop("commit"), "commit"]]


def format_table(table: pd.DataFrame, overrides: Sequence[str] = ()) -> str:
    """Return the Markdown table: a line a model and optimizer. `overrides` are those of the runs."""
    rows = []
    for (model, optimizer), runs in table.groupby(["model", "optimizer"], sort=False):
        values = runs["validation_ndcg@10"]
        rows.append(
            {
                "model": get_model(str(model)).name,
                "optimizer": optimizer,
                "NDCG@10 by seed": ", ".join(f"{value:.4f}" for value in values),
                "mean": f"{values.mean():.4f}",
                "best epoch": ", ".join(str(epoch) for epoch in runs["best_epoch"]),
                "ms a step": f"{1000 * runs['step_seconds'].iloc[0]:.2f}",
            }
        )
    command = " ".join([f"sdmr bench suite=optimizers seeds={table['seed'].nunique()}", *overrides])
    lines = [
        "# Dense and row-wise Adam on ML-100k",
        "",
        "Validation NDCG@10 of the best epoch, that epoch, and milliseconds of a training step of 256 positives.",
        "",
        make_markdown(rows, right=("mean", "ms a step")),
        "",
        f"Made by `{command}`.",
    ]
    return "\n".join(lines) + "\n"
