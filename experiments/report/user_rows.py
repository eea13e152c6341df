"""Runs of a user's own, as rows beside the published ones."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdmr.experiments.core.deviations import format_deviations
from sdmr.experiments.core.options import UsageError
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.store import RECORD
from sdmr.experiments.publish import get_candidate_key
from sdmr.experiments.recommend import find_run

YOURS = "yours"  # the group of these rows


@dataclass(frozen=True)
class UserRow:
    """The records of one model with the same settings, a seed each."""

    name: str  # as it is printed
    folders: list[Path]
    records: list[Record]


def list_user_rows(names: Sequence[str], runs: Path = Path("runs")) -> list[UserRow]:
    """Return a row for each model and settings of the named runs.

    Raises UsageError for a run that does not exist, or has no test metrics.
    """
    groups: dict[str, list[tuple[Path, Record]]] = {}
    for folder in dict.fromkeys(find_run(name, runs) for name in names):
        record = load_record(folder / RECORD)
        if record.test is None:
            raise UsageError(f"runs={folder}: this search run has no test metrics; make it with test=true")
        settings = {key: value for key, value in record.config.items() if key != "seed"}
        key = json.dumps([record.model, record.dataset, record.data, record.source, settings])
        groups.setdefault(key, []).append((folder, record))
    rows = [sorted(group, key=lambda one: one[1].config.get("seed", 0)) for group in groups.values()]
    titles = [(row[0][1].dataset, row[0][1].class_name) for row in rows]
    made = []
    for (_, name), row in zip(titles, rows, strict=True):
        folders, records = zip(*row, strict=True)
        note = f", {records[0].run}" if titles.count((records[0].dataset, name)) > 1 else ""
        made.append(UserRow(f"{name} ({YOURS}{note})", list(folders), list(records)))
    return made


def explain_difference(record: Record, other: Record) -> str:
    """Return why two records cannot be compared, or nothing if they can."""
    if get_candidate_key(record) == get_candidate_key(other):
        return ""
    deviations = format_deviations(record.deviations)
    return f"other test items or candidates than the other rows{f': {deviations}' if deviations else ''}"
