"""How long runs took, and how long planned ones may take."""

import statistics
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import get_model

if TYPE_CHECKING:
    from sdmr.experiments.core.plan import PlannedRun


def estimate_time(pending: Sequence["PlannedRun"], workers: int) -> str:
    """Return how long the runs may take, by published runs of the same models."""
    classes = {get_model(one.model).target.rpartition(".")[2] for one in pending}
    seconds, unknown = 0.0, 0
    for one in pending:
        name = one.published.name.rpartition("-")[0] if one.published else ""
        paths = sorted(one.published.parent.glob(f"{name}-[0-9]*/record.json")) if one.published else []
        records = [load_record(path) for path in paths]
        # Parts that are among the planned models have separate runs, and are not counted twice.
        are_planned = all(name.partition("-")[0] in classes for record in records for name in record.parts.values())
        times = [record.runtime if are_planned else sum(record.seconds.values()) for record in records]
        seconds += statistics.mean(times) if times else 0
        unknown += not times
    if unknown == len(pending):
        return "no estimate of the time: none of these runs is published"
    without = f"; no estimate for {unknown} of them" if unknown else ""
    return f"about {seconds / workers / 60:.0f} min on a machine as fast as the one that published{without}"


def compute_runtime(records: Iterable[Record], runs: Path | None = None) -> float:
    """Return the seconds of runs, and of their separate runs whose records `runs` has."""
    known = {record.run: record for record in records}
    pending = list(known.values())
    for record in pending:
        for name in chain.from_iterable(record.separate_runs.values()):
            path = (runs or Path()) / record.dataset / name / "record.json"
            if runs and name not in known and path.exists():
                known[name] = load_record(path)
                pending.append(known[name])
    unknown = {}
    for record in pending:
        for phase, names in record.separate_runs.items():
            if missing := frozenset(names).difference(known):
                # The oldest published records do not tell what their parts took.
                read = sum(known[name].runtime for name in names if name in known)
                unknown[missing] = max(0.0, record.seconds.get(phase, 0.0) - read)
    return sum(record.runtime for record in pending) + sum(unknown.values())
