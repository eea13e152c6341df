"""The audit's tables: what each choice does, ties, sampled and full ranking, the file's order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from scipy.stats import kendalltau, spearmanr

from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.report.audit_runs import AuditRecord, build_frame, select_records, summarize_seeds
from sdmr.experiments.report.claims import format_claims, judge_claims
from sdmr.experiments.report.factors import (
    ALL_ITEMS,
    ALL_RELEASED,
    AUTHORS_RESULTS,
    DATASET,
    DEFAULT,
    FACTORS,
    ORDER_DATASET,
    ORDERS,
    RELEASED_EPOCHS,
    RELEASED_PROTOCOL,
    SHORT_TRAINING,
    SHOWN_EPOCHS,
    TIES,
)
from sdmr.experiments.report.frames import METRICS, get_paper_value, read_paper_values
from sdmr.experiments.report.id_order import RULES
from sdmr.experiments.report.writers import NOTHING, format_mean, format_metric, markdown_table

SHOWN_POLICIES = ("optimistic", "expected", "pessimistic")


def format_report(records: Sequence[AuditRecord], results: Path, plots: Path, overrides: Sequence[str] = ()) -> str:
    """Return the claims and the tables in Markdown.

    Args:
        records: Those of the audit.
        results: Folder of the published records, by which claims are judged.
        plots: Folder of Figure 5's correlations, likewise.
        overrides: Settings of every run, which the captions do not know.
    """
    parts = ["# What the paper's numbers are made of"]
    if overrides:
        parts.append(f"**Every run was made with {' '.join(overrides)}**, whatever the captions say.")
    parts.append(format_claims(judge_claims(results, plots, records)))
    frame = build_frame(records)
    summary = summarize_seeds(frame)
    parts += [
        format_factors(summary),
        *(format_ties_by_epoch(records, dataset) for dataset in TIES),
        format_ties(records),
        format_full_ranking(frame),
        format_file_order(summary),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def format_cell(summary: pd.DataFrame, dataset: str, factor: str, model: str, tie_policy: str = "expected") -> str:
    """Return hit@10 / NDCG@10, each with its spread over seeds, and the number of seeds if there are several."""
    keys = [(dataset, factor, model, metric, tie_policy) for metric in METRICS]
    if keys[0] not in summary.index:
        return NOTHING
    cells = summary.loc[keys]
    seeds = int(cells["seeds"].iloc[0])
    spreads = cells["spread"] if seeds > 1 else [None, None]
    return " / ".join(map(format_mean, cells["mean"], spreads)) + (f" ({seeds})" if seeds > 1 else "")


def format_factors(summary: pd.DataFrame) -> str:
    """Return the table with one choice a row, all models side by side."""
    cells = summary.loc[[DATASET]].reset_index() if DATASET in summary.index else summary.iloc[:0].reset_index()
    varied = cells[~cells["factor"].isin([DEFAULT.name, ALL_ITEMS.name])]
    shown = set((cells if varied.empty else varied)["model"])
    names = {model: MODELS[model].name for model in MODELS if model in shown}
    rows = [
        {"": label} | {name: format_cell(summary, DATASET, factor.name, model, policy) for model, name in names.items()}
        for factor in FACTORS
        if factor.name in set(cells["factor"])
        for label, policy in factor.rows.items()
    ]
    authors = {name: " / ".join(map(format_metric, AUTHORS_RESULTS.get(model, ()))) for model, name in names.items()}
    rows.append({"": "*the authors' own program, one run*"} | {name: text or NOTHING for name, text in authors.items()})
    return f"""## ML-100k: one choice at a time

hit@10 / NDCG@10 ± sample standard deviation over seeds (number of seeds). Default settings: d 64, 3 hops, s 5. Each \
row but the first deviates from the default protocol or from the paper's models, as its name says. The released SDP \
has {RELEASED_EPOCHS["sdp"]} epochs and the released SDM {RELEASED_EPOCHS["sdm"]}, both λ 0.001. All released choices: \
{", ".join(RELEASED_PROTOCOL)}, and the released models of SDP, SDM and SDMR. One more item of each user is held out \
for validation, which the authors' program does not do: a random one, or the next-to-last.

{markdown_table(rows)}"""


def format_ties_by_epoch(records: Sequence[AuditRecord], dataset: str) -> str:
    """Return what SDMR's ReLU does to one set of scores, epoch by epoch and by each tie policy."""
    runs = select_records(records, dataset, ALL_RELEASED.name, "sdmr")
    if not runs:
        return ""
    model = runs[0].config["model"]
    lengths = ", ".join(f"{part.upper()} {model[part]['optimization']['epochs']}" for part in ("sdp", "sdm"))
    history = pd.concat([pd.DataFrame(run.history) for run in runs]).groupby("epoch").mean(numeric_only=True)
    rows = [
        {
            "epoch": epoch,
            "zero": f"{entry['zero_share']:.0%}",
            "instances with a tie": f"{entry['tied_share']:.0%}",
            "mean tied candidates": f"{entry['mean_tied']:.1f}",
        }
        | {policy: " / ".join(format_metric(entry[f"{m} {policy}"]) for m in METRICS) for policy in SHOWN_POLICIES}
        for epoch, entry in history[history.index.isin(SHOWN_EPOCHS)].iterrows()
    ]
    return f"""## SDMR with all released choices, {dataset}: one set of scores, three tie policies

hit@10 / NDCG@10 on the test items (a random 10,000 if there are more) after an epoch, mean over {len(runs)} seed(s). \
Deviations as above; epochs of the parts: {lengths}. Zero: the share of candidates at distance 0.

{markdown_table(rows, ("epoch", "zero", "instances with a tie", "mean tied candidates"))}"""


