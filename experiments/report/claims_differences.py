"""Judge claims that one model is better than another: direction and size."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from pathlib import Path

import pandas as pd

from sdmr.experiments.core.plan import is_stochastic
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import get_model
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.report.comparisons import Comparison, compare_models
from sdmr.experiments.report.dataset_statistics import REASONS
from sdmr.experiments.report.printed import METRICS, PRINTED, get_paper_value
from sdmr.experiments.report.published_rows import list_published, select_row
from sdmr.experiments.report.published_sources import is_current
from sdmr.experiments.report.uncertainty import ALPHA, Interval, Size, correct_by_holm, get_sign, judge_size
from sdmr.experiments.report.writers import (
    format_difference,
    format_effect,
    format_interval,
    format_p_value,
    format_signed,
)

Pairs = dict[str, list[tuple[str, str]]]  # by data set: the models that are compared
OLDER = "older code"  # than the checkout's made a row
BOUNDS = (0.001, 0.01, ALPHA)  # of p values, that tell how sure a direction is
GENERAL = ("item-knn", "slim", "mf-bpr", "cml", "neumf", "cmn")


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

    @property
    def answer(self) -> str:
        """Return the text, or the direction, if any, and the sizes, counted if they differ."""
        counts = Counter(self.sizes)
        texts = [f"{counts[size]} {size}" if len(counts) > 1 else str(size) for size in Size if counts[size]]
        parts = dict.fromkeys([self.direction, ", ".join(texts)])  # "opposite" once
        return self.text or "; ".join(filter(None, parts))

    @property
    def counts(self) -> str:
        """Return how many differences are significant in each direction, such as `+2 −1 of 4`."""
        if not self.signs:
            return ""
        numbers = Counter(self.signs)
        texts = [f"{sign}{numbers[sign]}" for sign in "+−" if numbers[sign]]
        return f"{' '.join(texts) or 0} of {len(self.signs)}"


@dataclass(frozen=True)
class Difference:
    """A model less another, where the paper prints both."""

    dataset: str
    pair: tuple[str, str]
    metric: str
    seeds: tuple[int, int]
    test: Comparison
    printed: float
    is_older: bool  # other code than the checkout's made a row
    p: float = math.nan  # corrected; NaN if the paper prints the difference the other way round

    @property
    def is_counted(self) -> bool:
        return self.printed > 0

    @property
    def sign(self) -> str:
        return get_sign(self.test.difference, self.p)

    @property
    def size(self) -> Size:
        return judge_size(self.printed, Interval(self.test.run_low, self.test.run_high), self.sign)

    def __str__(self) -> str:
        verdict = f"`{self.sign}` {self.size}, p {format_p_value(self.p, '= ')}" if self.is_counted else "not counted"
        return (
            f"{_format_pair(self.pair)}, {self.metric}: {format_difference(self.test)}, "
            f"one run {format_interval(self.test.run_low, self.test.run_high)}, paper {format_signed(self.printed)}: "
            f"{verdict}; "
            f"{format_effect(self.test)}; seeds: {' and '.join(map(str, self.seeds))}"
        )


def check_improvement(
    results: Path, spreads: pd.DataFrame, models: Sequence[str], others: Sequence[str], metrics: Sequence[str] = METRICS
) -> list[Finding]:
    """Test on every printed data set whether all models are better than all others."""
    pairs = list(product(models, others))
    printed = [one for one in PRINTED if any(_subtract_printed(one, *pair) is not None for pair in pairs)]
    return _judge_inside_first(results, spreads, dict.fromkeys(printed, pairs), metrics)


def check_ranking(results: Path, spreads: pd.DataFrame, model: str, datasets: Iterable[str]) -> list[Finding]:
    """Test whether the model ranks among the general ones as printed in Table 3."""
    pairs = [(model, other) for other in GENERAL if other != model]
    ordered = {
        dataset: [pair if (_subtract_printed(dataset, *pair) or 0) > 0 else pair[::-1] for pair in pairs]
        for dataset in datasets
    }
    return _judge(results, spreads, ordered, METRICS)


def _format_pair(pair: tuple[str, str]) -> str:
    return " − ".join(get_model(model).name for model in pair)


def _subtract_printed(dataset: str, model: str, other: str, metric: str = "NDCG@10") -> float | None:
    """Return the paper's difference of two models, None unless it prints both."""
    difference = get_paper_value(dataset, model, metric) - get_paper_value(dataset, other, metric)
    return None if math.isnan(difference) else difference


