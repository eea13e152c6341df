"""A trial of a search, and the numbers of those that it knows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from sdmr.experiments.core.record import Record
from sdmr.experiments.core.run import Run
from sdmr.experiments.tuning import space
from sdmr.experiments.tuning.space import Settings

STATES = ("running", "complete", "pruned", "failed")


@dataclass
class Trial:
    """Settings that are tried, and what is known of their run."""

    number: int
    settings: Settings  # by axis
    run: Run
    # The trials that had ended when the settings were chosen. The others before it were running.
    known: tuple[int, ...] = ()
    state: str = "running"  # one of STATES
    record: Record | None = None  # None also for a model without epochs whose record is not published
    score: float = -1.0  # the best validation NDCG@10
    epoch: int | None = None  # the best one; of a pruned trial, the last
    cpu_seconds: float = 0.0  # without parts
    is_lost: bool = False  # the best one without its record, so that it is to be run again
    hit: str = ""  # validation hit@10, as it is written
    commit: str = ""
    error: str = ""

    @property
    def description(self) -> str:
        """Return the settings as overrides."""
        return " ".join(space.format_overrides(self.settings)) or "default settings"

    def __str__(self) -> str:
        return f"{self.number}: {self.description}"


def select_best(trials: Iterable[Trial]) -> Trial | None:
    """Return the first finished trial with the best score, as it is written."""
    return max((one for one in trials if one.state == "complete"), key=lambda one: round(one.score, 6), default=None)


def format_numbers(numbers: Sequence[int]) -> str:
    """Return ascending numbers with spaces, and runs of them as `first-last`."""
    starts = [n for n, number in enumerate(numbers) if n == 0 or number != numbers[n - 1] + 1]
    pairs = [(numbers[start], numbers[end - 1]) for start, end in pairwise([*starts, len(numbers)])]
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in pairs)


def parse_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers that `format_numbers` has written."""
    pairs = [part.partition("-") for part in text.split()]
    return tuple(chain.from_iterable(range(int(first), int(last or first) + 1) for first, _, last in pairs))
