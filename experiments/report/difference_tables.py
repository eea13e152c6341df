"""The tables and notes of a comparison, for the terminal, in Markdown and in LaTeX."""

from collections.abc import Iterator, Sequence
from itertools import product

import pandas as pd

from sdmr.experiments.report import writers
from sdmr.experiments.report.averages import ALL, is_trained, list_rows
from sdmr.experiments.report.compared_rows import ComparedRow, explain_other_protocols, have_same_candidates
from sdmr.experiments.report.differences import MIN_INSTANCES, Results
from sdmr.experiments.report.documents import describe_deviations
from sdmr.experiments.report.places import find_places, is_lower_better
from sdmr.experiments.report.writers import Style, format_mean, format_metric, make_table

MARK = "†"
HEADINGS: dict[Style, str] = {"text": "{}:", "markdown": "## {}", "latex": "% {}"}
DIFFERENCE = "difference, 95 % interval"
NUMBERS = ("p", "corrected", "effect")  # columns that are aligned right


def format_results(rows: Sequence[ComparedRow], results: Results, style: Style, facts: Sequence[str] = ()) -> str:
    """Return two tables of all instances, the notes, and two tables of each stratum.

    `facts` on the test items are the last notes.
    """
    reasons, notes, blocks = explain_other_protocols(rows), [*describe_results(rows, results), *facts], []
    results = Results(*(_add_marks(frame, reasons) for frame in results))
    for stratum in map(str, results.metrics["stratum"].unique()):
        metrics, tests = (frame[frame["stratum"] == stratum] for frame in results)
        tables = {
            "means": _format_means(metrics, style),
            "differences": _format_tests(tests, list(metrics["metric"].unique()), style),
        }
        for subject, table in tables.items():
            heading = f"By {stratum}, {subject}" if stratum else subject.capitalize()
            blocks += [HEADINGS[style].format(heading), table]
        if not stratum:
            blocks += [f"% {note}" if style == "latex" else note for note in notes]
    return "\n\n".join(blocks) + "\n"


def _add_marks(frame: pd.DataFrame, reasons: dict[str, str]) -> pd.DataFrame:
    """Return a frame whose marked rows have the mark behind their names."""
    names = [column for column in ("model", "baseline") if column in frame]
    return frame.assign(**{c: frame[c].map(lambda name: f"{name} {MARK}" if name in reasons else name) for c in names})


def _list_parts(frame: pd.DataFrame) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
    """Yield the first cell of each part's rows, if it has one, and the rows."""
    for part, block in frame.groupby("range", sort=False):
        yield ({"part": f"{part!s} ({block['instances'].max():,})"} if part else {}), block


def _format_means(metrics: pd.DataFrame, style: Style) -> str:
    """Return a table with a line for each part and row. The best and the second best of a part stand out."""
    lines: list[dict[str, object]] = []
    places: dict[str, list[int]] = {str(metric): [] for metric in metrics["metric"].unique()}
    for first_cell, block in _list_parts(metrics):
        means = block.pivot(index="model", columns="metric", values="mean").reindex(block["model"].unique())
        for metric, numbers in places.items():
            numbers += find_places(means[metric], is_lower_better(metric)) if metric in means else [0] * len(means)
        for model, cells in block.groupby("model", sort=False):
            line = {**first_cell, "model": model, "seeds": cells["seeds"].max()}
            line |= {column: "" for metric in places for column in (metric, f"{metric}, 95 %")}
            for cell in list_rows(cells):
                line[cell.metric] = format_mean(cell.mean, cell.spread)
                line[f"{cell.metric}, 95 %"] = f"{format_metric(cell.low)} … {format_metric(cell.high)}"
            lines.append(line)
    return make_table(lines, style, ("seeds",), places)


def _format_tests(tests: pd.DataFrame, metrics: list[str], style: Style) -> str:
    """Return a table with a line for each part, metric and pair."""
    lines = [
        {
            **first_cell,
            "metric": one.metric,
            "difference of": f"{one.model} − {one.baseline}",
            DIFFERENCE: writers.format_difference(one),
            **writers.format_test(one),
        }
        for first_cell, block in _list_parts(tests)
        for one in list_rows(block.sort_values("metric", key=lambda m: m.map(metrics.index), kind="stable"))
    ]
    return make_table(lines, style, NUMBERS)


def describe_results(rows: Sequence[ComparedRow], results: Results) -> Iterator[str]:
    """Yield the notes under the tables."""
    metrics, tests = results.metrics, results.differences
    metrics, tests = (frame[frame["stratum"] == ""] for frame in (metrics, tests))
    total = int(metrics["instances"].max())
    yield (
        f"{rows[0].records[0].dataset}, {total:,} test instances. Differences are {rows[0].name} − the other row, over "
        f"users and seeds. Corrected: p by Holm's method over the {len(tests)} differences of the table. Effect: the "
        "mean difference over the standard deviation of the users' differences."
    )
    if any(map(is_lower_better, metrics["metric"])):
        yield "A lower mean-rank is better."
    for name, reason in explain_other_protocols(rows).items():
        yield f"{MARK} {name}: {reason}."
    if names := [row.name for row in rows if len(row.folders) == 1 and is_trained(row.model, row.records[0])]:
        lacking = metrics.loc[metrics["model"].isin(names) & ~metrics["borrowed"], "metric"].unique()
        alone = (
            f"The intervals of {', '.join(lacking)} count users alone: no published row has three seeds, whose spread "
            "it could borrow."
        )
        borrowed = (
            "The interval borrows the largest spread between seeds that the model has on a data set with three "
            "published seeds or, if none, that of any model."
        )
        has_borrowed = metrics.loc[metrics["model"].isin(names), "borrowed"].any()
        notes = [borrowed] * bool(has_borrowed) + [alone] * bool(len(lacking))
        yield f"One seed: {', '.join(names)}. {' '.join(notes)}"
    sampled = metrics[metrics["instances"] < total]
    for number, block in sampled.groupby("instances"):
        yield (
            f"Metrics among all items are those of a fixed random sample of {number:,} test instances for "
            f"{', '.join(block['model'].unique())}; differences are on the instances that both have."
        )
    present = set(zip(metrics["model"], metrics["metric"], strict=True))
    pairs = product((row.name for row in rows), metrics["metric"].unique())
    if absent := [f"{metric} of {name}" for name, metric in pairs if (name, metric) not in present]:
        yield f"Without ranks to compute it from: {', '.join(absent)}."
    if others := [row.name for row in rows[1:] if not have_same_candidates(rows[0], row)]:
        yield (
            f"These rows were ranked among other candidates than {rows[0].name}, and are not compared by sampled "
            f"metrics: {', '.join(others)}."
        )
    ranked = {name for name, metric in present if metric.endswith(ALL)}
    compared = set(tests.loc[tests["metric"].str.endswith(ALL), "baseline"])
    others = [row.name for row in rows[1:] if row.name in ranked - compared]
    if rows[0].name in ranked and others:
        yield (
            f"These rows have another number of items to rank than {rows[0].name}, or under {MIN_INSTANCES} test "
            f"instances in common, and are not compared by metrics among all items: {', '.join(others)}."
        )
    if results.metrics["stratum"].nunique() > 1:
        yield f"Parts of fewer than {MIN_INSTANCES} instances are left out. Holm's correction is within each table."
        if names:
            yield "On parts, seeds may spread more than the borrowed s² over the part's share tells: make three seeds."
    yield from describe_deviations([record for row in rows for record in row.records])
