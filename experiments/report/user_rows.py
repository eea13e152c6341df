"""Runs of a user's own, as rows beside the published ones."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.finished import find_runs
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.report.compared_rows import ComparedRow, collect_rows

YOURS = "yours"  # the group of these rows


def list_user_rows(names: Sequence[str], results: Path, runs: Path = Path("runs")) -> list[ComparedRow]:
    """Return a row for each data set, model and settings of the named runs.

    Raises UsageError for a run that does not exist, or if none has test metrics.
    """

    def read_dataset(folder: Path) -> str:
        return load_record(folder / RECORD).dataset

    folders = sorted(find_runs("runs", names, runs, results), key=read_dataset)
    rows = [row for _, group in groupby(folders, read_dataset) for row in collect_rows(group)]
    if names and not rows:
        raise UsageError("runs=...: none of these runs has test metrics; make them with test=true")
    return [replace(row, name=f"{row.name} ({YOURS})") for row in rows]
