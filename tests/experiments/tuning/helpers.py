"""Commands and searches as the tests call them."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sdmr.experiments import status, sweep
from sdmr.experiments.core import cli
from sdmr.experiments.core.arguments import flatten
from sdmr.experiments.core.execute import Watch
from sdmr.experiments.core.options import parse_options
from sdmr.experiments.core.parallel import Outcome, make_outcome
from sdmr.experiments.core.tuned import read_tuned
from sdmr.experiments.tuning.options import SearchOptions
from sdmr.experiments.tuning.search import Search

Tasks = Iterable[tuple[str, ...]]
COMMANDS = {"sweep": sweep, "status": status}


def call(*arguments: str, command: str = "sweep") -> int:
    return cli.run_command(COMMANDS[command], command, arguments)


def make_search(name: str, *arguments: str) -> Search:
    return Search(name, parse_options(SearchOptions, [f"model={name}", *arguments]))


def find_list(name: str = "mf-bpr", results: str = "results") -> Path:
    """Return the only list of trials of a model, whose name has a key behind it if settings are fixed."""
    (path,) = Path(results, "sweeps", "csv").glob(f"{name}-[0-9a-f]*.csv")
    return path


def read_points(name: str = "mf-bpr", results: str = "results") -> list[dict[str, str]]:
    """Return the rows of a search's file, without processor time, which differs each time, and the commit."""
    with find_list(name, results).open() as lines:
        return [{k: v for k, v in row.items() if k not in ("cpu_seconds", "commit")} for row in csv.DictReader(lines)]


def read_settings(name: str = "mf-bpr") -> dict[str, Any]:
    """Return the tuned settings by their dotted keys, without their origin."""
    return flatten({key: value for key, value in read_tuned("csv", name).items() if key != "tuning"})


def model_overrides(overrides: Iterable[str]) -> dict[str, str]:
    pairs = (override.partition("=") for override in overrides)
    return {key: value for key, _, value in pairs if key.startswith("model.")}


def run_here(
    tasks: Tasks, runs: Path, workers: int, watches: Mapping[tuple[str, ...], Watch], *_: object
) -> Iterator[Outcome]:
    """Make runs in this process, one after the other."""
    for task in tasks:
        yield make_outcome(task, runs, watches.get(task))
