"""Claims about models: that one is better than another, where it ranks, and what its values are.

A comparison of two models is a paired test over users on the mean over seeds. The tests are not corrected for their
number.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdmr.experiments.core.plan import is_stochastic
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.store import published_seeds
from sdmr.experiments.report.claims_findings import (
    IN_PART,
    NOT_REPRODUCED,
    NOT_TESTED,
    REPRODUCED,
    UNDECIDED,
    Finding,
    get_sign,
)
from sdmr.experiments.report.frames import DATASETS, METRICS, Cell, get_paper_value, make_cells, per_user
from sdmr.experiments.report.stats import paired_test
from sdmr.experiments.report.writers import format_difference

GENERAL = ("item-knn", "slim", "mf-bpr", "cml", "neumf", "cmn")
SEQUENTIAL = ("prme", "prme-s", "transrec", "caser")


def check_improvement(
    results: Path, models: Sequence[str], others: Sequence[str], metrics: Sequence[str] = METRICS
) -> list[Finding]:
    """Test whether each of the models is better than each of the others, on every data set that prints both."""
    pairs = [(model, other) for model in models for other in others]
    return [
        _compare(results, table, dataset, pairs, metrics)
        for table, datasets in DATASETS.items()
        for dataset in datasets
        if all(any(_printed(table, dataset, one, metrics[0]) for one in side) for side in (models, others))
    ]


def check_ranking(results: Path, model: str) -> list[Finding]:
    """Test whether the model is above or below every other general one as printed, on every data set of Table 3."""
    findings = []
    for dataset in DATASETS[3]:
        printed = {name: _printed(3, dataset, name, "NDCG@10") or 0 for name in GENERAL}
        others = [other for other in GENERAL if other != model]
        pairs = [(model, other) if printed[model] > printed[other] else (other, model) for other in others]
        findings.append(_compare(results, 3, dataset, pairs, METRICS))
    return findings


def check_values(results: Path, model: str) -> list[Finding]:
    """Test whether the model's printed values are inside our 95 % intervals, with Popularity's beside them."""
    findings = []
    for dataset in DATASETS[3]:
        folders = published_seeds(results, "table3", dataset, model)
        if not folders:
            findings.append(Finding(dataset))
            continue
        cells = make_cells(3, dataset, model, folders)
        lines = [f"{MODELS[model].name}: {describe_cells(cells)}"]
        if popular := published_seeds(results, "table3", dataset, "popularity"):
            lines.append("Popularity: " + "; ".join(f"{m} {per_user(popular, m).mean():.3f}" for m in METRICS))
        findings.append(Finding(dataset, count_inside(cells) or NOT_REPRODUCED, lines))
    return findings


def describe_cells(cells: Sequence[Cell]) -> str:
    """Return each metric with our interval and the printed value."""
    return "; ".join(
        f"{cell.metric} {cell.ours:.3f} ({cell.low:.3f} … {cell.high:.3f}), paper {cell.paper:.3f}" for cell in cells
    )


def count_inside(cells: Sequence[Cell]) -> str:
    """Return the status of printed values: reproduced if all are inside, in part if some are, else nothing."""
    inside = [cell.verdict == "inside" for cell in cells]
    return REPRODUCED if all(inside) else IN_PART if any(inside) else ""


def _compare(
    results: Path, table: int, dataset: str, pairs: Sequence[tuple[str, str]], metrics: Sequence[str]
) -> Finding:
    """Test whether the first model of each pair is the better one, by the metrics that the paper claims it for."""
    signs: list[str] = []
    lines, missing, has_one_seed = [], [], False
    for pair in pairs:
        folders = [published_seeds(results, f"table{table}", dataset, model) for model in pair]
        names = " − ".join(MODELS[model].name for model in pair)
        if not all(folders):
            missing.append(names)
            continue
        texts = []
        for metric in metrics:
            test = paired_test(*(per_user(seeds, metric) for seeds in folders))
            first, second = (_printed(table, dataset, model, metric) for model in pair)
            paper = None if first is None or second is None else first - second
            sign = get_sign(test.low, test.high, paper is None or test.low <= paper <= test.high)
            text = f"{metric} {format_difference(test)} `{sign}`" + ("" if paper is None else f", paper {paper:+.3f}")
            if paper is None or paper > 0:
                signs.append(sign)
            else:
                text += ", not counted"
            texts.append(text)
        has_one_seed |= any(
            len(seeds) == 1 and is_stochastic(model) for model, seeds in zip(pair, folders, strict=True)
        )
        lines.append(f"{names}: {'; '.join(texts)}; seeds: {' and '.join(str(len(seeds)) for seeds in folders)}")
    if not signs:
        return Finding(dataset)
    if missing:
        lines.append(f"{NOT_TESTED}: {', '.join(missing)}")
    return Finding(dataset, _judge_signs(set(signs), not missing), lines, " (one seed)" if has_one_seed else "")


def _judge_signs(signs: set[str], is_complete: bool) -> str:
    if signs == {"+"} and is_complete:
        return REPRODUCED
    return IN_PART if "+" in signs else UNDECIDED if signs == {"?"} else NOT_REPRODUCED


def _printed(table: int, dataset: str, model: str, metric: str) -> float | None:
    return get_paper_value(table, dataset, MODELS[model].name, metric)
