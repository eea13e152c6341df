"""Time calls beside each other, and hold what they cost.

What is compared takes turns, and the least of several turns counts.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from sdmr.experiments.core.messages import describe_threads

LITERAL = "literal oracle"


@dataclass(frozen=True)
class Cost:
    """Hold the least seconds of several turns, by the clock and of all processors.

    `turns` has the seconds of each by the clock.
    """

    seconds: float
    processor_seconds: float | None = None
    turns: tuple[float, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A measurement: the cost of a call and, if there is one, of its reference."""

    name: str
    setting: dict[str, Any]
    cost: Cost
    reference: str | None = None  # what it is compared with
    reference_cost: Cost | None = None
    threads: int = field(default_factory=torch.get_num_threads, kw_only=True)

    @property
    def ratio(self) -> float | None:
        """Return how many times faster than the reference the call is."""
        return None if self.reference_cost is None else self.reference_cost.seconds / self.cost.seconds

    @property
    def processor_ratio(self) -> float | None:
        """Return the ratio of processor times, which a busy machine hardly changes."""
        if self.reference_cost is None or not self.cost.processor_seconds:
            return None
        theirs = self.reference_cost.processor_seconds
        return None if theirs is None else theirs / self.cost.processor_seconds

    @property
    def ratio_range(self) -> list[float]:
        """Return the least and the largest ratio of a round."""
        if self.reference_cost is None or not self.cost.turns:
            return []
        ratios = [theirs / ours for ours, theirs in zip(self.cost.turns, self.reference_cost.turns, strict=True)]
        return [min(ratios), max(ratios)]

    def get_row(self) -> dict[str, Any]:
        """Return what bench.json holds of it."""
        theirs = self.reference_cost
        return {
            "name": self.name,
            "setting": self.setting,
            "seconds": self.cost.seconds,
            "processor_seconds": self.cost.processor_seconds,
            "reference": self.reference,
            "reference_seconds": None if theirs is None else theirs.seconds,
            "reference_processor_seconds": None if theirs is None else theirs.processor_seconds,
            "ratio": self.ratio,
            "ratios": self.ratio_range,
            "processor_ratio": self.processor_ratio,
            "threads": self.threads,
        }

    def __str__(self) -> str:
        """Return the ratios, the cost and what was measured as a line."""
        columns = ["", "", ""]
        if self.ratio is not None:
            spread = "–".join(f"{ratio:.2f}" for ratio in self.ratio_range)
            processor = f"({self.processor_ratio:.2f})" if self.processor_ratio else ""
            columns = [f"{self.ratio:.2f} x", spread, processor]
        seconds = f"{self.cost.seconds:.4g} s"
        processor = f"({self.cost.processor_seconds:.4g})" if self.cost.processor_seconds is not None else ""
        names = [f"{key} {value}" for key, value in self.setting.items() if key not in ("count", "of")]
        setting = ", ".join([*names, describe_threads(self.threads)])
        if self.reference_cost is not None:
            setting += f"; {self.reference}: {self.reference_cost.seconds:.4g} s"
        ratios = "{:>9} {:>12} {:>8}".format(*columns)
        return f"{ratios}  {self.name:22} {seconds:>11} {processor:>11}  {setting}"


def compare(turns: int, *calls: Callable[[], object], count: int = 1) -> list[Cost]:
    """Return the cost of each call, divided by its `count` equal pieces of work.

    They take turns, so that all of them see the good and the bad moments of a machine whose speed drifts.
    """
    costs = [[_time(call, count) for call in calls] for _ in range(turns)]
    return [merge_costs(column) for column in zip(*costs, strict=True)]


def merge_costs(costs: Sequence[Cost]) -> Cost:
    """Return the cost of several turns."""
    turns = tuple(seconds for cost in costs for seconds in cost.turns)
    processor_seconds = [cost.processor_seconds for cost in costs if cost.processor_seconds is not None]
    return Cost(min(turns), min(processor_seconds, default=None), turns)


def _time(call: Callable[[], object], count: int) -> Cost:
    start, processor_start = time.perf_counter(), time.process_time()
    call()
    seconds = (time.perf_counter() - start) / count
    return Cost(seconds, (time.process_time() - processor_start) / count, (seconds,))


def make_entry(name: str, setting: dict[str, Any], costs: Sequence[Cost], reference: str = LITERAL) -> Entry:
    """Make an entry from the cost of a call and, maybe, of its reference."""
    cost, *others = costs
    return Entry(name, setting, cost, reference, others[0]) if others else Entry(name, setting, cost)
