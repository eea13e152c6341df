"""What the evidence on a claim answers: direction, sizes, and what qualifies them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sdmr.experiments.core.plan import is_stochastic
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.core.store import read_tuning_beside
from sdmr.experiments.core.tuned import has_few_trials
from sdmr.experiments.report.dataset_statistics import REASONS
from sdmr.experiments.report.published_sources import is_current
from sdmr.experiments.report.uncertainty import Size

OLDER = "older code"  # than the checkout's made a row
BRIEF = "few trials"  # in the search of a row


class Direction(StrEnum):
    """Whether the differences of a claim are there."""

    YES = "yes"
    PARTLY = "in part"
    MIXED = "mixed"
    OPPOSITE = "opposite"
    NOT_SHOWN = "not shown"
    NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Finding:
    """The evidence from one data set, and the answer that follows.

    `direction` is None where single values are judged, which have sizes alone, and where `text` is the answer.
    """

    dataset: str
    direction: Direction | None = Direction.NOT_TESTED
    sizes: Sequence[Size] = ()  # of each difference or value
    evidence: Sequence[str] = ()  # lines
    note: str = ""  # what qualifies the answer
    sure: str = ""  # of a direction that is there: a bound of the p value of its least sure difference
    text: str = ""
    signs: Sequence[str] = ()  # of each difference: `+` significant as claimed, `−` the other way, else `?`
    signs_among_all: Sequence[str] = ()  # likewise, of the metrics among all items; empty unless every row has them

    @property
    def answer(self) -> str:
        """Return the text, or the direction, if any, and the sizes, counted if they differ."""
        counts = Counter(self.sizes)
        texts = [f"{counts[size]} {size}" if len(counts) > 1 else str(size) for size in Size if counts[size]]
        parts = dict.fromkeys([self.direction, ", ".join(texts)])  # "opposite" once
        return self.text or "; ".join(filter(None, parts))

    @property
    def counts(self) -> str:
        return count_signs(self.signs)

    @property
    def counts_all(self) -> str:
        return count_signs(self.signs_among_all)


def count_signs(signs: Sequence[str]) -> str:
    """Return how many differences are significant in each direction, such as `+2 −1 of 4`."""
    if not signs:
        return ""
    numbers = Counter(signs)
    texts = [f"{sign}{numbers[sign]}" for sign in "+−" if numbers[sign]]
    return f"{' '.join(texts) or 0} of {len(signs)}"


def grade(is_full: bool, is_partial: bool, is_opposite: bool = False) -> Direction:
    """Return the direction of a claim, from whether it holds, and where."""
    if is_full:
        return Direction.YES
    if is_partial and is_opposite:
        return Direction.MIXED
    return Direction.PARTLY if is_partial else Direction.OPPOSITE if is_opposite else Direction.NOT_SHOWN


def describe_rows(dataset: str, folders: Mapping[str, Sequence[Path]]) -> str:
    """Return what qualifies an answer that follows from published records, by model and seed."""
    rows = {model: [load_record(folder / RECORD) for folder in seeds] for model, seeds in folders.items()}
    is_brief = any(has_few_trials(read_tuning_beside(one)) for seeds in folders.values() for one in seeds[:1])
    return describe_records(dataset, rows, is_brief)


def describe_records(dataset: str, rows: Mapping[str, Sequence[Record]], is_brief: bool = False) -> str:
    """Return what qualifies an answer that follows from records, by model and seed."""
    has_one_seed = any(len(records) == 1 and is_stochastic(model) for model, records in rows.items())
    is_older = not all(is_current(record) for records in rows.values() for record in records)
    return format_note(dataset, has_one_seed, is_older, is_brief)


def format_note(dataset: str, has_one_seed: bool, is_older: bool, is_brief: bool = False) -> str:
    substitute = "a substitute for the paper's data"
    notes = {substitute: dataset in REASONS, "one seed": has_one_seed, OLDER: is_older, BRIEF: is_brief}
    names = ", ".join(name for name, holds in notes.items() if holds)
    return f" ({names})" if names else ""
