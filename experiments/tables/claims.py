"""The paper's claims one by one, each with the evidence that is published here, and what it amounts to.

Statuses are made by rules from records, never written by hand, and hold for the data sets and settings of the evidence
alone. A comparison of two models is a paired test over users on the mean over seeds; there is no correction for their
number.
"""

from __future__ import annotations

import csv
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ttest_1samp

from sdmr.experiments.configs import MODELS
from sdmr.experiments.id_order import RULES
from sdmr.experiments.tables.accuracy import has_seed, number
from sdmr.experiments.tables.cells import DATASETS, METRICS, paper_values, per_user, records_of
from sdmr.experiments.tables.factors import TIES
from sdmr.experiments.uncertainty import interval, paired
from sdmr.harness.records import read_record

REPRODUCED, IN_PART, NOT = "reproduced", "reproduced in part", "not reproduced"
UNDECIDED = "not reproduced (undecided)"
NOT_TESTED = "not tested"
SMALL_GAIN = 0.01  # of a metric: where it is not excluded, more hops have not been shown not to help
GENERAL = ("item-knn", "slim", "mf-bpr", "cml", "neumf", "cmn")
SEQUENTIAL = ("prme", "prme-s", "transrec", "caser")


@dataclass(frozen=True)
class Finding:
    """What the evidence of one data set amounts to."""

    dataset: str
    status: str
    evidence: tuple[str, ...]  # lines
    note: str = ""  # what to keep in mind with the status


@dataclass(frozen=True)
class Claim:
    """What the paper says, and what was found."""

    text: str
    findings: Sequence[Finding]
    rule: str = ""  # by which its statuses are made, if not by the differences of models

    def markdown(self) -> Iterator[str]:
        yield f"### {self.text}"
        yield ""
        if self.rule:
            yield from (f"Rule: {self.rule}.", "")
        for finding in self.tested:
            yield f"- {finding.dataset}: ***{finding.status}***{finding.note}"
            yield from (f"  - {line}" for line in finding.evidence)
        if self.untested:
            yield f"- {', '.join(self.untested)}: *{NOT_TESTED}*"
        yield ""

    @property
    def tested(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.status != NOT_TESTED]

    @property
    def untested(self) -> list[str]:
        return [finding.dataset for finding in self.findings if finding.status == NOT_TESTED]

    @property
    def status(self) -> str:
        texts = [f"{finding.dataset}: {finding.status}{finding.note}" for finding in self.tested]
        return "; ".join([*texts, *([f"{', '.join(self.untested)}: {NOT_TESTED}"] if self.untested else [])])


def claims(
    results: Path, plots: Path, audit: Mapping[tuple[str, str, str], Sequence[Mapping[str, Any]]]
) -> list[Claim]:
    """All claims. `audit`: the audit's own records, by data set, factor and model."""
    return [
        Claim("SDP is better than MF-BPR", _better(results, ("sdp",), ("mf-bpr",))),
        Claim("SDP is better than CML", _better(results, ("sdp",), ("cml",))),
        Claim("SDM is better than the neighbourhood models", _better(results, ("sdm",), ("item-knn", "slim"))),
        Claim("SDM is better than CMN++ and NeuMF++", _better(results, ("sdm",), ("cmn", "neumf"))),
        Claim("SDMR is better than SDM on NDCG@10", _better(results, ("sdmr",), ("sdm",), METRICS[1:])),
        Claim(
            "SDMR's NDCG@10, on ML-100k .562 at a hit@10 of .695",
            [
                _reading(audit.get((dataset, "released", "sdmr"), ()), dataset, table)
                for dataset, (table, _) in TIES.items()
            ],
            f"{REPRODUCED}, if the expected reading of ties comes to within .02 of it, or beyond, at any epoch; an "
            "artefact, if of all readings only the optimistic one does",
        ),
        Claim("SDM and SDMR are better than the sequential models", _better(results, ("sdm", "sdmr"), SEQUENTIAL)),
        Claim("Item-KNN is last of the general models", _place(results, "item-knn")),
        Claim(
            "Item-KNN's values, on ML-100k .166 / .073",
            list(_level(results, "item-knn")),
            f"{REPRODUCED}, if the printed values are within our 95 % bootstrap intervals over users",
        ),
        Claim("SLIM's place among the general models", _place(results, "slim")),
        Claim(
            "More hops help SDM, Ta-Feng excepted",
            list(_hops(results)),
            f"signs of a t-test over settings (embedding size and seed), not over users, `?` where the interval holds "
            f"both 0 and a gain of {SMALL_GAIN}; on Ta-Feng the claim is that they do not help",
        ),
        Claim(
            "SDM's attention follows PMI more with more hops",
            list(_attention(plots)),
            f"{REPRODUCED}, if r grows from hop to hop and the bootstrap intervals of the fewest and the most hops are "
            "apart",
        ),
        Claim(
            "SDM gets .575 / .390 on Epinions",
            [_file_order(audit, results)],
            f"{REPRODUCED} ({IN_PART}), if both metrics (one) are within the 95 % intervals of Table 3's SDM, whose "
            "order is random; else an artefact, if a rule that knows only the file's order is above it, and below it "
            "in a random order",
        ),
    ]


