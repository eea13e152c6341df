"""Frames of runs: learning curves, and the seconds of training against quality."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from sdmr.experiments.core.plan import FoundRun, PlannedRun
from sdmr.experiments.core.registry import MODELS, PAPER_MODELS
from sdmr.experiments.report.printed import read_groups

ORIGIN = ("commit", "processor", "threads")  # of a record's environment


def build_curves(runs: Mapping[PlannedRun, FoundRun]) -> pd.DataFrame:
    """Return a row for every epoch of every model that was trained by epochs."""
    rows = []
    for planned, run in runs.items():
        record = run.record
        for entry in (record.history or [])[1:]:
            values = {name: entry.get(name, math.nan) for name in ("epoch", "validation", "loss")}
            origin = {"is_best": entry["epoch"] == record.best_epoch, "commit": record.environment.commit}
            rows.append({"dataset": record.dataset, "model": planned.model, "seed": planned.seed, **values, **origin})
    return pd.DataFrame(rows)


def build_speed(runs: Mapping[PlannedRun, FoundRun]) -> pd.DataFrame:
    """Return a row a record. Seconds are those of fitting, with choosing the epoch, and of fitting the parts before.

    Scores of another program have none, and no row.
    """
    rows: list[dict[str, Any]] = []
    for planned, run in runs.items():
        record, environment = run.record, run.record.environment
        if "fit" not in record.seconds:
            continue
        if record.parts and "parts" not in record.seconds:
            print(f"{planned.model}, seed {planned.seed}, is left out: its record lacks the seconds of its parts")
            continue
        values = {
            "seconds": record.seconds["fit"] + record.seconds.get("parts", 0.0),
            "NDCG@10": record.metrics()["NDCG@10"]["expected"],
        }
        origin = {name: getattr(environment, name) for name in ORIGIN}
        rows.append({"dataset": record.dataset, "model": planned.model, "seed": planned.seed, **values, **origin})
    return pd.DataFrame(rows, columns=["dataset", "model", "seed", "seconds", "NDCG@10", *ORIGIN])


def average_speed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row a model: seconds `x` and NDCG@10 `y` over seeds, and their spread."""
    columns = {"x": ("seconds", "mean"), "dx": ("seconds", "std"), "y": ("NDCG@10", "mean"), "dy": ("NDCG@10", "std")}
    return frame.groupby("model", sort=False).agg(**columns).fillna(0).reset_index()


def get_group(name: str) -> str:
    """Return the group of a model, by its printed name, as the paper has it."""
    name = name.partition(" (")[0]  # of a row inside the paper's grid, that of its model
    if name in {MODELS[model].name for model in PAPER_MODELS}:
        return "SDP, SDM, SDMR"
    group = read_groups().get(name)
    return f"{group} baseline" if group else "not in the paper"
