"""The evidence of claims about values, ties, attention and order."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pandas as pd

from sdmr.experiments.core.record import Record
from sdmr.experiments.core.registry import MODELS, get_model
from sdmr.experiments.core.run import compose_run, compute_source
from sdmr.experiments.report.audit_runs import Records, average_history
from sdmr.experiments.report.averages import average_seeds, list_rows
from sdmr.experiments.report.cells import SIZES, make_cells
from sdmr.experiments.report.claims_answers import (
    Direction,
    Finding,
    describe_records,
    describe_rows,
    format_note,
    grade,
)
from sdmr.experiments.report.factors import ALL_RELEASED, BOUNDS_AND_MEAN, DATASET, ORDER_DATASET, ORDERS
from sdmr.experiments.report.id_order import RULES
from sdmr.experiments.report.printed import DATASETS, ID_ORDER_DATASET, METRICS, PRINTED, get_paper_value
from sdmr.experiments.report.published_rows import list_published, select_row
from sdmr.experiments.report.uncertainty import Size
from sdmr.experiments.report.writers import format_metrics

FIGURE5_DIM = 64  # d of the published Figure 5
TOLERANCE = 0.02  # of a value that is printed for SDMR
REACHING = "ties that reach the NDCG@10: "  # before the tie policies


def check_values(results: Path, spreads: pd.DataFrame, model: str) -> list[Finding]:
    """Compare the model's printed values with our intervals for one new run; show Popularity's."""
    findings = []
    for dataset in DATASETS[3]:
        sizes, lines = _judge_values(results, spreads, dataset, model, dataset)
        note = _describe_row(results, dataset, model)
        popular = average_seeds(dataset, "popularity", list_published(results, dataset, "popularity"))
        if lines and popular["seeds"].all():
            lines.append("Popularity: " + "; ".join(f"{one.metric} {one.ours:.3f}" for one in list_rows(popular)))
        findings.append(_make_finding(dataset, sizes, lines, note))
    return findings


def _describe_row(results: Path, dataset: str, model: str) -> str:
    """Return what qualifies the values of a model's row."""
    row = select_row(results, dataset, model)
    return describe_rows(dataset, {row: list_published(results, dataset, row)})


def _make_finding(dataset: str, sizes: Sequence[Size], lines: Sequence[str], note: str) -> Finding:
    """Return what follows from the sizes of single values, which have no direction."""
    return Finding(dataset, None if sizes else Direction.NOT_TESTED, sizes, lines, note)


def _judge_values(
    results: Path, spreads: pd.DataFrame, dataset: str, model: str, printed: str
) -> tuple[list[Size], list[str]]:
    """Return the size and the text of both metrics, nothing without records.

    They are compared with the printed values of the data set `printed`. The row inside the paper's grid counts, where
    there is one; the tuned one stands beside.
    """
    sizes: list[Size] = []
    lines = []
    for row in dict.fromkeys([select_row(results, dataset, model), model]):
        if folders := list_published(results, dataset, row):
            cells = list_rows(make_cells(dataset, row, folders, spreads, printed=printed))
            if not all(cell.verdict for cell in cells):  # by another protocol, which has no printed values
                continue
            texts = [
                f"{cell.metric} {cell.ours:.3f} ({cell.low:.3f} … {cell.high:.3f}), one run {cell.run_low:.3f} … "
                f"{cell.run_high:.3f}, paper {cell.paper:.3f}: {SIZES[cell.verdict]}"
                for cell in cells
            ]
            sizes = sizes or [SIZES[cell.verdict] for cell in cells]
            lines.append(f"{get_model(row).name}: {'; '.join(texts)}")
    return sizes, lines


def check_tie_policies(records: Records) -> list[Finding]:
    """Test which tie policies reach the printed NDCG@10 of SDMR, and the pair."""
    runs = {dataset: records.get((dataset, ALL_RELEASED.name, "sdmr")) for dataset in PRINTED}
    return [_check_tie_policy(dataset, one) if one else Finding(dataset) for dataset, one in runs.items()]


