"""Judge claims that one model is better than another: direction and size."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path

import pandas as pd

from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import get_model
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.report.averages import ALL
from sdmr.experiments.report.claims_answers import Direction, Finding, count_signs, describe_rows, grade
from sdmr.experiments.report.compared_rows import ComparedRow
from sdmr.experiments.report.comparisons import Comparison, Folders, compare_models
from sdmr.experiments.report.dataset_statistics import REASONS
from sdmr.experiments.report.differences import compare_values
from sdmr.experiments.report.printed import METRICS, PRINTED, get_paper_value
from sdmr.experiments.report.published_rows import list_published, select_row
from sdmr.experiments.report.row_values import Values, load_values
from sdmr.experiments.report.uncertainty import ALPHA, Interval, Size, correct_by_holm, get_sign, judge_size
from sdmr.experiments.report.writers import (
    format_difference,
    format_effect,
    format_interval,
    format_p_value,
    format_signed,
)

Pairs = dict[str, list[tuple[str, str]]]  # by data set: the models that are compared
P_LIMITS = (0.001, 0.01, ALPHA)  # of p values, that tell how sure a direction is
GENERAL = ("item-knn", "slim", "mf-bpr", "cml", "neumf", "cmn")


@dataclass(frozen=True)
class Difference:
    """A model less another, where the paper prints both."""

    dataset: str
    pair: tuple[str, str]
    metric: str
    seeds: tuple[int, int]
    test: Comparison
    printed: float
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
    """Test whether the first model of each pair is the better one.

    For Holm, the tests of a claim are one family on the paper's data sets, and another one on substitutes.
    """
    findings = {}
    for is_substitute in (False, True):
        datasets = [dataset for dataset in pairs if (dataset in REASONS) == is_substitute]
        folders = {d: {model: list_published(results, d, model) for model in chain(*pairs[d])} for d in datasets}
        compared = {d: list(_compare(d, pairs[d], folders[d], metrics, spreads)) for d in datasets}
        full_signs = _sign_among_all(compared, folders, spreads)
        corrected = iter(correct_by_holm([one.test.p for one in chain(*compared.values()) if one.is_counted]))
        for dataset, differences in compared.items():
            differences = [replace(one, p=next(corrected)) if one.is_counted else one for one in differences]
            finding = _summarize(dataset, pairs[dataset], differences, folders[dataset])
            findings[dataset] = _add_signs(finding, full_signs.get(dataset, ()))
    return [findings[dataset] for dataset in pairs]


def _compare(
    dataset: str, pairs: Sequence[tuple[str, str]], folders: Folders, metrics: Sequence[str], spreads: pd.DataFrame
) -> Iterator[Difference]:
    """Yield the differences of the pairs that are printed and published."""
    for pair, metric in product(pairs, metrics):
        printed = _subtract_printed(dataset, *pair, metric)
        if printed is not None and all(folders[model] for model in pair):
            test = compare_models(folders, *pair, metric, spreads)
            yield Difference(dataset, pair, metric, (len(folders[pair[0]]), len(folders[pair[1]])), test, printed)


def _sign_among_all(
    compared: Mapping[str, Sequence[Difference]], folders: Mapping[str, Folders], spreads: pd.DataFrame
) -> dict[str, list[str]]:
    """Return the signs of the counted differences among all items, by data set.

    They are a Holm family of their own. A data set has none unless every row has such ranks. Two rows are compared on
    the instances that both have ranked.
    """
    tests: dict[str, list[Comparison]] = {}
    for dataset, differences in compared.items():
        counted = [one for one in differences if one.is_counted]
        keys = dict.fromkeys((model, one.metric) for one in counted for model in one.pair)
        values = {key: _load_among_all(*key, folders[dataset], spreads) for key in keys}
        pairs = [[values[model, one.metric] for model in one.pair] for one in counted]
        made = [compare_values(first, other)[1] if first and other else None for first, other in pairs]
        tests[dataset] = [test for test in made if test] if None not in made else []
    corrected = iter(correct_by_holm([test.p for test in chain(*tests.values())]))
    return {dataset: [get_sign(test.difference, next(corrected)) for test in made] for dataset, made in tests.items()}


def _load_among_all(model: str, metric: str, folders: Folders, spreads: pd.DataFrame) -> Values | None:
    """Read a published row's metric among all items, None without such ranks."""
    records = tuple(load_record(folder / RECORD) for folder in folders[model])
    return load_values(ComparedRow(model, model, tuple(folders[model]), records), metric + ALL, spreads)


def _add_signs(finding: Finding, signs: Sequence[str]) -> Finding:
    """Return the finding with its signs among all items, if it has any."""
    if not signs:
        return finding
    evidence = [*finding.evidence, f"Among all items: {count_signs(signs)} significant"]
    return replace(finding, signs_among_all=signs, evidence=evidence)


def _summarize(
    dataset: str, pairs: Sequence[tuple[str, str]], differences: Sequence[Difference], folders: Folders
) -> Finding:
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
    worst = max(one.p for one in counted)
    sure = f"p < {next(one for one in P_LIMITS if worst < one)}" if direction == Direction.YES else ""
    models = dict.fromkeys(chain(*(one.pair for one in counted)))
    note = describe_rows(dataset, {model: folders[model] for model in models})
    return Finding(dataset, direction, [one.size for one in counted], lines, note, sure, signs=signs)
