"""The published Tables 3 and 4 as Markdown, LaTeX and CSV."""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sdmr.experiments.core.deviations import format_deviations
from sdmr.experiments.core.estimate import compute_runtime
from sdmr.experiments.core.record import Record
from sdmr.experiments.core.registry import OTHER_ROWS, get_model
from sdmr.experiments.report import writers
from sdmr.experiments.report.accuracy import AccuracyTable
from sdmr.experiments.report.averages import ALL, list_rows
from sdmr.experiments.report.cells import INTERVAL_COLUMNS
from sdmr.experiments.report.comparisons import COMPARED_METRIC, compute_gains
from sdmr.experiments.report.printed import METRICS
from sdmr.experiments.report.writers import (
    NOTHING,
    format_mean,
    format_metric,
    format_percent,
    format_signed,
    make_markdown,
)

# The columns of the published CSV files, and the decimals of their numbers.
TEXTS = ("dataset", "model", "metric")
EXACT = 6  # enough that pages may round these values once more
DECIMALS = {
    "paper": 3,
    "ours": EXACT,
    "spread": EXACT,
    "seeds": 0,
    "optimistic": EXACT,
    "pessimistic": EXACT,
    "low": EXACT,
    "high": EXACT,
}
COLUMNS = (*TEXTS, *DECIMALS, "verdict", "settings", "marks", "run_low", "run_high", "search")
CIRCLE = "°"
NOT_IN_PAPER = "*not in the paper*"
HIGHLIGHTED = "Of our values of a metric, the best is bold and the second best underlined."
NOTE = (
    "Of each metric: the paper's value; ours ± sample standard deviation over seeds (none for one seed, or a model "
    "that draws nothing) with the 95 % interval of our mean; the 95 % interval for one new run, with other users, seed "
    "and candidates; Δ = ours − paper. "
    f"{CIRCLE} marks a Δ where the paper's value lies outside the interval for one new run. A trained model with one "
    "seed borrows the largest spread of its rows with three seeds or, without one, that of any model; where no row "
    "has three seeds, the interval counts users alone. Ties count with their expected value; the column ties has "
    "NDCG@10 if every tie went against, or for, the target (– where both agree). Settings: default (d 64, one setting "
    "for a model on every data set), or tuned on validation items. Gains over the best baseline are those over the "
    "highest value of the column, as in the paper. "
    f"{HIGHLIGHTED} docs/protocol.md has the formulas, what the test items measure, and what is left without context "
    "items of the last hour."
)
ALL_NOTE = (
    "The candidates of the metrics are 100 items that the user never touched or, of those with *all* behind their "
    "name, all of them. Of the latter: ours ± spread with the 95 % interval; empty, where a record is older than these "
    "metrics."
)
MARKS = (
    "g+ (g−): NDCG@10 is above (below) that of the best general baseline by validation, of all general models of the "
    "paper with a row in this table; s+ (s−) of the sequential one. The test counts users and seeds; p < .05 after "
    "Holm's correction over the comparisons on the data set. There is no mark against a baseline below Popularity on "
    "validation. Effect: the mean difference over the standard deviation of the users' differences."
)
NO_BASKETS = "GRU4Rec, SASRec and BERT4Rec have no row here: the items of a basket have no order."
SEARCHES = (
    "Search: trials made of those planned, pruned ones included (! fewer than 12); CPU minutes; the settings whose "
    "best value is the first or last one tried; the searches of parts. Earlier searches did not count their trials."
)


