"""Compare records on the same test instances: `sdmr compare runs=[NAME,NAME,...]`.

Records are those of runs, of `sdmr score`, and published ones. The first row is compared with each of the others: the
paired difference with its interval, p values with Holm's correction, effect size, and the users with a win, a tie or a
loss. Records that differ in their seed alone are one row. A name is that of a run, its folder, or a pattern such as
`SDM-*`; published records are `table3/ml-100k/sdm-*`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pydantic import Field

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core import cli
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.finished import find_runs
from sdmr.experiments.core.messages import escape
from sdmr.experiments.core.options import Names, check_choices
from sdmr.experiments.figures.forest import draw_forest
from sdmr.experiments.figures.style import save_figure
from sdmr.experiments.report.averages import ALL
from sdmr.experiments.report.compared_rows import ComparedRow, collect_rows, explain_other_instances
from sdmr.experiments.report.dataset_check import describe_test_items
from sdmr.experiments.report.difference_tables import format_results
from sdmr.experiments.report.differences import MIN_INSTANCES, STRATA, Results, compare_with_first, label_strata
from sdmr.experiments.report.options import MetricOptions
from sdmr.experiments.report.ranked_rows import read_seed_spreads
from sdmr.experiments.report.row_values import list_folders
from sdmr.experiments.report.writers import write_csv
from sdmr.harness.records import compute_run_key

RUNS = Path("runs")


class Options(MetricOptions):
    text_options = ("runs",)
    runs: Names = Field(description="names of runs, their folders, or patterns; the first row is the reference")
    by: Names | None = Field(None, description=f"also by parts of the test instances: {', '.join(STRATA)}; null: none")
    output: str | None = Field(None, description="folder of the tables and pictures; null: a new one in runs/compare")
    results: str = Field("results", description="folder of the published records and tables")


def main(options: Options) -> int:
    check_choices("by", options.by or [], STRATA)
    columns, results = options.list_columns(), Path(options.results)
    rows = collect_rows(find_runs("runs", options.runs, RUNS, results))
    if len(rows) < 2:
        names = f"one row, {rows[0].name}" if rows else "no row"
        raise UsageError(f"runs=...: there is {names}; name the runs of another model or setting, too")
    if lines := list(explain_other_instances(rows)):
        print("\n".join(map(escape, lines)), file=sys.stderr)
        raise UsageError(f"runs=...: the records above are not of the test instances of {rows[0].name}, the first one")
    metrics = [
        metric for metric in columns if not metric.endswith(ALL) or any(list_folders(row, metric) for row in rows)
    ]
    spreads = read_seed_spreads(results, metrics)
    strata = label_strata(rows[0], options.by) if options.by else {}
    compared = compare_with_first(rows, metrics, spreads, strata)
    if compared.differences.empty:
        raise UsageError(
            f"runs=...: there is nothing to compare. The ranks of {rows[0].name} or of all other rows have no "
            f"{', no '.join(columns)}; or their candidates differ; or there are under {MIN_INSTANCES} test instances"
        )
    facts = describe_test_items(results, [record for row in rows for record in row.records])
    print(format_results(rows, compared, "text", facts))
    folder = Path(options.output) if options.output else RUNS / "compare" / _make_name(rows, options)
    _write(folder, rows, compared, facts)
    return 0


def _make_name(rows: list[ComparedRow], options: Options) -> str:
    """Return the name of the folder of these rows and options."""
    settings = options.model_dump(exclude={"runs", "results", "output"})
    key = compute_run_key({"runs": [one.run for row in rows for one in row.records], **settings}, "", "")
    return f"{rows[0].records[0].dataset}-{key}"


def _write(folder: Path, rows: list[ComparedRow], compared: Results, facts: Sequence[str]) -> None:
    """Write tables in three formats, and a picture of all instances and each stratum."""
    title = f"{rows[0].name} and {len(rows) - 1} other rows on {rows[0].records[0].dataset}"
    write_atomic(folder / "tables.md", f"# {title}\n\n{format_results(rows, compared, 'markdown', facts)}".encode())
    write_atomic(folder / "tables.tex", format_results(rows, compared, "latex", facts).encode())
    print(f"{folder}/tables.md, tables.tex and metrics.csv")
    write_csv(folder / "metrics.csv", _format_numbers(compared.metrics))
    files = {"": "differences", **{stratum: name for name, stratum in STRATA.items()}}
    for stratum in map(str, compared.differences["stratum"].unique()):
        tests = compared.differences[compared.differences["stratum"] == stratum]
        note = f"{rows[0].records[0].dataset}{f', by {stratum}' if stratum else ''}"
        save_figure(draw_forest(tests, note), folder, files[stratum], _format_numbers(tests))


def _format_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose numbers have six digits."""
    columns = frame.select_dtypes("float").columns
    return frame.assign(**{column: frame[column].map("{:.6g}".format, na_action="ignore") for column in columns})


if __name__ == "__main__":
    sys.exit(cli.main(["compare", *sys.argv[1:]]))
