"""Tune models on the validation items: `sdmr sweep model=[sdp,sdm] dataset=ml-100k budget=30`.

The space of a model is `conf/space/MODEL.yaml`: stages, each with some axes and their values. `search=staged` crosses
the axes of one stage after the other, everything else at the best settings so far. `search=grid` crosses all axes of
all stages. `search=transferred source=DATASET` tries the `top=3` best settings of a search on another data set.

`budget` counts the single-thread minutes of all runs that the search uses, wherever they were made. When it is spent,
no further run starts. The same command continues a search that was interrupted; two at once share the work. Further
settings (`epochs=20`, `model.context_length=5`) hold for every run, and take their axis out of the space. Example:
`sdmr sweep model=sdm dataset=ml-1m search=transferred source=ml-100k`.
"""

from __future__ import annotations

import sys
import time

from sdmr.experiments.core import cli
from sdmr.experiments.tuning.outcome import publish_points, save_tuned_settings
from sdmr.experiments.tuning.search import Search, SearchOptions
from sdmr.experiments.tuning.space import METRIC


class Options(SearchOptions):
    pass


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
    points = publish_points(search)
    if search.best is None:
        print("  no run has finished, so nothing is tuned", file=sys.stderr)
    else:
        path, replaced = save_tuned_settings(search, search.best)
        if replaced is not None:
            print(f"  these settings replace better ones, validation {METRIC} {replaced:.4f}", file=sys.stderr)
        print(f"  best: {search.describe(search.best)}\n  written to {path}; all points: {points}", flush=True)
    return not any(point.error for point in search.points.values())


def run_stages(search: Search) -> None:
    """Make the runs of each stage, and print each as it ends."""
    minutes, workers, start = 0.0, search.options.workers, time.perf_counter()
    for stage, points in enumerate(search.stages(), 1):
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


if __name__ == "__main__":
    sys.exit(cli.main(["sweep", *sys.argv[1:]]))