def format_csv(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells as they are published: numbers with their decimals, an unknown value empty."""
    numbers = {
        column: cells[column].map(f"{{:.{digits}f}}".format, na_action="ignore")
        for column, digits in (DECIMALS | dict.fromkeys(INTERVAL_COLUMNS, EXACT)).items()
    }
    marks = cells["marks"].str.replace("−", "-")
    return cells.assign(**numbers, marks=marks)[list(COLUMNS)]


def format_markdown(table: AccuracyTable, results: Path) -> str:
    """Return the table for reading, then how it was made. `results` has the sweeps that tuned the settings."""
    records, gains = table.list_records(), compute_gains(table.cells)
    has_all = table.cells["metric"].str.endswith(ALL).any()
    blocks = [f"# Table {table.number}, reproduced", NOTE, *([ALL_NOTE] if has_all else [])]
    blocks += [] if table.comparisons.empty else [MARKS]
    blocks += [SEARCHES] if table.cells["search"].any() else []
    blocks += [NO_BASKETS] if table.number == 4 else []
    blocks += [f"**{text}**" for text in describe_deviations(records)]
    for dataset, cells in table.cells.groupby("dataset", sort=False):
        is_other = _is_other(cells)
        rows = [*_make_rows(cells[~is_other]), *_make_gain_rows(gains[gains["dataset"] == dataset])]
        rows += [{"model": NOT_IN_PAPER}, *_make_rows(cells[is_other])] if is_other.any() else []
        blocks += [f"## {dataset}", make_markdown(rows, right=("seeds",)), *table.notes[str(dataset)]]
        if tests := list_rows(table.comparisons[table.comparisons["dataset"] == dataset]):
            blocks.append(make_markdown(map(_make_comparison_row, tests), right=("p", "corrected", "effect")))
    for dataset in table.cells.loc[table.cells["settings"] == "tuned", "dataset"].unique():
        blocks += describe_searches(results, dataset)
    blocks.append(describe_origin(records))
    blocks += [text for dataset, models in table.records.items() for text in format_novelty(dataset, models)]
    return "\n\n".join(blocks) + "\n"


def _is_other(cells: pd.DataFrame) -> pd.Series:
    """Tell which rows are of models of the suite that are not in the paper."""
    return cells["model"].isin([model.name for model in OTHER_ROWS.values()])


def _make_rows(cells: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Yield a row for each model with a run or a printed value."""
    for model, block in cells.groupby("model", sort=False):
        (ndcg,) = list_rows(block[block["metric"] == COMPARED_METRIC])
        if not ndcg.seeds and pd.isna(ndcg.paper):
            continue
        row: dict[str, object] = {"model": model}
        for cell in list_rows(block):
            interval = f" [{cell.low:.3f}, {cell.high:.3f}]"
            (ours,) = writers.highlight([format_mean(cell.ours, cell.spread) + interval], [cell.place], "markdown")
            if cell.metric not in METRICS:
                row[cell.metric] = ours if cell.seeds else ""
                continue
            delta = f"{format_signed(cell.ours - cell.paper)}{CIRCLE if is_paper_outside(cell) else ''}"
            run = f"{cell.run_low:.3f}, {cell.run_high:.3f}" if cell.seeds else NOTHING
            row |= {
                f"{cell.metric}: paper": format_metric(cell.paper),
                f"{cell.metric}: ours": ours if cell.seeds else "not run",
                f"{cell.metric}: one run": run,
                f"{cell.metric}: Δ": delta if cell.verdict else NOTHING,
            }
        low, high = format_metric(ndcg.pessimistic), format_metric(ndcg.optimistic)
        row |= {"marks": ndcg.marks, "ties": NOTHING if low == high else f"{low} … {high}"}
        row |= {"settings": ndcg.settings, "seeds": ndcg.seeds, "commit": ndcg.commit}
        yield row | ({"search": ndcg.search} if cells["search"].any() else {})


def is_paper_outside(cell: Any) -> bool:
    """Return whether the paper's value lies outside our 95 % interval for one new run."""
    return cell.verdict in ("paper lower", "paper higher")


def _make_gain_rows(gains: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Yield a row for each model and group, as under the paper's table."""
    for label, block in gains.groupby("model", sort=False):
        row: dict[str, object] = {"model": label}
        for gain in list_rows(block):
            row[f"{gain.metric}: paper"] = format_percent(gain.paper)
            row[f"{gain.metric}: ours"] = format_percent(gain.ours)
        yield row


def _make_comparison_row(one: Any) -> dict[str, object]:
    return {
        "NDCG@10 of": one.model,
        "less that of": f"{one.baseline} ({one.group})",
        "difference, 95 % interval": writers.format_difference(one),
        "one run": writers.format_interval(one.run_low, one.run_high),
        **writers.format_test(one),
    }


def describe_deviations(records: Iterable[Record]) -> list[str]:
    """Return a caption that names the records' deviations from the paper, if there are any."""
    runs: dict[str, set[str]] = {}
    for record in records:
        if record.deviations:
            runs.setdefault(format_deviations(record.deviations), set()).add(f"{record.class_name} on {record.dataset}")
    texts = [f"{deviations} ({', '.join(sorted(names))})" for deviations, names in runs.items()]
    return [f"Deviations from the default protocol and the paper's models: {'; '.join(texts)}."] if texts else []


def describe_searches(results: Path, dataset: str) -> list[str]:
    """Return the cost of all searches on a data set, if there was one.

    Their rows may not be published yet.
    """
    sweeps = [pd.read_csv(path) for path in (results / "sweeps" / dataset).glob("*.csv")]
    if not sweeps:
        return []
    frame = pd.concat(sweeps).reindex(columns=["seconds", "cpu_seconds"])  # earlier searches counted the former
    seconds = frame["cpu_seconds"].fillna(frame["seconds"]).dropna()
    minutes = f"{len(seconds)} runs, {seconds.sum() / 60:.0f} single-thread minutes"
    return [f"Searches on the validation items of {dataset}, results/sweeps/{dataset}/: {minutes}."]


def describe_origin(records: Sequence[Record]) -> str:
    """Return on which machines the records were made, and how long it took."""
    machines = sorted({f"{r.environment.processor}, {r.environment.threads} thread(s)" for r in records})
    versions = sorted({f"torch {r.environment.versions['torch']}" for r in records})
    seconds = f"{compute_runtime(records):.0f} s in all, a part that several share counted once"
    return f"Made from {len(records)} records on {'; '.join(machines)}; {'; '.join(versions)}; {seconds}."


def format_novelty(dataset: str, records: Mapping[str, Sequence[Record]]) -> list[str]:
    """Return the metrics of new and of repeated targets, the mean over seeds.

    Nothing, where the records tell no such targets apart.
    """
    rows, counts = [], ""
    for model, runs in records.items():
        sides = {"new": [run.test_new for run in runs], "repeated": [run.test_repeated for run in runs]}
        if not runs or not all(all(metrics) for metrics in sides.values()):
            continue
        counts = counts or " and ".join(f"{one[0]['instances']:,} {side}" for side, one in sides.items() if one[0])
        means = {
            f"{metric}, {side}": format_metric(statistics.mean(m[metric]["expected"] for m in metrics if m))
            for side, metrics in sides.items()
            for metric in METRICS
        }
        rows.append({"model": get_model(model).name, **means})
    return [f"## {dataset}, {counts} targets", make_markdown(rows)] if rows else []


def format_latex(table: AccuracyTable) -> str:
    """Return the same cells as a LaTeX tabular (booktabs)."""
    comments = [f"Table {table.number}: the paper's value | ours ± spread. {HIGHLIGHTED}", MARKS]
    comments.append(f"{CIRCLE}: the paper's value lies outside our 95 % interval for one new run.")
    finished = table.cells[table.cells["seeds"] > 0]
    for (dataset, settings), block in finished.groupby(["dataset", "settings"], sort=False):
        comments.append(f"{dataset}, {settings} settings: {', '.join(block['model'].unique())}")
    cells, gains = table.cells, compute_gains(table.cells)
    cells = cells.assign(text=[_format_latex_cell(cell) for cell in list_rows(cells)])
    pairs = zip(gains["paper"].map(format_percent), gains["ours"].map(format_percent), strict=True)
    gains = gains.assign(text=[" $|$ ".join(pair).replace("%", r"\%") for pair in pairs])
    is_other = _is_other(cells)
    texts = pd.concat([cells[~is_other], gains, cells[is_other]])
    metrics = cells["metric"].unique()
    columns = pd.MultiIndex.from_product([table.records, metrics])
    frame = texts.pivot(index="model", columns=["dataset", "metric"], values="text")
    frame = frame.reindex(index=texts["model"].unique(), columns=columns).fillna(NOTHING)
    frame = frame.rename_axis(None).rename(lambda model: model.replace("_", r"\_"))
    latex = frame.to_latex(escape=False, multicolumn_format="c", column_format=f"l{'r' * len(columns)}")
    for label in (*gains["model"].head(1), *cells.loc[is_other, "model"].head(1)):
        latex = latex.replace(f"\n{label}", f"\n\\midrule\n{label}")
    return "".join(f"% {comment}\n" for comment in comments) + latex.replace(NOTHING, "--")


def _format_latex_cell(cell: Any) -> str:
    """Return the paper's value and ours, with the marks as a superscript."""
    marks = cell.marks.replace("−", "-").replace(" ", r"\,")
    symbols = (r"\circ" if is_paper_outside(cell) else "", rf"\mathrm{{{marks}}}" if marks else "")
    power = r"\,".join(filter(None, symbols))
    (ours,) = writers.highlight([format_mean(cell.ours, cell.spread, r" $\pm$ ")], [cell.place], "latex")
    return f"{format_metric(cell.paper)} $|$ {ours}" + (f"$^{{{power}}}$" if power else "")
