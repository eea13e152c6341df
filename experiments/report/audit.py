"""The audit's tables: what each choice does, ties, the file's order."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sdmr.experiments.core.registry import MODELS, get_model
from sdmr.experiments.report import factors
from sdmr.experiments.report.audit_runs import Records, average_history, build_frame, summarize_seeds
from sdmr.experiments.report.claims import format_claims, judge_claims
from sdmr.experiments.report.factors import BOUNDS_AND_MEAN, DATASET, DEFAULT, ORDER_DATASET
from sdmr.experiments.report.id_order import RULES
from sdmr.experiments.report.printed import METRICS, get_paper_value, read_paper_values
from sdmr.experiments.report.writers import NOTHING, format_mean, format_metric, format_metrics, make_markdown


def format_report(records: Records, results: Path, plots: Path, overrides: Sequence[str] = ()) -> str:
    """Return the claims and the tables in Markdown.

    Args:
        records: Those of the audit.
        results: Folder of the published records, by which claims are judged.
        plots: Folder of Figure 5's correlations, likewise.
        overrides: Settings of every run, which the captions do not know.
    """
    summary = summarize_seeds(build_frame(records))
    note = f"**Every run was made with {' '.join(overrides)}**, whatever the captions say." if overrides else ""
    parts = [
        "# What the paper's numbers are made of",
        note,
        format_claims(judge_claims(results, plots, records)),
        format_factors(summary),
        *(format_ties_by_epoch(records, dataset) for dataset in factors.TIES),
        format_ties(records),
        format_file_order(summary),
        format_literature(records),
        format_readme(summary),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def format_cell(summary: pd.DataFrame, dataset: str, factor: str, model: str, tie_policy: str = "expected") -> str:
    """Return hit@10 / NDCG@10 with their spreads, and the number of several seeds."""
    keys = [(dataset, factor, model, metric, tie_policy) for metric in METRICS]
    if keys[0] not in summary.index:
        return NOTHING
    cells = summary.loc[keys]
    seeds = cells["seeds"].iloc[0]
    return " / ".join(map(format_mean, cells["mean"], cells["spread"])) + (f" ({seeds})" if seeds > 1 else "")


def format_factors(summary: pd.DataFrame) -> str:
    """Return the table with one choice a row, all models side by side."""
    cells = summary.reset_index()
    cells = cells[cells["dataset"] == DATASET]
    if cells.empty:
        return ""
    varied = cells[cells["factor"] != DEFAULT.name]
    shown = set((cells if varied.empty else varied)["model"])
    names = {model: MODELS[model].name for model in MODELS if model in shown}
    rows = [
        {"": label} | {name: format_cell(summary, DATASET, factor.name, model, policy) for model, name in names.items()}
        for factor in factors.FACTORS
        if factor.name in set(cells["factor"])
        for label, policy in factor.rows.items()
    ]
    authors = {name: factors.AUTHORS_RESULTS.get(model, NOTHING) for model, name in names.items()}
    rows.append({"": "*the authors' own program, one run*"} | authors)
    return f"""## ML-100k: one choice at a time

hit@10 / NDCG@10 ± sample standard deviation over seeds (number of seeds). Default settings: d 64, 3 hops, s 5. Each \
row but the first deviates from the default protocol or from the paper's models, as its name says. A row \
whose commit in audit.csv is older than that of the first one also differs by its code; in it, SDMR's learning rate \
is .01. The released SDP has {factors.RELEASED_EPOCHS["sdp"]} epochs and the released SDM \
{factors.RELEASED_EPOCHS["sdm"]}, both λ 0.001. All released choices: {", ".join(factors.RELEASED_PROTOCOL)}, and the \
released models of SDP, SDM and SDMR. These follow the authors' commit 4a4f50d of 20 May 2019: in training, a short \
context keeps what the instance before it left there (`model.short_context=left-over`). From commit b8c296a of \
30 September 2019 on it is padded (`model.short_context=padded`). One more item of each user \
is held out for validation, which the authors' program does not do: a random one, or the next-to-last.

{make_markdown(rows)}"""


def format_ties_by_epoch(records: Records, dataset: str) -> str:
    """Return what SDMR's ReLU does to one set of scores, by epoch and tie policy."""
    runs = records.get((dataset, factors.ALL_RELEASED.name, "sdmr"))
    if not runs:
        return ""
    model = runs[0].config["model"]
    lengths = ", ".join(f"{part.upper()} {model[part]['optimization']['epochs']}" for part in ("sdp", "sdm"))
    history = average_history(runs)
    rows = [
        {
            "epoch": epoch,
            "zero": f"{entry['zero_share']:.0%}",
            "instances with a tie": f"{entry['tied_share']:.0%}",
            "mean tied candidates": f"{entry['mean_tied']:.1f}",
        }
        | {policy: format_metrics(entry[f"{metric} {policy}"] for metric in METRICS) for policy in BOUNDS_AND_MEAN}
        for epoch, entry in history[history.index.isin(factors.SHOWN_EPOCHS)].iterrows()
    ]
    return f"""## SDMR with all released choices, {dataset}: one set of scores, three tie policies

hit@10 / NDCG@10 on the test items (a random 10,000 if there are more) after an epoch, mean over {len(runs)} seed(s). \
Deviations as above; epochs of the parts: {lengths}. Zero: the share of candidates at distance 0.

{make_markdown(rows, ("epoch", "zero", "instances with a tie", "mean tied candidates"))}"""


