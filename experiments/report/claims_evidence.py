"""The evidence of the paper's claims: findings, whose statuses rules make from records."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise, product
from pathlib import Path

import pandas as pd
from scipy.stats import ttest_1samp

from sdmr.experiments.core.plan import is_stochastic
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.store import RECORD, get_published_folder
from sdmr.experiments.report import frames
from sdmr.experiments.report.audit_runs import Records, average_history
from sdmr.experiments.report.comparisons import Folders
from sdmr.experiments.report.factors import ALL_RELEASED, DATASET, ORDER_DATASET, ORDERS, TIES
from sdmr.experiments.report.frames import DATASETS, METRICS, TABLES, average_by_user, list_published
from sdmr.experiments.report.id_order import RULES
from sdmr.experiments.report.uncertainty import compare_pairs
from sdmr.experiments.report.writers import format_difference, format_metric, format_metrics

GENERAL = ("item-knn", "slim", "mf-bpr", "cml", "neumf", "cmn")
SMALL_GAIN = 0.01  # of a metric: unless an interval excludes it, more hops may still help
TOLERANCE = 0.02  # of the NDCG@10 that is printed for SDMR


class Status(StrEnum):
    """The verdict on a claim."""

    REPRODUCED = "reproduced"
    PARTLY_REPRODUCED = "reproduced in part"
    NOT_REPRODUCED = "not reproduced"
    UNDECIDED = "not reproduced (undecided)"
    TIE_ARTIFACT = "an artifact of ties counted for the target"
    ORDER_ARTIFACT = "an artifact of the file's order taken for time"
    NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Finding:
    """The evidence from one data set, and the status that follows."""

    dataset: str
    status: Status = Status.NOT_TESTED
    evidence: Sequence[str] = ()  # lines
    note: str = ""  # what qualifies the status


def check_improvement(
    results: Path, models: Sequence[str], others: Sequence[str], metrics: Sequence[str] = METRICS
) -> list[Finding]:
    """Test on every printed data set whether all models are better than all others."""
    pairs = list(product(models, others))
    return [
        _compare(results, dataset, pairs, metrics)
        for dataset in TABLES
        if not all(math.isnan(_subtract_printed(dataset, pair, metrics[0])) for pair in pairs)
    ]


def check_ranking(results: Path, model: str) -> list[Finding]:
    """Test whether the model ranks among the general ones as printed in Table 3."""
    findings = []
    for dataset in DATASETS[3]:
        pairs = [(model, other) for other in GENERAL if other != model]
        ordered = [pair if _subtract_printed(dataset, pair, "NDCG@10") > 0 else pair[::-1] for pair in pairs]
        findings.append(_compare(results, dataset, ordered, METRICS))
    return findings


def _subtract_printed(dataset: str, pair: tuple[str, str], metric: str) -> float:
    """Return the paper's difference of two models, NaN unless it prints both."""
    first, second = (frames.get_paper_value(dataset, model, metric) for model in pair)
    return first - second


def check_values(results: Path, model: str) -> list[Finding]:
    """Test whether the model's printed values are inside our 95 % intervals; show Popularity's."""
    findings = []
    for dataset in DATASETS[3]:
        status, text = _judge_values(results, dataset, model)
        lines = [f"{MODELS[model].name}: {text}"] if text else []
        if lines and (popular := list_published(results, dataset, "popularity")):
            lines.append("Popularity: " + "; ".join(f"{m} {average_by_user(popular, m).mean():.3f}" for m in METRICS))
        findings.append(Finding(dataset, status, lines))
    return findings


def _judge_values(results: Path, dataset: str, model: str) -> tuple[Status, str]:
    """Return whether the printed values are inside our 95 % intervals; describe existing records."""
    cells = frames.make_cells(dataset, model, list_published(results, dataset, model))
    if not cells["seeds"].all():
        return Status.NOT_TESTED, ""
    text = "; ".join(
        f"{cell.metric} {cell.ours:.3f} ({cell.low:.3f} … {cell.high:.3f}), paper {cell.paper:.3f}"
        for cell in frames.list_rows(cells)
    )
    verdicts = set(cells["verdict"])
    return grade(verdicts == {"inside"}, "inside" in verdicts), text