def markdown(found: Sequence[Claim]) -> str:
    """The claims, a summary before them."""
    lines = [
        "## The claims",
        "",
        "What stands behind each status: models compared over the same users, candidates and means over seeds; `+` "
        "where the 95 % interval of the difference (paired t-test over users, not corrected for their number; seeds "
        "are averaged, and where a trained model has but one, another may turn a small difference) is above 0, `−` "
        "where it is below, `?` where it holds both 0 and the printed difference, `0` else. "
        f"*{REPRODUCED}*: `+` throughout; *{IN_PART}*: some `+`; *{NOT}*: no `+`; *{UNDECIDED}*: nothing but `?`. "
        "What the paper prints the other way round is not counted. "
        "Where a claim is no difference of models, its own rule is told. A status holds for the data set and the "
        "settings of its records, those of the published tables; "
        f"a data set or model without records is *{NOT_TESTED}*.",
        "",
        "| claim | status |",
        "|---|---|",
    ]
    lines += [f"| {claim.text} | {claim.status} |" for claim in found]
    return "\n".join([*lines, "", *(line for claim in found for line in claim.markdown())])


def _better(
    results: Path, models: Sequence[str], others: Sequence[str], metrics: Sequence[str] = METRICS
) -> list[Finding]:
    """Whether each of the models is better than each of the others, on every data set of Tables 3 and 4."""
    return [
        _compared(results, table, dataset, [(m, o) for m in models for o in others], metrics)
        for table, datasets in DATASETS.items()
        for dataset in datasets
        if any((dataset, MODELS[m].name, metrics[0]) in paper_values(table) for m in models)
        and any((dataset, MODELS[o].name, metrics[0]) in paper_values(table) for o in others)
    ]


def _place(results: Path, model: str) -> list[Finding]:
    """Whether the model stands to every other general one as printed, on every data set of Table 3."""
    findings = []
    for dataset in DATASETS[3]:
        printed, pairs = paper_values(3), []
        for other in (other for other in GENERAL if other != model):
            own, its = (printed[dataset, MODELS[m].name, "NDCG@10"] for m in (model, other))
            pairs.append((model, other) if own > its else (other, model))
        findings.append(_compared(results, 3, dataset, pairs, METRICS))
    return findings


def _level(results: Path, model: str) -> Iterator[Finding]:
    """Whether the model's printed values are within our 95 % intervals over users; Popularity's stand beside them."""
    for dataset in DATASETS[3]:
        name, folder = MODELS[model].name, results / "records" / "table3"
        records = records_of(folder, dataset, model)
        if not records:
            yield Finding(dataset, NOT_TESTED, ())
            continue
        within, told = _within(records, dataset, name)
        lines = [f"{name}: {told}"]
        if floor := records_of(folder, dataset, "popularity"):
            lines.append("Popularity: " + "; ".join(f"{m} {per_user(floor, m).mean():.3f}" for m in METRICS))
        yield Finding(dataset, REPRODUCED if all(within) else IN_PART if any(within) else NOT, tuple(lines))


def _within(records: Sequence[Path], dataset: str, name: str) -> tuple[list[bool], str]:
    """Whether Table 3's printed value of each metric is within our 95 % interval over users, and the values."""
    within, texts = [], []
    for metric in METRICS:
        printed, values = paper_values(3)[dataset, name, metric], per_user(records, metric)
        low, high = interval(np.arange(len(values)), values)
        within.append(low <= printed <= high)
        texts.append(f"{metric} {values.mean():.3f} ({low:.3f} … {high:.3f}), printed {printed:.3f}")
    return within, "; ".join(texts)


