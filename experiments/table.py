"""Make one of the paper's tables: `sdmr table number=3 datasets=[ml-100k] models=[sdp,sdm] seeds=3`.

For Tables 3 and 4 (accuracy), missing runs are made first. The paper's, the published and this machine's values are
printed side by side. Tables 1 and 2 are the statistics of the data sets; they are written to `results/`.
`sdmr table number=3 strata=true` writes the published rows by time gap, popularity and history length to `results/`.
`sdmr table number=1 months=true` lists the months of the Netflix Prize by their distance to Table 1.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core import cli
from sdmr.experiments.core.cluster import ClusterOptions, get_launcher
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import RunOptions, check_used
from sdmr.experiments.core.plan import find_or_train, plan_runs, read_tie_policy
from sdmr.experiments.core.registry import expand_models
from sdmr.experiments.core.store import get_published_folder
from sdmr.experiments.core.trackers import drop_tracker
from sdmr.experiments.core.tuned import insert_tuned_grid_rows
from sdmr.experiments.report import dataset_statistics, strata
from sdmr.experiments.report.accuracy import DEFAULT_DATASETS, describe_protocol
from sdmr.experiments.report.agreement import describe_full_ranking
from sdmr.experiments.report.comparisons import describe_comparisons
from sdmr.experiments.report.dataset_check import describe_task, describe_test_items
from sdmr.experiments.report.documents import describe_deviations
from sdmr.experiments.report.options import AccuracyOptions
from sdmr.experiments.report.ranked_rows import read_seed_spreads
from sdmr.experiments.report.terminal_table import (
    blank_incomparable,
    describe_data,
    describe_left_out,
    describe_order,
    describe_rows,
    format_table,
    read_published_means,
)
from sdmr.experiments.report.writers import make_table, write_csv


class Options(RunOptions, ClusterOptions, AccuracyOptions):
    number: Literal[1, 2, 3, 4] = Field(3, description="the paper's table")
    strata: bool = Field(False, description="Tables 3 and 4: published rows by time gap, popularity and history length")
    months: bool = Field(False, description="Table 1: compare the months of the Netflix Prize instead")


def main(options: Options) -> int:
    if options.months and options.number != 1:
        raise UsageError(f"months=true: Table {options.number} has no months; use number=1")
    if options.strata:
        return _make_strata(options)
    return _make_statistics(options) if options.number in (1, 2) else _make_accuracy(options)


def _make_strata(options: Options) -> int:
    """Write how the published rows do on parts of the test instances. Nothing is trained."""
    if options.number in (1, 2):
        raise UsageError(f"strata=true: Table {options.number} has no models; use number=3 or number=4")
    check_used(options, ("number", "strata", "results"), "strata=true")
    cells = strata.collect_strata(options.number, Path(options.results))
    path, text = Path(options.results) / f"table{options.number}-strata.md", strata.format_strata(options.number, cells)
    write_csv(path.with_suffix(".csv"), strata.format_csv(cells))
    write_atomic(path, text.encode())
    print(text)
    return 0


def _make_statistics(options: Options) -> int:
    names = ("number", "months") if options.months else ("number", "months", "results")
    check_used(options, names, f"Table {options.number}")
    if options.months:
        months = dataset_statistics.rank_netflix_months()
        months = months.assign(distance=months["distance"].map("{:.6f}".format))
        print(make_table(months, "text", right=list(map(str, months))[2:]))
        return 0
    path = Path(options.results) / f"table{options.number}.csv"
    published = dataset_statistics.read_published_statistics(path)
    cells = dataset_statistics.keep_published(published, dataset_statistics.collect_statistics(options.number))
    text = dataset_statistics.format_statistics(options.number, cells)
    write_csv(path, cells)
    write_atomic(path.with_suffix(".md"), text.encode())
    print(text)
    return 0


def _make_accuracy(options: Options) -> int:
    """Find or make the runs, and print table and comparisons of each data set."""
    start, tie_policy = time.perf_counter(), read_tie_policy(options.overrides)
    datasets, models = options.datasets or DEFAULT_DATASETS[options.number], expand_models(options.models)
    results, name = Path(options.results), f"table{options.number}"
    rows = {dataset: insert_tuned_grid_rows(models, dataset, options.settings) for dataset in datasets}
    planned = [
        replace(one, published=get_published_folder(results, name, dataset, f"{one.model}-{one.seed}"))
        for dataset in datasets
        for one in plan_runs(rows[dataset], [dataset], options.seeds, options.settings, options.overrides)
    ]
    columns = options.list_columns()
    # Before any run is made, since a published record may be damaged.
    published = {one: read_published_means(one, rows[one], results, columns, tie_policy) for one in datasets}
    runs = Path(options.runs)
    launch = get_launcher(options, runs)
    findings = find_or_train(planned, runs, options.workers, use_published=False, launch=launch)
    conditions = ", ".join([f"{options.settings} settings", *drop_tracker(options.overrides)])
    spreads = read_seed_spreads(results)
    for dataset in datasets:
        made = {one: run for one, run in findings.runs.items() if one.dataset == dataset}
        folders = {row: [run.folder for one, run in made.items() if one.model == row] for row in rows[dataset]}
        caption = (options.number, conditions, tie_policy)
        records = [run.record for run in made.values()]
        means = blank_incomparable(published[dataset], dataset, results, records[0]) if records else published[dataset]
        print(f"\n{format_table(dataset, folders, means, *caption, columns)}\n")
        notes = describe_order(dataset, folders, tie_policy) + describe_deviations(records)
        notes += describe_data(dataset, records)
        notes += describe_left_out(published[dataset], means)
        notes += describe_protocol(dataset, records, options.settings == "tuned")
        if records:
            notes += describe_test_items(results, records) or describe_task(records[0])
        notes += describe_full_ranking(dataset, folders, columns, tie_policy)
        notes += describe_rows(dataset, folders, options.settings)
        for line in (*notes, *describe_comparisons(dataset, folders, spreads, tie_policy)):
            print(line)
    print(f"{time.perf_counter() - start:.0f} s in all; records in {options.runs}/")
    return cli.FAILED if findings.failures else 0


if __name__ == "__main__":
    sys.exit(cli.main(["table", *sys.argv[1:]]))