def _compare(results: Path, dataset: str, pairs: Sequence[tuple[str, str]], metrics: Sequence[str]) -> Finding:
    """Test whether the first model of each pair is the better one."""
    signs: set[str] = set()
    lines, missing, note = [], [], ""
    for pair in pairs:
        folders = {model: list_published(results, dataset, model) for model in pair}
        names = " − ".join(MODELS[model].name for model in pair)
        if not all(folders.values()):
            missing.append(names)
            continue
        tests = [_test_metric(folders, metric, _subtract_printed(dataset, pair, metric)) for metric in metrics]
        signs |= {sign for sign, _ in tests if sign}
        counts = " and ".join(str(len(paths)) for paths in folders.values())
        lines.append(f"{names}: {'; '.join(text for _, text in tests)}; seeds: {counts}")
        if any(len(paths) == 1 and is_stochastic(model) for model, paths in folders.items()):
            note = " (one seed)"
    if not signs:
        return Finding(dataset)
    if missing:
        lines.append(f"{Status.NOT_TESTED}: {', '.join(missing)}")
    status = Status.UNDECIDED if signs == {"?"} else grade(signs == {"+"} and not missing, "+" in signs)
    return Finding(dataset, status, lines, note)


def _test_metric(folders: Folders, metric: str, paper: float) -> tuple[str, str]:
    """Return the sign of the difference of two models, and its text. The paper's opposite claims have no sign."""
    test = compare_pairs(*(average_by_user(paths, metric) for paths in folders.values()))
    sign = get_sign(test.low, test.high, is_open=math.isnan(paper) or test.low <= paper <= test.high)
    text = f"{metric} {format_difference(test)} `{sign}`" + ("" if math.isnan(paper) else f", paper {paper:+.3f}")
    return ("", f"{text}, not counted") if paper <= 0 else (sign, text)


def get_sign(low: float, high: float, is_open: bool) -> str:
    """Return the sign of an interval: `+`, `−` or, around zero, `?` or `0`.

    It is `?` if the interval is open.
    """
    return "+" if low > 0 else "−" if high < 0 else "?" if is_open else "0"


def grade(is_full: bool, is_partial: bool) -> Status:
    """Return the status of a claim that holds fully, in part, or not at all."""
    return Status.REPRODUCED if is_full else Status.PARTLY_REPRODUCED if is_partial else Status.NOT_REPRODUCED


def check_tie_policies(records: Records) -> list[Finding]:
    """Test which tie policy brings the released SDMR near its printed NDCG@10."""
    runs = {dataset: records.get((dataset, ALL_RELEASED.name, "sdmr")) for dataset in TIES}
    return [_check_tie_policy(dataset, one) if one else Finding(dataset) for dataset, one in runs.items()]


def _check_tie_policy(dataset: str, runs: Sequence[Record]) -> Finding:
    """Judge the best epoch of one data set's runs by each tie policy."""
    printed = frames.get_paper_value(dataset, "sdmr", "NDCG@10")
    history = average_history(runs).drop(index=0)
    best = {policy: history[f"NDCG@10 {policy}"].max() for policy in ("optimistic", "expected", "pessimistic")}
    selected = pd.DataFrame([run.metrics()["NDCG@10"] for run in runs]).mean().to_dict()
    texts = [", ".join(f"{policy} {value:.3f}" for policy, value in one.items()) for one in (best, selected)]
    lines = [
        f"released models and protocol, {len(runs)} seed(s): the highest NDCG@10 of any of {len(history)} epochs, "
        f"{texts[0]}; paper {printed:.3f}",
        f"at the epoch that hit@10 on test selects: {texts[1]}",
    ]
    reaching = {policy for policy, value in best.items() if value >= printed - TOLERANCE}
    if "expected" in reaching:
        return Finding(dataset, Status.REPRODUCED, lines)
    if "optimistic" in reaching and "pessimistic" not in reaching:
        lines.append("only the policy that counts every tie for the target comes within .02 of it, or beyond")
        return Finding(dataset, Status.TIE_ARTIFACT, lines)
    return Finding(dataset, Status.NOT_REPRODUCED, [*lines, "no policy comes within .02 of it"])


def check_hops(results: Path) -> list[Finding]:
    """Test three and four hops of SDM against one, over Figure 6's settings and seeds."""
    return [_check_hops(dataset, get_published_folder(results, "figure6", dataset)) for dataset in TABLES]


