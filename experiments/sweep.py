"""Tune models on the validation items: `sdmr sweep model=[sdp,sdm] dataset=ml-100k budget=30`.

The search space of a model is `conf/space/MODEL.yaml`: stages, each with some settings and the values to try.
`search=staged` goes from stage to stage. It tries every combination of the stage's values, and keeps all other settings
at the best so far. `search=grid` tries every combination of all values. `search=transferred source=DATASET` tries the
`top=3` best settings of a search on another data set.

`budget` counts the single-thread minutes of all runs that the search uses, reused runs included. When it is spent, no
further run starts. The same command continues a search that was interrupted; two at once share the work. Further
settings (`epochs=20`, `model.context_length=5`) hold for every run, and are not searched. Example:
`sdmr sweep model=sdm dataset=ml-1m search=transferred source=ml-100k`.
"""

import shlex
import sys
import time
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core import cli
from sdmr.experiments.core.options import NotTunedError, format_value
from sdmr.experiments.core.store import publish_run
from sdmr.experiments.core.tuned import describe_data, get_tuned_path, is_user_data, read_tuned, write_tuned
from sdmr.experiments.tuning.search import Point, Search, SearchOptions
from sdmr.experiments.tuning.space import METRIC, format_overrides, locate_points, nest

METRICS = (METRIC, "hit@10")
COLUMNS = ("stage", "settings", *METRICS, "best_epoch", "seconds", "run", "commit", "error")


class Options(SearchOptions):
    replace: bool = Field(
        False, description="replace tuned settings even if their score is higher or they come from more runs"
    )


def main(options: Options) -> int:
    for name in options.model:
        Search(name, options)  # a mistake is reported before the first run
    outcomes = [tune(name, options) for name in options.model]
    return 0 if all(outcomes) else cli.FAILED


def tune(name: str, options: Options) -> bool:
    """Search, and write points, records and tuned settings. Returns whether no run has failed."""
    search = Search(name, options)
    print(f"{name} on {options.dataset}: {options.search} search, {search.budget:g} single-thread minutes", flush=True)
    for note in search.notes:
        print(f"  {note}")
    run_stages(search)
    for point in search.unfinished:
        print(f"  {search.describe(point)}", file=sys.stderr if point.error else sys.stdout)
    path = publish_points(search)
    if search.best is None:
        print("  no run has finished, so nothing is tuned", file=sys.stderr)
    else:
        print(f"  best: {search.describe(search.best)}; all points: {path}", flush=True)
        save_tuned_settings(search, search.best, options.replace)
    return not any(point.error for point in search.points.values())


def run_stages(search: Search) -> None:
    """Make the runs of each stage, and print each as it ends."""
    minutes, workers, start = 0.0, search.options.workers, time.perf_counter()
    for stage, points in enumerate(search.plan_stages(), 1):
        print(f" stage {stage}: {len(points)} points, {sum(p.record is not None for p in points)} cached", flush=True)
        before = search.minutes
        for point in search.run(points):
            print(f"  {search.describe(point)} ({search.minutes:.1f} of {search.budget:g} min)", flush=True)
        minutes += search.minutes - before
    seconds = 60 * minutes
    print(
        f"  took {time.perf_counter() - start:.0f} s; its runs took {seconds:.0f} s, "
        f"which is {seconds / workers:.0f} s for each of {workers} workers"
    )


def publish_points(search: Search) -> Path:
    """Write the table of all points and the records of the finished ones. Returns the table's path."""
    path = locate_points(search.results, search.options.dataset, search.space.name)
    rows = [_make_row(search, point) for point in search.points.values()]
    write_atomic(path, pd.DataFrame(rows, columns=COLUMNS, dtype=object).to_csv(index=False).encode())
    for point in search.points.values():
        if point.record:
            publish_run(point.run, path.parent / point.run.folder.name)
    return path


def _make_row(search: Search, point: Point) -> dict[str, Any]:
    """Return the row of a point, which may have failed or be left out. Its seconds do not contain parts."""
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


def save_tuned_settings(search: Search, point: Point, replace: bool) -> None:
    """Write the settings of a point as the tuned ones, or keep better ones."""
    dataset, name, tuning = search.options.dataset, search.space.name, describe_origin(search, point)
    try:
        before = read_tuned(dataset, name)["tuning"]
    except NotTunedError:
        before = {}
    score, runs = before.get("validation", {}).get(METRIC, 0.0), before.get("runs", 0)
    is_worse = score > tuning["validation"][METRIC] or runs > tuning["runs"]
    if is_worse and before.get("dataset") == tuning.get("dataset"):
        text = f"settings of before, validation {METRIC} {score:.4f}, the best of {runs} runs"
        if not replace:
            print(f"  {get_tuned_path(dataset, name)} keeps the {text}; replace=true replaces them", file=sys.stderr)
            return
        print(f"  these settings replace the {text}", file=sys.stderr)
    print(f"  written to {write_tuned(dataset, name, nest(search.get_tuned_settings(point)), tuning)}", flush=True)


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
        "points": str(locate_points(search.results, options.dataset, search.space.name)),
        "commits": sorted({record.environment.commit or "unknown" for record in search.records}),
        "commands": [format_command(search)],
        "left_out": sum(not point.error for point in search.unfinished) or None,
        "notes": [*search.notes, *(search.describe(point) for point in search.unfinished if point.error)] or None,
        "dataset": describe_data(record.config["dataset"]) if is_user_data(options.dataset) else None,
    }
    return {key: value for key, value in origin.items() if value is not None}


def format_command(search: Search) -> str:
    """Return the command that repeats the search, without the options of this machine."""
    options = search.options
    names = ("search", "source", "top", "budget", "results")
    values = {name: getattr(options, name) for name in names if name in options.model_fields_set}
    if options.budget is not None:
        values["budget"] = f"{options.budget:g}"
    settings = {"model": search.space.name, "dataset": options.dataset} | values
    return "sdmr sweep " + shlex.join([*(f"{k}={format_value(v)}" for k, v in settings.items()), *options.overrides])


if __name__ == "__main__":
    sys.exit(cli.main(["sweep", *sys.argv[1:]]))
