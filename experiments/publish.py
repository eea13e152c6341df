"""Publish Table 3 or 4 from this machine's runs: `sdmr publish number=3 datasets=[ml-100k] seeds=3 settings=tuned`.

Nothing is trained. The records of models whose runs are complete are copied to `results/`, and both tables are
written from all that is published there. A model whose runs are not complete keeps its published records.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import write_atomic
from sdmr.experiments.core import cli, store
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import check_choices, list_names
from sdmr.experiments.core.plan import Findings, FoundRun, PlannedRun, find_or_train, plan_runs, read_tie_policy
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import GRID, GRID_ROWS, MODELS, expand_models, get_model, insert_grid_rows
from sdmr.experiments.core.tuned import insert_tuned_grid_rows
from sdmr.experiments.report.accuracy import DEFAULT_DATASETS, collect_published
from sdmr.experiments.report.averages import ALL
from sdmr.experiments.report.comparability import get_instances
from sdmr.experiments.report.documents import format_csv, format_latex, format_markdown
from sdmr.experiments.report.options import AccuracyOptions
from sdmr.experiments.report.printed import METRICS, TABLES
from sdmr.experiments.report.summary import update_pages
from sdmr.experiments.report.writers import write_csv

DATA_KEYS = ("dataset.", "protocol.", "split_seed=")  # the overrides that a published table may have


class Options(AccuracyOptions):
    number: Literal[3, 4] = Field(3, description="the paper's table")
    replace: bool = Field(False, description="replace published rows with tuned settings by rows with default ones")
    runs: str = Field("runs", description="folder of this machine's records")
    results: str = Field("results", description="folder of the published records and tables")
    overrides: list[str] = Field([], description="settings of every run: dataset.*, protocol.*, split_seed")


def main(options: Options) -> int:
    datasets, models = options.datasets or DEFAULT_DATASETS[options.number], expand_models(options.models)
    _check_options(options, datasets, models)
    results = Path(options.results)
    rows = {dataset: insert_tuned_grid_rows(models, dataset, options.settings) for dataset in datasets}
    planned = [
        one
        for dataset in datasets
        for one in plan_runs(rows[dataset], [dataset], options.seeds, options.settings, options.overrides)
    ]
    findings = find_or_train(planned, Path(options.runs), workers=1, train=False, use_published=False)
    if not findings.runs and not (results / "records" / f"table{options.number}").exists():
        number = options.number
        raise DataError(
            f"{options.runs}/ has no run of Table {number} to publish; `sdmr table number={number}` makes them"
        )
    with store.lock_results(results):
        return publish_rows(options, rows, planned, findings)


def publish_rows(
    options: Options, rows: Mapping[str, Sequence[str]], planned: Sequence[PlannedRun], findings: Findings
) -> int:
    """Copy the complete rows of each data set, and write the published table."""
    results = Path(options.results)
    for dataset, names in rows.items():
        plans = {row: [one for one in planned if (one.dataset, one.model) == (dataset, row)] for row in names}
        complete = {row: runs for row, plan in plans.items() if (runs := _get_complete(options, plan, findings))}
        # Rows whose model has settings inside the paper's grid now.
        obsolete = [row for row in GRID_ROWS if row not in plans and row.removesuffix(GRID) in complete]
        published = _publish_dataset(options, dataset, complete, obsolete)
        for row in obsolete:
            if row.removesuffix(GRID) in published:
                store.remove_runs(results, f"table{options.number}", dataset, row)
    always = [*METRICS, *(metric + ALL for metric in METRICS)]  # which the pages read
    columns = list(dict.fromkeys([*always, *options.list_columns()]))
    # Both tables: a row with one seed borrows the variance between seeds from rows of either.
    texts = {number: write_table(number, results, columns) for number in sorted(set(TABLES.values()))}
    if not (text := texts[options.number]):
        return cli.FAILED
    print(text)
    update_pages(results)
    return 0


def write_table(number: int, results: Path, columns: Sequence[str]) -> str:
    """Write a table from all that is published. Returns it as Markdown, empty without any row."""
    if not (table := collect_published(number, results, columns)):
        return ""
    path, text = results / f"table{number}.md", format_markdown(table, results)
    write_atomic(path, text.encode())
    write_atomic(path.with_suffix(".tex"), format_latex(table).encode())
    write_csv(path.with_suffix(".csv"), format_csv(table.cells))
    return text


def _check_options(options: Options, datasets: Sequence[str], models: Sequence[str]) -> None:
    """Raise UsageError for what a published table has not."""
    check_choices("models", models, MODELS)
    check_choices("datasets", datasets, [name for name, table in TABLES.items() if table == options.number])
    for override in options.overrides:
        if not override.startswith(DATA_KEYS):
            names = ", ".join([*list_names(Options), "dataset.*", "protocol.*", "split_seed"])
            raise UsageError(f"{override} is not for published tables; there are {names}")
    if read_tie_policy(options.overrides) != "expected":
        raise UsageError("protocol.tie_policy: published ties count with their expected value, bounds stand beside it")


def _get_complete(options: Options, planned: Sequence[PlannedRun], findings: Findings) -> list[FoundRun]:
    """Return a model's runs if they may be published, else nothing; print why not."""
    if not planned or findings.failures.keys() & set(planned):
        return []  # without tuned settings, or failed, which is printed already
    row = (Path(options.results), f"table{options.number}", planned[0].dataset, planned[0].model)
    published = len(store.list_published_folders(*row))
    runs = [findings.runs[one] for one in planned if one in findings.runs]
    if published > len(planned):
        reason = f" keeps its {published} published seeds: {len(planned)} are fewer"
    elif len(runs) < len(planned):
        reason = f": not all of {len(planned)} runs are in {options.runs}/"
    elif options.settings == "default" and store.get_published_settings(*row) == "tuned" and not options.replace:
        reason = " keeps its published tuned settings; replace=true replaces them by the default ones"
    else:
        return runs
    print(f"{get_model(planned[0].model).name} on {planned[0].dataset}{reason}", file=sys.stderr)
    return []


def _publish_dataset(
    options: Options, dataset: str, complete: dict[str, list[FoundRun]], obsolete: Sequence[str]
) -> list[str]:
    """Copy the runs of each model, unless other published models have ranked other candidates.

    `obsolete` rows do not count among these. Returns the models that are published now.
    """
    experiment = (Path(options.results), f"table{options.number}", dataset)
    others = [row for row in insert_grid_rows(MODELS) if row not in (*complete, *obsolete)]
    kept = [store.list_published_folders(*experiment, row) for row in others]
    keys = {str(get_instances(load_record(folder / store.RECORD))) for folders in kept for folder in folders}
    published = []
    for model, runs in complete.items():
        if keys - {str(get_instances(run.record)) for run in runs}:
            name = f"{get_model(model).name} on {dataset}"
            print(f"{name} is left out: the other published models have ranked other candidates")
            continue
        store.publish_settings(*experiment, model, options.settings)
        for seed, run in enumerate(runs):
            store.publish_run(run, store.get_published_folder(*experiment, f"{model}-{seed}"))
        published.append(model)
    return published


if __name__ == "__main__":
    sys.exit(cli.main(["publish", *sys.argv[1:]]))