def _check_hops(dataset: str, folder: Path) -> Finding:
    """Judge one data set by a t-test over settings with all these hops."""
    rows = []
    for path in sorted(folder.glob("sdm-hops*")):
        if match := re.fullmatch(r"sdm-hops(\d+)-(.+)", path.name):
            metrics = load_record(path / RECORD).metrics()
            rows += [(metric, match[2], int(match[1]), metrics[metric]["expected"]) for metric in METRICS]
    frame = pd.DataFrame(rows, columns=["metric", "setting", "hops", "value"])
    frame = frame.pivot(index=["metric", "setting"], columns="hops", values="value")
    frame = frame.reindex(columns=[1, 2, 3, 4]).dropna(subset=[1, 3, 4])
    n_settings = len(frame) // len(METRICS)
    if n_settings < 2:  # no interval
        return Finding(dataset)
    gains, signs, texts = frame[[3, 4]].mean(axis=1) - frame[1], [], []
    for metric in METRICS:
        low, high = ttest_1samp(gains[metric], 0).confidence_interval()
        signs.append(get_sign(low, high, high >= SMALL_GAIN))
        texts.append(f"{metric} {gains[metric].mean():+.3f} ({low:+.3f} … {high:+.3f}) `{signs[-1]}`")
    means = frame.loc[["NDCG@10"]].mean()
    lines = [
        f"3 and 4 hops − 1 hop, mean over {n_settings} settings (embedding size, seed): {'; '.join(texts)}",
        "mean NDCG@10 by hops: " + ", ".join(f"{hops}: {format_metric(means[hops])}" for hops in frame.columns),
    ]
    if "?" in signs and "+" not in signs:
        return Finding(dataset, Status.UNDECIDED, lines)
    if dataset == "ta-feng":  # where the paper says that they do not help
        return Finding(dataset, Status.NOT_REPRODUCED if "+" in signs else Status.REPRODUCED, lines)
    return Finding(dataset, grade(set(signs) == {"+"}, "+" in signs), lines)


def check_attention(plots: Path) -> list[Finding]:
    """Test Figure 5's correlations at the last hop of SDM with one to four hops."""
    path = plots / "figure5-correlations.csv"
    if not path.exists():
        return [Finding(DATASET)]
    last = pd.read_csv(path).query("hop == hops").sort_values("hops", kind="stable")
    lines = [
        f"SDM-{row.hops}, seed {row.seed}: r = {row.r:.3f} ({row.low:.3f} … {row.high:.3f})"
        + ("" if pd.isna(row.paper) else f", paper {row.paper:.3f}")
        for row in frames.list_rows(last)
    ]
    hops = last.groupby("hops").agg({"r": "mean", "low": "min", "high": "max"})
    grows = all(more > fewer for fewer, more in pairwise(hops["r"]))
    are_apart = hops["low"].iloc[-1] > hops["high"].iloc[0]
    return [Finding(DATASET, grade(grows and are_apart, are_apart), lines)]


def check_file_order(records: Records, results: Path) -> list[Finding]:
    """Test SDM's values on Epinions against Table 3's, and against rules of id order."""
    status, text = _judge_values(results, ORDER_DATASET, "sdm")
    lines = [f"SDM of Table 3, order random: {text}"] if text else []
    printed = [frames.get_paper_value(ORDER_DATASET, "sdm", metric) for metric in METRICS]
    names = {rule: f'the rule "{name}"' for rule, name in RULES.items()}
    names |= {model: f"{MODELS[model].name}, shortly trained" for model in ("sdm", "sdp", "prme")}
    is_artifact = False
    for model, name in names.items():
        runs = {order.name: records.get((ORDER_DATASET, order.name, model)) for order in ORDERS}
        values = {order: [one[0].metrics()[m]["expected"] for m in METRICS] for order, one in runs.items() if one}
        if len(values) < (len(ORDERS) if model in RULES else 1):
            continue
        lines.append(f"{name}: " + "; ".join(f"order {order}: {format_metrics(one)}" for order, one in values.items()))
        if model in RULES:
            orders = zip(values["file"], printed, values["random"], strict=True)
            is_artifact |= all(file > paper > random for file, paper, random in orders)
    if lines and status in (Status.NOT_TESTED, Status.NOT_REPRODUCED):
        status = Status.ORDER_ARTIFACT if is_artifact else Status.NOT_REPRODUCED
    return [Finding(ORDER_DATASET, status, lines)]
