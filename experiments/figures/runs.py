"""The runs that a figure shows: found, made if they are missing, or reported."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.plan import FoundRun, PlannedRun, find_or_train, plan_runs, report_missing
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.store import published_folder, published_settings
from sdmr.experiments.figures.options import FigureOptions
from sdmr.experiments.report.frames import DATASETS


def find_runs(options: FigureOptions, planned: Sequence[PlannedRun], train: bool) -> dict[PlannedRun, FoundRun]:
    """Return the planned runs that have a record, in the order planned, and report the others.

    Raises UsageError for settings that no run can have.
    """
    for one in planned[:1]:
        compose_config(one.overrides)
    findings = find_or_train(planned, Path(options.runs), options.workers, train)
    report_missing(planned, findings)
    if not findings.runs:
        print(f"{options.file_name} is not drawn: none of its runs exists")
    return findings.runs


def missing_note(planned: Collection[PlannedRun], runs: Collection[PlannedRun]) -> str:
    """Return the words under a figure on how many of its runs are missing."""
    count = len(planned) - len(runs)
    return f"; {count} of {len(planned)} runs are missing" if count else ""


def plan_table_runs(options: FigureOptions) -> list[PlannedRun]:
    """Plan the runs behind Table 3 or 4, for the figures that show all models."""
    planned = plan_runs(
        options.models or list(MODELS), [options.dataset], options.seeds, options.settings, options.overrides
    )
    return [replace(one, published=_find_published(options, one)) for one in planned]


def _find_published(options: FigureOptions, planned: PlannedRun) -> Path | None:
    """Return the folder of a run's published record; None if its settings are others."""
    results = Path(options.results)
    experiment = "table4" if planned.dataset in DATASETS[4] else "table3"
    settings = published_settings(results, experiment, planned.dataset, planned.model)
    if options.overrides or settings != options.settings:
        return None
    return published_folder(results, experiment, planned.dataset, f"{planned.model}-{planned.seed}")
