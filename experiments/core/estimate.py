"""How long planned runs may take."""

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdmr.experiments.core.record import load_record
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