def format_ties(records: Records) -> str:
    """Return how often each model's target ties, and what that is worth."""
    columns = ["model", "instances with a tie", "candidates tied there", "NDCG@10, expected", "spread", "seeds"]
    rows = []
    for model in MODELS:
        if runs := records.get((DATASET, DEFAULT.name, model)):
            ndcg = pd.DataFrame([run.metrics()["NDCG@10"] for run in runs]).mean()
            ties = pd.DataFrame([run.ties.model_dump() for run in runs if run.ties])
            share = ties["tied_share"].mean()
            tied = (ties["tied_share"] * ties["mean_tied"]).mean() / share if share else 0.0  # over all tied instances
            counts = (f"{share:.1%}", f"{tied:.1f}")
            values = (ndcg["expected"], ndcg["optimistic"] - ndcg["pessimistic"])
            rows.append((MODELS[model].name, *counts, *map(format_metric, values), len(runs)))
    if not rows:
        return ""
    return f"""## ML-100k: ties under the default protocol

Among the target and 100 candidates; mean over seeds. Spread: NDCG@10 if every tie favored the target, less NDCG@10 if \
none did.

{make_markdown(pd.DataFrame(rows, columns=columns), right=columns[1:])}"""


def format_file_order(summary: pd.DataFrame) -> str:
    """Return Epinions with its file order taken for time, and shuffled."""
    if ORDER_DATASET not in summary.index:
        return ""
    rows = []
    for model in summary.loc[ORDER_DATASET].index.unique("model"):
        orders = {order.label: format_cell(summary, ORDER_DATASET, order.name, model) for order in factors.ORDERS}
        paper = format_metrics(get_paper_value(ORDER_DATASET, model, metric) for metric in METRICS)
        rows.append({"": RULES.get(model) or get_model(model).name} | orders | {"the paper": paper})
    printed = read_paper_values()[ORDER_DATASET]
    best, _ = printed.xs("NDCG@10", level=1, drop_level=False).idxmax()
    return f"""## Epinions: the order of the file taken for time

hit@10 / NDCG@10, one seed. `order: file` deviates from the default. Whoever reads the order of ids can then guess \
the test item. Trained models: {", ".join(factors.SHORT_TRAINING)}, no tuning. Compare the columns; these are not the \
models' best values.

{make_markdown(rows)}

The paper's best NDCG@10 on Epinions is {best}'s: {format_metrics(printed[best][list(METRICS)])}."""


def format_literature(records: Records) -> str:
    """Return SASRec by the protocol of its papers, beside what the first of them prints."""
    table = tabulate_literature(records)
    if not table:
        return ""
    return f"""## ML-1M: SASRec by the protocol of its papers

One seed. Deviations: {", ".join(factors.LITERATURE.overrides)}. Settings of Kang & McAuley (2018) for ML-1M: \
{", ".join(factors.LITERATURE_SETTINGS)}. The last items of a user are not the same everywhere, as times tie: those \
of the split that the NCF paper has published agree with ours for 72 % of the users.

{table}"""


def tabulate_literature(records: Records) -> str:
    """Return the table of it alone; without a run, nothing."""
    runs = records.get((factors.LITERATURE_DATASET, factors.LITERATURE.name, "sasrec"))
    if not runs:
        return ""
    metrics = runs[0].metrics()
    ours = format_metrics(metrics[metric]["expected"] for metric in METRICS)
    values = {"Kang & McAuley (2018)": factors.LITERATURE_PRINTED, "SASRec here": ours}
    return make_markdown([{"": name, "hit@10 / NDCG@10": value} for name, value in values.items()])


def format_readme(summary: pd.DataFrame) -> str:
    """Return the released models with the settings of the authors' README, beside its values."""
    named = [(dataset, model) for dataset in factors.README_HOPS for model in factors.README_EPOCHS]
    rows = [
        {
            "": f"{MODELS[model].name}, {dataset}",
            "ours": format_cell(summary, dataset, factors.README.name, model, factors.README.tie_policy),
            "the authors": factors.AUTHORS_README[dataset, model],
        }
        for dataset, model in named
    ]
    if all(row["ours"] == NOTHING for row in rows):
        return ""
    hops = " and ".join(f"{number} on {dataset}" for dataset, number in factors.README_HOPS.items())
    epochs = " and ".join(f"{number} for {MODELS[model].name}" for model, number in factors.README_EPOCHS.items())
    return f"""## The settings of the authors' README

hit@10 / NDCG@10 ± sample standard deviation over seeds (number of seeds). All released choices, d 128, SDM with \
{hops} hops. The best epoch on the test items counts, as there: of {epochs}; the authors have 50 for both. Test items \
are those of our split. On ML-1M most are the authors', on Epinions nearly all.

{make_markdown(rows)}"""


def format_summary(records: Records) -> pd.DataFrame:
    """Return a row for each cell of the audit, its numbers with four decimals."""
    summary = summarize_seeds(build_frame(records)).reset_index()
    numbers = {name: summary[name].map("{:.4f}".format, na_action="ignore") for name in ("mean", "spread")}
    return summary.assign(**numbers)
