"""How long runs took, and how long planned ones may take."""

import statistics
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import get_model
from sdmr.experiments.core.run_files import RECORD

if TYPE_CHECKING:
    from sdmr.experiments.core.plan import PlannedRun


def estimate_time(pending: Sequence["PlannedRun"], workers: int) -> str:
    """Return how long the runs may take, by published runs of the same models."""
    classes = {get_model(one.model).target.rpartition(".")[2] for one in pending}
    times = [_average_runtime(one.published, classes) for one in pending if one.published]
    known = [seconds for seconds in times if seconds is not None]
    if not known:
        return "no estimate of the time: the results have no record of these runs"
    unknown = len(pending) - len(known)
    without = f"; no estimate for {unknown} of them" if unknown else ""
    return f"about {sum(known) / workers / 60:.0f} min on a machine as fast as the one that published{without}"


def _average_runtime(published: Path, planned: set[str]) -> float | None:
    """Return the mean seconds of a published model's seeds, None if there are none.

    Parts of the planned classes have separate runs, and are not counted twice.
    """
    model, times = published.name.rpartition("-")[0], []
    for path in sorted(published.parent.glob(f"{model}-[0-9]*/{RECORD}")):
        with suppress(DataError):  # a damaged record is named where its results are read
            record = load_record(path)
            has_planned_parts = all(run.partition("-")[0] in planned for run in record.parts.values())
            times.append(record.runtime if has_planned_parts else sum(record.seconds.values()))
    return statistics.fmean(times) if times else None


def compute_runtime(records: Iterable[Record], runs: Path | None = None) -> float:
    """Return the seconds of runs and of their separate runs, such as parts, each once.

    `runs` has records of separate runs; what the others took is that of a phase of their run.
    """
    known = {record.run: record for record in records}
    pending = list(known.values())
    for record in pending:
        for name in chain.from_iterable(record.separate_runs.values()):
            if runs and name not in known and (path := runs / record.dataset / name / RECORD).exists():
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