def _compared(
    results: Path, table: int, dataset: str, pairs: Sequence[tuple[str, str]], metrics: Sequence[str]
) -> Finding:
    """Whether the first model of each pair is the better one; by the metrics by which it is in the paper."""
    folder, printed = results / "records" / f"table{table}", paper_values(table)
    signs, lines, missing, note = Counter[str](), [], [], ""
    for model, other in pairs:
        records = [records_of(folder, dataset, name) for name in (model, other)]
        names = f"{MODELS[model].name} less {MODELS[other].name}"
        if not all(records):
            missing.append(names)
            continue
        texts = []
        for metric in metrics:
            mean, (low, high), _ = paired(*(per_user(of, metric) for of in records))
            values = [printed.get((dataset, MODELS[name].name, metric)) for name in (model, other)]
            paper = None if None in values else values[0] - values[1]  # type: ignore[operator]
            is_open = paper is None or low <= paper <= high
            sign = "+" if low > 0 else "−" if high < 0 else "?" if is_open else "0"
            told = "" if paper is None else f", printed {paper:+.3f}"
            if paper is None or paper > 0:
                signs[sign] += 1
            else:
                told += ", not counted"
            texts.append(f"{metric} {mean:+.3f} ({low:+.3f} … {high:+.3f}) `{sign}`{told}")
        if any(len(of) == 1 and has_seed(name) for name, of in zip((model, other), records, strict=True)):
            note = " (one seed)"
        seeds = " and ".join(str(len(of)) for of in records)
        lines.append(f"{names}: {'; '.join(texts)}; {seeds} seed(s)")
    if missing:
        lines.append(f"{NOT_TESTED}: {', '.join(missing)}")
    if not signs:
        return Finding(dataset, NOT_TESTED, ())
    if set(signs) == {"+"} and not missing:
        return Finding(dataset, REPRODUCED, tuple(lines), note)
    status = IN_PART if signs["+"] else UNDECIDED if set(signs) == {"?"} else NOT
    return Finding(dataset, status, tuple(lines), note)


def _reading(of: Sequence[Mapping[str, Any]], dataset: str, table: int) -> Finding:
    """Which reading of SDMR's ties comes near the printed NDCG@10, in these records of runs with all as released."""
    if not of:
        return Finding(dataset, NOT_TESTED, ())
    printed = paper_values(table)[dataset, "SDMR", "NDCG@10"]
    # At each epoch the mean over seeds; the best epoch for each reading is the most that it can be made to give.
    epochs = range(1, min(len(record["history"]) for record in of))
    most = {
        reading: max(statistics.mean(r["history"][epoch][f"NDCG@10 {reading}"] for r in of) for epoch in epochs)
        for reading in ("optimistic", "expected", "pessimistic")
    }
    told = ", ".join(f"{reading} {value:.3f}" for reading, value in most.items())
    chosen = {name: statistics.mean(r["test"]["NDCG@10"][name] for r in of) for name in of[0]["test"]["NDCG@10"]}
    lines = [
        f"variant and protocol as released, {len(of)} seed(s): the highest NDCG@10 of any of {len(epochs)} epochs, "
        f"{told}; printed {printed:.3f}",
        "at the epoch that hit@10 on test chooses: "
        + ", ".join(f"{name} {value:.3f}" for name, value in chosen.items()),
    ]
    if most["expected"] >= printed - 0.02:
        return Finding(dataset, REPRODUCED, tuple(lines))
    only = most["optimistic"] >= printed - 0.02 > most["pessimistic"]
    lines.append(
        "no reading but the one that gives every tie to the target comes within .02 of it or goes beyond it"
        if only
        else "no reading comes within .02 of it"
    )
    return Finding(dataset, "an artefact of ties read for the target" if only else NOT, tuple(lines))


