"""The outcome of a search: its table of points, its records, and the tuned settings with their origin."""

from __future__ import annotations

import shlex
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core.options import NotTunedError, format_value
from sdmr.experiments.core.store import publish_run
from sdmr.experiments.core.tuned import USER_DATASETS, describe_data, read_tuned, write_tuned
from sdmr.experiments.tuning.search import Point, Search
from sdmr.experiments.tuning.space import METRIC, format_overrides, nest, points_path

METRICS = (METRIC, "hit@10")
COLUMNS = ("stage", "settings", *METRICS, "best_epoch", "seconds", "run", "commit", "error")


def publish_points(search: Search) -> Path:
    """Write the table of all points and the records of the finished ones. Returns the table's path."""
    path = points_path(search.results, search.options.dataset, search.space.name)
    write_atomic(path, tabulate_points(search).to_csv(index=False).encode())
    for point in search.points.values():
        if point.record:
            publish_run(point.run, path.parent / point.run.folder.name)
    return path


def tabulate_points(search: Search) -> pd.DataFrame:
    """Return a row for each point, failed ones and those left out included. The seconds do not contain parts."""
    return pd.DataFrame([_make_row(search, point) for point in search.points.values()], columns=COLUMNS, dtype=object)


def _make_row(search: Search, point: Point) -> dict[str, Any]:
    settings = " ".join(format_overrides(search.get_varied_settings(point)))
    row = {"stage": point.stage, "settings": settings, "run": point.run.folder.name}
    if (record := point.record) is None:
        return row | {"error": point.error or "left out"}
    return row | {
        **{metric: f"{record.validation[metric]['expected']:.6f}" for metric in METRICS},
        "best_epoch": record.best_epoch,
        "seconds": f"{record.runtime:.1f}",
        "commit": record.environment.commit,
    }


def save_tuned_settings(search: Search, point: Point) -> tuple[Path, float | None]:
    """Write the settings of a point as the tuned ones. Returns the path, and the better score that it replaces."""
    dataset, name = search.options.dataset, search.space.name
    tuning = describe_origin(search, point)
    try:
        replaced = read_tuned(dataset, name)["tuning"]
    except NotTunedError:
        replaced = {}
    score = replaced.get("validation", {}).get(METRIC, 0.0)
    is_better = score > tuning["validation"][METRIC] and replaced.get("dataset") == tuning.get("dataset")
    path = write_tuned(dataset, name, nest(search.get_tuned_settings(point)), tuning)
    return path, score if is_better else None


def describe_origin(search: Search, point: Point) -> dict[str, Any]:
    """Return how the settings of a finished point were found, as data."""
    record, options = point.record, search.options
    assert record is not None
    origin: dict[str, Any] = {
        "validation": {metric: round(record.validation[metric]["expected"], 4) for metric in METRICS},
        "best_epoch": record.best_epoch,
        "best_among_last_5_allowed": record.best_among_last_5_allowed or None,
        "seed": record.config["seed"],
        "run": record.run,
        "search": options.search,
        "runs": len(search.records),
        "minutes": round(search.minutes, 1),
        "budget": search.budget if isfinite(search.budget) else None,
        "points": str(points_path(search.results, options.dataset, search.space.name)),
        "commits": sorted({record.environment.commit or "unknown" for record in search.records}),
        "commands": [format_command(search)],
        "left_out": sum(not point.error for point in search.unfinished) or None,
        "notes": [*search.notes, *(search.describe(point) for point in search.unfinished if point.error)] or None,
    }
    if options.dataset in USER_DATASETS:
        origin["dataset"] = describe_data(record.config["dataset"])
    return {key: value for key, value in origin.items() if value is not None}


def format_command(search: Search) -> str:
    """Return the command that repeats the search, without the options of this machine."""
    options = search.options
    given = [key for key in ("search", "source", "top", "budget", "results") if key in options.model_fields_set]
    values = {"model": search.space.name, "dataset": options.dataset} | {key: getattr(options, key) for key in given}
    if options.budget is not None:
        values["budget"] = f"{options.budget:g}"
    return "sdmr sweep " + shlex.join([*(f"{key}={format_value(v)}" for key, v in values.items()), *options.overrides])