def _judge_inside_first(results: Path, spreads: pd.DataFrame, pairs: Pairs, metrics: Sequence[str]) -> list[Finding]:
    """Judge by rows inside the paper's grid, where there are any. The answer by the tuned ones stands beside."""
    inside = {
        d: [(select_row(results, d, one), select_row(results, d, other)) for one, other in pairs[d]] for d in pairs
    }
    findings = _judge(results, spreads, inside, metrics)
    if inside == pairs:
        return findings
    return [
        one
        if inside[one.dataset] == pairs[one.dataset]
        else replace(
            one,
            evidence=[*one.evidence, f"With settings that the paper does not search: {other.answer}", *other.evidence],
            note=f"{one.note} (tuned: {other.answer})",
        )
        for one, other in zip(findings, _judge(results, spreads, pairs, metrics), strict=True)
    ]


def _judge(results: Path, spreads: pd.DataFrame, pairs: Pairs, metrics: Sequence[str]) -> list[Finding]:
    """Test whether the first model of each pair is the better one. All tests of a claim are one family for Holm."""
    differences = []
    for dataset, pair, metric in ((d, pair, metric) for d in pairs for pair in pairs[d] for metric in metrics):
        folders = {model: list_published(results, dataset, model) for model in pair}
        printed = _subtract_printed(dataset, *pair, metric)
        if printed is not None and all(folders.values()):
            test = compare_models(folders, *pair, metric, spreads)
            seeds = (len(folders[pair[0]]), len(folders[pair[1]]))
            is_older = not all(is_current(load_record(paths[0] / RECORD)) for paths in folders.values())
            differences.append(Difference(dataset, pair, metric, seeds, test, printed, is_older))
    counted = [one for one in differences if one.is_counted]
    corrected = iter(correct_by_holm([one.test.p for one in counted]))
    differences = [replace(one, p=next(corrected)) if one.is_counted else one for one in differences]
    return [_summarize(d, pairs[d], [one for one in differences if one.dataset == d]) for d in pairs]


def _summarize(dataset: str, pairs: Sequence[tuple[str, str]], differences: Sequence[Difference]) -> Finding:
    """Return the answer that the differences on a data set give together."""
    counted = [one for one in differences if one.is_counted]
    if not counted:
        return Finding(dataset)
    tested = {one.pair for one in differences}
    missing = [_format_pair(pair) for pair in pairs if pair not in tested]
    lines = [str(one) for one in differences]
    if missing:
        lines.append(f"{Direction.NOT_TESTED}: {', '.join(missing)}")
    signs = [one.sign for one in counted]
    direction = grade(set(signs) == {"+"} and not missing, "+" in signs, "−" in signs)
    has_one = any(n == 1 and is_stochastic(m) for one in counted for m, n in zip(one.pair, one.seeds, strict=True))
    worst = max(one.p for one in counted)
    is_older = any(one.is_older for one in counted)
    notes = {"a substitute for the paper's data": dataset in REASONS, "one seed": has_one, OLDER: is_older}
    names = ", ".join(name for name, holds in notes.items() if holds)
    note = f" ({names})" if names else ""
    sure = f"p < {next(one for one in BOUNDS if worst < one)}" if direction == Direction.YES else ""
    return Finding(dataset, direction, [one.size for one in counted], lines, note, sure, signs=signs)


def grade(is_full: bool, is_partial: bool, is_opposite: bool = False) -> Direction:
    """Return the direction of a claim, from whether it holds, and where."""
    if is_full:
        return Direction.YES
    if is_partial and is_opposite:
        return Direction.MIXED
    return Direction.PARTLY if is_partial else Direction.OPPOSITE if is_opposite else Direction.NOT_SHOWN