def _hops(results: Path) -> Iterator[Finding]:
    """SDM with three and four hops less SDM with one, over embedding sizes and seeds (Figure 6)."""
    for dataset in (*DATASETS[3], *DATASETS[4]):
        found: dict[tuple[str, int], dict[str, float]] = {}
        for path in sorted((results / "records" / "figure6" / dataset).glob("sdm-hops*-record.json")):
            _, of_hops, rest = path.name.split("-", 2)
            record = read_record(path)
            found[rest, int(of_hops.removeprefix("hops"))] = {m: record["test"][m]["expected"] for m in METRICS}
        groups = [rest for rest, hops in found if hops == 1 and (rest, 3) in found and (rest, 4) in found]
        if len(groups) < 2:  # of which no interval can be had
            yield Finding(dataset, NOT_TESTED, ())
            continue
        signs, texts = [], []
        for metric in METRICS:
            gains = [statistics.mean(found[g, h][metric] for h in (3, 4)) - found[g, 1][metric] for g in groups]
            low, high = ttest_1samp(gains, 0).confidence_interval()
            signs.append("+" if low > 0 else "−" if high < 0 else "?" if high >= SMALL_GAIN else "0")
            texts.append(f"{metric} {np.mean(gains):+.3f} ({low:+.3f} … {high:+.3f}) `{signs[-1]}`")
        line = f"3 and 4 hops less 1, mean over {len(groups)} settings (embedding size, seed): {'; '.join(texts)}"
        by_hops = []
        for hops in (1, 2, 3, 4):
            values = [found[g, hops]["NDCG@10"] for g in groups if (g, hops) in found]
            by_hops.append(f"{hops}: {statistics.mean(values):.3f}" if values else f"{hops}: –")
        if "?" in signs and "+" not in signs:
            status = UNDECIDED
        elif dataset == "ta-feng":
            status = NOT if "+" in signs else REPRODUCED
        else:
            status = REPRODUCED if set(signs) == {"+"} else IN_PART if "+" in signs else NOT
        yield Finding(dataset, status, (line, f"mean NDCG@10 by hops: {', '.join(by_hops)}"))


def _attention(plots: Path) -> Iterator[Finding]:
    """The correlations of Figure 5, at the last hop of SDM with one to four hops."""
    path = plots / "figure5-correlations.csv"
    if not path.exists():
        yield Finding("ml-100k", NOT_TESTED, ())
        return
    with path.open(encoding="utf-8") as lines:
        last = [row for row in csv.DictReader(lines) if row["hop"] == row["hops"]]
    by_hops: dict[int, list[dict[str, str]]] = {}
    for row in last:
        by_hops.setdefault(int(row["hops"]), []).append(row)
    texts = []
    for hops, rows in sorted(by_hops.items()):
        for row in rows:
            r, low, high = (float(row[name]) for name in ("r", "low", "high"))
            printed = f", printed {float(row['paper']):.3f}" if row["paper"] else ""
            texts.append(f"SDM-{hops}, seed {row['seed']}: r = {r:.3f} ({low:.3f} … {high:.3f}){printed}")
    means = [statistics.mean(float(row["r"]) for row in by_hops[hops]) for hops in sorted(by_hops)]
    first, most = by_hops[min(by_hops)], by_hops[max(by_hops)]
    grows = all(b > a for a, b in pairwise(means))
    apart = min(float(row["low"]) for row in most) > max(float(row["high"]) for row in first)
    yield Finding("ml-100k", REPRODUCED if grows and apart else IN_PART if apart else NOT, tuple(texts))


def _file_order(audit: Mapping[tuple[str, str, str], Sequence[Mapping[str, Any]]], results: Path) -> Finding:
    """What SDM gets, and what rules that only know the order of ids, where the file's order is time and where not."""
    printed = [paper_values(3)["epinions", "SDM", metric] for metric in METRICS]
    lines, beaten = [], False
    within: list[bool] = []
    if records := records_of(results / "records" / "table3", "epinions", "sdm"):
        within, values_of_sdm = _within(records, "epinions", "SDM")
        lines.append(f"SDM of Table 3, order random: {values_of_sdm}")
    for rule, name in RULES.items():
        orders = {order: audit.get(("epinions", order, rule), ()) for order in ("file", "random")}
        if not all(orders.values()):
            continue
        values = {order: [of[0]["test"][metric]["expected"] for metric in METRICS] for order, of in orders.items()}
        told = [f"order {order}: {' / '.join(map(number, own))}" for order, own in values.items()]
        lines.append(f"a rule, {name}: {'; '.join(told)}")
        beaten |= all(v > p for v, p in zip(values["file"], printed, strict=True)) and all(
            v < p for v, p in zip(values["random"], printed, strict=True)
        )
    for model in ("sdm", "sdp", "prme"):
        orders = {order: audit.get(("epinions", order, model), ()) for order in ("file", "random")}
        values = {o: [of[0]["test"][m]["expected"] for m in METRICS] for o, of in orders.items() if of}
        told = [f"order {order}: {' / '.join(map(number, own))}" for order, own in values.items()]
        if told:
            lines.append(f"{MODELS[model].name}, shortly trained: {'; '.join(told)}")
    if not lines:
        return Finding("epinions", NOT_TESTED, ())
    if any(within):
        return Finding("epinions", REPRODUCED if all(within) else IN_PART, tuple(lines))
    return Finding("epinions", "an artefact of the file's order taken for time" if beaten else NOT, tuple(lines))
