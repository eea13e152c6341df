"""Write the published Table 3 or 4: as Markdown, as LaTeX, and as CSV with a row for each cell."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from sdmr.experiments.core.deviations import format_deviations
from sdmr.experiments.core.execute import compute_runtime
from sdmr.experiments.core.record import Record
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.report.accuracy import AccuracyTable
from sdmr.experiments.report.comparisons import Comparison, Gain, compute_gains
from sdmr.experiments.report.frames import METRICS, Cell
from sdmr.experiments.report.writers import (
    NOTHING,
    format_difference,
    format_mean,
    format_metric,
    format_p_value,
    format_percent,
    markdown_table,
)

OUTSIDE = "°"
NOTE = (
    "Of each metric: the paper's value; ours ± sample standard deviation over seeds (none for one seed, or a model "
    "that draws nothing) with its 95 % bootstrap interval over users; Δ = ours − paper. "
    f"{OUTSIDE} marks a Δ where the paper's value lies outside our interval. Ties count with their expected value; the "
    "column ties has NDCG@10 if every tie went against, or for, the target (– where both agree). Settings: default "
    "(d 64, one setting for a model on every data set), or tuned on validation items."
)
MARKS = (
    "g+ (g−): NDCG@10 is above (below) that of the general baseline that is best on validation, s+ (s−) of the "
    "sequential one; paired t-tests over users (the mean over seeds, and over a user's baskets), Holm-corrected over "
    "the comparisons on the data set, p < .05."
)


def format_csv(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return a row for each cell, its numbers with the published decimals, an unknown value empty."""
    decimals = {"paper": 3, "ours": 4, "spread": 3, "optimistic": 4, "pessimistic": 4, "low": 4, "high": 4}
    frame = pd.DataFrame(cells).drop(columns="commit")
    for column, digits in decimals.items():
        frame[column] = ["" if pd.isna(value) else f"{value:.{digits}f}" for value in frame[column]]
    return frame.assign(marks=frame["marks"].str.replace("−", "-"))


def format_markdown(table: AccuracyTable, results: Path) -> str:
    """Return the table for reading, then how it was made. `results` has the sweeps that tuned the settings."""
    records = table.records
    blocks = [f"# Table {table.number}, reproduced", NOTE]
    blocks += [MARKS] if table.comparisons else []
    blocks += [f"**{text}**" for text in describe_deviations(records)]
    gains = compute_gains(table.number, table.cells)
    for dataset in table.folders:
        blocks.append(f"## {dataset}")
        rows = list(_make_rows([cell for cell in table.cells if cell.dataset == dataset]))
        rows += _make_gain_rows([gain for gain in gains if gain.dataset == dataset])
        blocks.append(markdown_table(rows, right=("seeds",)))
        if tests := [one for one in table.comparisons if one.dataset == dataset]:
            blocks.append(markdown_table(map(_make_comparison_row, tests), right=("p", "corrected")))
    if late := [r for r in records if r.best_among_last_5_allowed]:
        names = "; ".join(f"{record.model} on {record.dataset}, seed {record.config['seed']}" for record in late)
        blocks.append(f"The best epoch is among the last five allowed, so that more might help: {names}.")
    tuned = dict.fromkeys(cell.dataset for cell in table.cells if cell.settings == "tuned")
    blocks += [text for dataset in tuned for text in describe_searches(results, dataset)]
    blocks += [
        describe_origin(records),
        *(text for dataset in table.folders for text in format_novelty(table, dataset)),
    ]
    return "\n\n".join(blocks) + "\n"


def _make_rows(cells: Sequence[Cell]) -> Iterator[dict[str, object]]:
    """Yield a row for each model that has been run, or has a value in the paper."""
    for model in dict.fromkeys(cell.model for cell in cells):
        hit, ndcg = (cell for cell in cells if cell.model == model)
        if not hit.seeds and hit.paper is None:
            continue
        row: dict[str, object] = {"model": model}
        for cell in (hit, ndcg):
            row |= {
                f"{cell.metric}: paper": format_metric(cell.paper),
                f"{cell.metric}: ours": _format_ours(cell),
                f"{cell.metric}: Δ": _format_delta(cell),
            }
        row |= {"marks": ndcg.marks, "ties": _format_ties(ndcg), "settings": ndcg.settings}
        yield row | {"seeds": ndcg.seeds, "commit": ndcg.commit}


def _format_ours(cell: Cell) -> str:
    if cell.ours is None:
        return "not run"
    return format_mean(cell.ours, cell.spread) + f" [{cell.low:.3f}, {cell.high:.3f}]"


def _format_delta(cell: Cell) -> str:
    if cell.ours is None or cell.paper is None:
        return NOTHING
    return f"{cell.ours - cell.paper:+.3f}{OUTSIDE if cell.is_paper_outside else ''}"


def _format_ties(cell: Cell) -> str:
    low, high = format_metric(cell.pessimistic), format_metric(cell.optimistic)
    return NOTHING if low == high else f"{low} … {high}"


def _make_gain_rows(gains: Sequence[Gain]) -> Iterator[dict[str, object]]:
    """Yield a row for each model and group, as under the paper's table."""
    for label in dict.fromkeys(gain.label for gain in gains):
        row: dict[str, object] = {"model": label}
        for gain in (gain for gain in gains if gain.label == label):
            row[f"{gain.metric}: paper"] = format_percent(gain.paper)
            row[f"{gain.metric}: ours"] = format_percent(gain.ours)
        yield row