def _check_tie_policy(dataset: str, runs: Sequence[Record]) -> Finding:
    """Judge every epoch of one data set's runs by each tie policy."""
    hit, ndcg = (get_paper_value(dataset, "sdmr", metric) for metric in METRICS)
    history = average_history(runs).drop(index=0)
    best = {policy: history[f"NDCG@10 {policy}"].max() for policy in BOUNDS_AND_MEAN}
    selected = pd.DataFrame([run.metrics()["NDCG@10"] for run in runs]).mean().to_dict()
    texts = [", ".join(f"{policy} {value:.3f}" for policy, value in one.items()) for one in (best, selected)]
    lines = [
        f"released models and protocol, {len(runs)} seed(s): the highest NDCG@10 of any of {len(history)} epochs "
        f"(on a random 10,000 test items, if there are more), {texts[0]}; paper {ndcg:.3f}",
        f"at the epoch that hit@10 on test selects: {texts[1]}",
    ]
    pairs = []
    for policy in BOUNDS_AND_MEAN:
        gaps = (history[[f"hit@10 {policy}", f"NDCG@10 {policy}"]] - [hit, ndcg]).abs().max(axis=1)
        epoch = int(gaps.to_numpy().argmin())
        values = format_metrics(history[f"{metric} {policy}"].iloc[epoch] for metric in METRICS)
        pair = format_metrics((hit, ndcg))
        lines.append(f"{policy}: nearest to the pair {pair} in epoch {history.index[epoch]}, {values}")
        pairs += [policy] * bool(gaps.min() <= TOLERANCE)
    reaching = [policy for policy, value in best.items() if value >= ndcg - TOLERANCE]
    text = f"{REACHING}{', '.join(reaching) or 'none'}; both values: {', '.join(pairs) or 'none'}"
    return Finding(dataset, None, evidence=lines, note=describe_records(dataset, {"sdmr": runs}), text=text)


def check_attention(plots: Path) -> list[Finding]:
    """Test the correlations of the published Figure 5, at the last hop of each SDM."""
    path = plots / "figure5-correlations.csv"
    last = pd.read_csv(path, keep_default_na=False).query("hop == hops") if path.exists() else pd.DataFrame()
    if last.empty or not is_published_figure(last) or set(last["hops"]) != {1, 2, 3, 4}:
        return [Finding(DATASET)]
    last = last.sort_values("hops", kind="stable")
    lines = [
        f"SDM-{row.hops}, seed {row.seed}: r = {row.r:.3f} ({row.low:.3f} … {row.high:.3f})"
        + (f", paper {float(row.paper):.3f}" if row.paper else "")
        for row in list_rows(last)
    ]
    hops = last.groupby("hops").agg({"r": "mean", "low": "min", "high": "max"})
    grows = all(more > fewer for fewer, more in pairwise(hops["r"]))
    are_apart = hops["low"].iloc[-1] > hops["high"].iloc[0]
    falls = hops["high"].iloc[-1] < hops["low"].iloc[0]
    is_older = bool((last["source"] != compute_source(compose_run(["model=sdm", f"dataset={DATASET}"]).config)).any())
    note = format_note(DATASET, last["seed"].nunique() == 1, is_older)
    return [Finding(DATASET, grade(grows and are_apart, are_apart, falls), evidence=lines, note=note)]


def is_published_figure(correlations: pd.DataFrame) -> bool:
    """Tell whether Figure 5 has the published data set, size and settings."""
    return bool((correlations[["dataset", "dim", "settings"]] == [DATASET, FIGURE5_DIM, ""]).all(axis=None))


def check_id_order(records: Records, results: Path, spreads: pd.DataFrame) -> list[Finding]:
    """Compare SDM in the order of ids with its printed values on Epinions."""
    sizes, lines = _judge_values(results, spreads, ID_ORDER_DATASET, "sdm", ORDER_DATASET)
    names = {rule: f'the rule "{name}"' for rule, name in RULES.items()}
    names |= {model: f"{MODELS[model].name}, shortly trained" for model in ("sdm", "sdp", "prme")}
    for model, name in names.items():
        runs = {order.name: records.get((ORDER_DATASET, order.name, model)) for order in ORDERS}
        values = {order: [one[0].metrics()[m]["expected"] for m in METRICS] for order, one in runs.items() if one}
        if len(values) == len(ORDERS) or (values and model not in RULES):
            texts = [f"order {order}: {format_metrics(one)}" for order, one in values.items()]
            lines.append(f"{name}: {'; '.join(texts)}")
    return [_make_finding(ID_ORDER_DATASET, sizes, lines, _describe_row(results, ID_ORDER_DATASET, "sdm"))]