def format_ties(records: Sequence[AuditRecord]) -> str:
    """Return how often each model's target ties, and what that is worth."""
    rows = []
    for model in MODELS:
        runs = select_records(records, DATASET, DEFAULT.name, model)
        counts = [run.ties for run in runs if run.ties is not None]
        if counts:
            ndcg = pd.DataFrame([run.metrics()["NDCG@10"] for run in runs]).mean()
            means = pd.DataFrame([count.model_dump() for count in counts]).mean()
            rows.append(
                {
                    "model": MODELS[model].name,
                    "instances with a tie": f"{means['tied_share']:.1%}",
                    "candidates tied there": f"{means['mean_tied']:.1f}",
                    "NDCG@10, expected": format_metric(ndcg["expected"]),
                    "spread": format_metric(ndcg["optimistic"] - ndcg["pessimistic"]),
                    "seeds": len(runs),
                }
            )
    if not rows:
        return ""
    return f"""## ML-100k: ties under the default protocol

Among the target and 100 candidates; mean over seeds. Spread: NDCG@10 if every tie favored the target, less NDCG@10 if \
none did.

{markdown_table(rows, set(rows[0]) - {"model"})}"""


def format_full_ranking(frame: pd.DataFrame) -> str:
    """Return the models ranked by sampled and by full metrics of the same seeds, and how far the two orders agree."""
    factors = [DEFAULT.name, ALL_ITEMS.name]
    expected = frame[(frame["dataset"] == DATASET) & (frame["tie_policy"] == "expected")]
    pairs = expected.pivot(index=["model", "seed"], columns=["metric", "factor"], values="value")
    columns = pd.MultiIndex.from_product([METRICS, factors])
    means = pairs.reindex(columns=columns).dropna().groupby("model").mean()
    if means.empty:
        return ""
    means = means.loc[[model for model in MODELS if model in means.index]]
    ranks = means.rank(method="min", ascending=False).astype(int)
    cells = means.map("{:.3f}".format) + " (" + ranks.astype(str) + ")"
    cells.columns = pd.Index([f"{metric}, {side}" for metric in METRICS for side in ("100", "all")])
    cells = cells.loc[ranks.sort_values(("NDCG@10", DEFAULT.name), kind="stable").index]
    cells.insert(0, "model", [MODELS[model].name for model in cells.index])
    text = f"""## ML-100k: ranked among 100 candidates, and among all

The same trained models; the model's rank in brackets. *All* deviates from the default protocol: every item that the \
user never touched is a candidate.

{markdown_table(cells)}"""
    if len(means) < 3:
        return text
    agreements = []
    for metric in METRICS:
        sampled, full = (means[metric, factor] for factor in factors)
        tau, rho = kendalltau(sampled, full).statistic, spearmanr(sampled, full).statistic
        agreements.append(f"{metric}: Kendall's τ {tau:.2f}, Spearman's ρ {rho:.2f}")
    return f"{text}\n\nAgreement of the two orders of {len(means)} models. {'; '.join(agreements)}."


def format_file_order(summary: pd.DataFrame) -> str:
    """Return Epinions with its file order taken for time, and shuffled."""
    if ORDER_DATASET not in summary.index:
        return ""
    rows = []
    for model in summary.loc[ORDER_DATASET].index.unique("model"):
        name = RULES.get(model) or MODELS[model].name
        orders = {order.label: format_cell(summary, ORDER_DATASET, order.name, model) for order in ORDERS}
        rows.append({"": name} | orders | {"the paper": _format_paper(name)})
    printed = read_paper_values(3)[ORDER_DATASET].xs("NDCG@10", level=1)
    best = str(printed.idxmax())
    return f"""## Epinions: the order of the file taken for time

hit@10 / NDCG@10, one seed. `order: file` deviates from the default. Whoever reads the order of ids can then guess \
the test item. Trained models: {", ".join(SHORT_TRAINING)}, no tuning. Compare the columns; these are not the models' \
best values.

{markdown_table(rows)}

The paper's best NDCG@10 on Epinions is {best}'s: {_format_paper(best)}."""


def _format_paper(model: str) -> str:
    """Return the paper's hit@10 / NDCG@10 on Epinions of a model, by its printed name."""
    return " / ".join(format_metric(get_paper_value(3, ORDER_DATASET, model, metric)) for metric in METRICS)


def format_summary(records: Sequence[AuditRecord]) -> pd.DataFrame:
    """Return mean, spread and number of seeds of each cell, four decimals, with deviations and commits."""
    summary = summarize_seeds(build_frame(records)).reset_index()
    summary[["mean", "spread"]] = summary[["mean", "spread"]].map(
        lambda value: "" if pd.isna(value) else f"{value:.4f}"
    )
    return summary
