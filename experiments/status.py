"""How far a sweep is: `python -m sdmr.experiments.status model=sdm dataset=ml-100k`, with the arguments of the sweep.

`-m` with the overrides of an `sdmr.experiments.run -m …` tells how far that one is. Nothing is run.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from sdmr.experiments.configs import compose_run, taken_from
from sdmr.experiments.execute import Run, is_running, make_run, own_seconds, seconds_in_all
from sdmr.experiments.sweep import OPTIONS, searched

STATES = ("done", "failed", "running", "cut off", "left")


def state_of(run: Run) -> str:
    """One of STATES. What is cut off goes on from its last finished epoch."""
    if run.record is not None:
        return "done"
    if is_running(run):
        return "running"
    if run.failure is not None:
        return "failed"
    return "cut off" if (run.folder / "checkpoint.pt").exists() else "left"


def told(runs: Sequence[tuple[str, Run]]) -> Iterator[str]:
    """Lines about some runs, each with its settings: how many are in which state, and those not done or left."""
    states = [(state_of(run), settings, run) for settings, run in runs]
    number = Counter(state for state, _, _ in states)
    yield f"{len(runs)} runs: {', '.join(f'{number[state]} {state}' for state in STATES)}"
    for state, settings, run in states:
        if state in ("running", "cut off", "failed"):
            yield f"  {state}: {settings or 'plain settings'}{f': {run.failure}' if state == 'failed' else ''}"


def time_left(runs: Sequence[Run], budget: float = float("inf"), later: int = 0) -> str:
    """Minutes that the runs not done, and as many `later` ones, may take, by those that are done.

    It is at most what a budget has left. The parts of models, which many runs share, are taken to be there by now.
    """
    done = [run.record for run in runs if run.record is not None]
    waiting = [run for run in runs if state_of(run) not in ("done", "failed")]
    number, running = len(waiting) + later, sum(state_of(run) == "running" for run in waiting)
    if not number:
        return "nothing is left to do"
    if not done:
        return f"{number} runs to do; how long one takes is not known before the first is done"
    minutes, each = seconds_in_all(done, runs[0].folder.parent.parent) / 60, fmean(map(own_seconds, done)) / 60
    if not running and minutes + each > budget:
        return f"{minutes:.1f} single-thread minutes spent; the budget has none left for one more run"
    left, workers = min(number * each, max(budget - minutes, 0)), max(1, running)
    spent = f"{minutes:.1f} single-thread minutes spent, about {left:.1f} left"
    return f"{spent}, which is {left / workers:.1f} with {workers} at work"


def of_multirun(overrides: Sequence[str]) -> Iterator[str]:
    """How far `sdmr.experiments.run -m` with these overrides is."""
    axes = []
    for text, override in zip(overrides, OverridesParser.create().parse_overrides(list(overrides)), strict=True):
        key = text.partition("=")[0]
        axes.append(
            [f"{key}={v}" for v in override.sweep_string_iterator()] if override.is_sweep_override() else [text]
        )
    found = []
    for job in product(*axes):
        config, dataset = compose_run(job)
        found.append((" ".join(job), make_run(config, dataset, Path(config["runs"]))))
    yield from told(found)
    yield time_left([run for _, run in found])


def of_search(name: str, overrides: Sequence[str], options: dict[str, str]) -> Iterator[str]:
    """How far the sweep with these arguments is; its later stages depend on the one that is under way."""
    search, given = searched(name, overrides, options)
    yield f"{name} on {search.dataset}:"
    runs, later, kind = [], 0, options.get("search", "staged")
    for number, points in enumerate(search.rounds(kind, given), 1):
        own = [(search.label(point), point.run) for point in points]
        lines = told(own)
        yield f"stage {number}, {next(lines)}"
        yield from lines
        runs += [point.run for point in points]
        if any(state_of(run) not in ("done", "failed") for _, run in own):
            later = search.later(number) if kind == "staged" else 0
            break
    distinct = list({run.folder: run for run in runs}.values())
    yield time_left(distinct, search.budget, later) + f" (of a budget of {search.budget:g})"


def main() -> int:
    try:
        if sys.argv[1:2] == ["-m"]:
            for line in of_multirun(sys.argv[2:]):
                print(line)
            return 0
        options, overrides = taken_from(sys.argv[1:], OPTIONS)
        if not options.get("model"):
            print(__doc__, file=sys.stderr)
            return 2
        for name in options["model"].split(","):
            for line in of_search(name, overrides, options):
                print(line)
    except (ValueError, HydraException) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
