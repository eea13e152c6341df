"""Publish Table 3 or 4 from this machine's runs: `sdmr publish number=3 datasets=[ml-100k] seeds=3 settings=tuned`.

Nothing is trained. The records of models whose runs are complete are copied to `results/`, and the tables are written
from all that is published there. A cell without such runs keeps its published records, and their commit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core import cli
from sdmr.experiments.core.options import UsageError
from sdmr.experiments.core.plan import FoundRun, PlannedRun, find_or_train, plan_runs, read_tie_policy
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.store import RECORD, publish_run, publish_settings, published_folder, published_seeds
from sdmr.experiments.report.accuracy import DEFAULT_DATASETS, AccuracyOptions, collect_published
from sdmr.experiments.report.documents import format_csv, format_latex, format_markdown
from sdmr.experiments.report.frames import DATASETS
from sdmr.experiments.report.writers import write_csv
from sdmr.harness.protocol import Protocol

DATA_KEYS = ("dataset.", "protocol.", "split_seed=")  # the overrides that a published table may have
# The deviations that change test items or candidates; the other options of the protocol only concern training.
CANDIDATE_DEVIATIONS = {field.name for field in fields(Protocol)} - {"select_on", "validation_item"}
CANDIDATE_DEVIATIONS |= {"split_seed", "order"}


class Options(AccuracyOptions):
    number: Literal[3, 4] = Field(3, description="the paper's table")
    runs: str = Field("runs", description="folder of this machine's records")
    results: str = Field("results", description="folder of the published records and tables")
    overrides: list[str] = Field(
        default_factory=list, description="settings of every run: dataset.*, protocol.*, split_seed"
    )


def main(options: Options) -> int:
    datasets, models = options.datasets or DEFAULT_DATASETS[options.number], options.models or list(MODELS)
    _check_options(options, datasets, models)
    results = Path(options.results)
    planned = plan_runs(models, datasets, options.seeds, options.settings, options.overrides)
    findings = find_or_train(planned, Path(options.runs), workers=1, train=False, use_published=False)
    for dataset in datasets:
        complete: dict[str, list[FoundRun]] = {}
        for model in models:
            planned_runs = [one for one in planned if (one.dataset, one.model) == (dataset, model)]
            found_runs = [findings.runs[one] for one in planned_runs if one in findings.runs]
            if not findings.failures.keys() & planned_runs and _is_complete(options, planned_runs, found_runs):
                complete[model] = found_runs
        _publish_dataset(options, dataset, complete)
    table = collect_published(options.number, results)
    if table is None:
        print(f"nothing to publish: no complete runs in {options.runs}/", file=sys.stderr)
        return 1
    path, text = results / f"table{options.number}.md", format_markdown(table, results)
    write_atomic(path, text.encode())
    write_atomic(path.with_suffix(".tex"), format_latex(table).encode())
    write_csv(path.with_suffix(".csv"), format_csv(table.cells))
    print(text)
    return 0


def _check_options(options: Options, datasets: Sequence[str], models: Sequence[str]) -> None:
    if unknown := [model for model in models if model not in MODELS]:
        raise UsageError(f"models=[{','.join(unknown)}]: only models of this suite are published: {', '.join(MODELS)}")
    if others := [o for o in options.overrides if not o.lstrip("+").startswith(DATA_KEYS)]:
        raise UsageError(f"{others[0]}: what is published has the default settings, or the tuned ones")
    if strange := [dataset for dataset in datasets if dataset not in DATASETS[options.number]]:
        allowed = ", ".join(DATASETS[options.number])
        raise UsageError(f"datasets=[{','.join(strange)}]: Table {options.number} has {allowed}")
    if read_tie_policy(options.overrides) != "expected":
        raise UsageError("protocol.tie_policy: published ties count with their expected value, bounds stand beside it")


def _is_complete(options: Options, planned: Sequence[PlannedRun], runs: Sequence[FoundRun]) -> bool:
    """Return whether a model's runs may be published; say why, if not."""
    if not planned:
        return False  # without tuned settings
    model, dataset = planned[0].model, planned[0].dataset
    name = f"{MODELS[model].name} on {dataset}"
    published = published_seeds(Path(options.results), f"table{options.number}", dataset, model)
    if len(published) > len(planned):
        print(f"{name} keeps its {len(published)} published seeds: {len(planned)} are fewer")
        return False
    if len(runs) < len(planned):
        print(f"{name}: not all of {len(planned)} runs are in {options.runs}/")
    return len(runs) == len(planned)


def _publish_dataset(options: Options, dataset: str, complete: dict[str, list[FoundRun]]) -> None:
    """Copy the runs of each model, unless other published models have ranked other candidates."""
    results, experiment = Path(options.results), f"table{options.number}"
    kept = [
        load_record(folder / RECORD)
        for model in MODELS
        if model not in complete
        for folder in published_seeds(results, experiment, dataset, model)
    ]
    keys = {candidate_set_key(record) for record in kept}
    for model, runs in complete.items():
        if keys - {candidate_set_key(run.record) for run in runs}:
            name = f"{MODELS[model].name} on {dataset}"
            print(f"{name} is left out: the other published models have ranked other candidates")
            continue
        publish_settings(results, experiment, dataset, model, options.settings)
        for seed, run in enumerate(runs):
            publish_run(run, published_folder(results, experiment, dataset, f"{model}-{seed}"))


def candidate_set_key(record: Record) -> tuple[Any, ...]:
    """Return what tells a record's test instances and candidates from others, whose users cannot be paired with."""
    deviations = {key: value for key, value in record.deviations.items() if key in CANDIDATE_DEVIATIONS}
    return record.data, record.config.get("split_seed", 0), tuple(sorted(deviations.items()))


if __name__ == "__main__":
    sys.exit(cli.main(["publish", *sys.argv[1:]]))