def _make_comparison_row(one: Comparison) -> dict[str, object]:
    return {
        "NDCG@10 of": one.model,
        "less that of": f"{one.baseline} ({one.group})",
        "difference, 95 % interval": format_difference(one.test),
        "p": format_p_value(one.test.p),
        "corrected": format_p_value(one.corrected),
    }


def describe_deviations(records: Sequence[Record]) -> list[str]:
    """Return a caption that names the records' deviations from the paper's protocol and models, if there are any."""
    runs: dict[str, set[str]] = {}
    for record in records:
        if record.deviations:
            runs.setdefault(format_deviations(record.deviations), set()).add(f"{record.class_name} on {record.dataset}")
    texts = [f"{deviations} ({', '.join(sorted(names))})" for deviations, names in runs.items()]
    return [f"Deviations from the default protocol and the paper's models: {'; '.join(texts)}."] if texts else []


def describe_searches(results: Path, dataset: str) -> list[str]:
    """Return what it took to tune the settings on a data set, in a line if there was a sweep."""
    sweeps = [pd.read_csv(path, usecols=["seconds"]) for path in (results / "sweeps" / dataset).glob("*.csv")]
    if not sweeps:
        return []
    seconds = pd.concat(sweeps)["seconds"].dropna()
    minutes = f"{len(seconds)} runs, {seconds.sum() / 60:.0f} single-thread minutes"
    return [f"Settings on {dataset} were tuned on validation items: {minutes} (results/sweeps/{dataset}/)."]


def describe_origin(records: Sequence[Record]) -> str:
    """Return on which machines the records were made, and how long it took."""
    machines = sorted({f"{r.environment.processor}, {r.environment.threads} thread(s)" for r in records})
    versions = sorted({f"torch {r.environment.versions['torch']}" for r in records})
    seconds = f"{compute_runtime(records):.0f} s in all"
    return f"Made from {len(records)} records on {'; '.join(machines)}; {'; '.join(versions)}; {seconds}."


def format_novelty(table: AccuracyTable, dataset: str) -> list[str]:
    """Return the metrics of new and of repeated targets, the mean over seeds.

    Nothing, where the records tell no such targets apart.
    """
    rows, title = [], ""
    for model in MODELS:
        records = table.load_records(dataset, model)
        sides = {"new": [r.test_new for r in records], "repeated": [r.test_repeated for r in records]}
        if not records or not all(all(metrics) for metrics in sides.values()):
            continue
        counts = [f"{metrics[0]['instances']:,} {side}" for side, metrics in sides.items() if metrics[0]]
        title = title or f"## {dataset}, {' and '.join(counts)} targets"
        means = {
            f"{metric}, {side}": format_metric(statistics.mean(m[metric]["expected"] for m in metrics if m))
            for side, metrics in sides.items()
            for metric in METRICS
        }
        rows.append({"model": MODELS[model].name, **means})
    return [title, markdown_table(rows)] if rows else []


def format_latex(table: AccuracyTable) -> str:
    """Return the same cells as a LaTeX tabular (booktabs)."""
    datasets = list(table.folders)
    comments = [f"Table {table.number}: the paper's value | ours ± spread", MARKS]
    comments.append(f"{OUTSIDE}: the paper's value lies outside our 95 % interval.")
    for dataset, settings in dict.fromkeys((cell.dataset, cell.settings) for cell in table.cells if cell.seeds):
        models = [c.model for c in table.cells if c.seeds and (c.dataset, c.settings) == (dataset, settings)]
        comments.append(f"{dataset}, {settings} settings: {', '.join(dict.fromkeys(models))}")
    columns = pd.MultiIndex.from_product([datasets, METRICS])
    models = list(dict.fromkeys(cell.model.replace("_", r"\_") for cell in table.cells))
    gains = compute_gains(table.number, table.cells)
    frame = pd.DataFrame(NOTHING, index=[*models, *dict.fromkeys(gain.label for gain in gains)], columns=columns)
    for cell in table.cells:
        frame.at[cell.model.replace("_", r"\_"), (cell.dataset, cell.metric)] = _format_latex_cell(cell)
    for gain in gains:
        text = f"{format_percent(gain.paper)} $|$ {format_percent(gain.ours)}".replace("%", r"\%")
        frame.at[gain.label, (gain.dataset, gain.metric)] = text
    latex = frame.to_latex(escape=False, multicolumn_format="c", column_format=f"l{'rr' * len(datasets)}")
    if gains:
        latex = latex.replace(f"\n{gains[0].label}", f"\n\\midrule\n{gains[0].label}")
    return "".join(f"% {comment}\n" for comment in comments) + latex.replace(NOTHING, "--")


def _format_latex_cell(cell: Cell) -> str:
    """Return the paper's value and ours, with the marks as a superscript."""
    marks = cell.marks.replace("−", "-").replace(" ", r"\,")
    marks = rf"\mathrm{{{marks}}}" if marks else ""
    if cell.is_paper_outside:
        marks = rf"\circ\,{marks}" if marks else r"\circ"
    ours = format_mean(cell.ours, cell.spread, r" $\pm$ ")
    return f"{format_metric(cell.paper)} $|$ {ours}" + (f"$^{{{marks}}}$" if marks else "")
