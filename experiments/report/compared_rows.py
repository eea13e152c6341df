"""The rows of a comparison: records of the same test instances, by their settings."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sdmr.experiments.core.arguments import flatten
from sdmr.experiments.core.messages import quote
from sdmr.experiments.core.record import Record, load_record, translate_task
from sdmr.experiments.core.registry import GRID_ROWS, NAMED_MODELS, get_model
from sdmr.experiments.core.run_files import RANKS, RECORD
from sdmr.harness.protocol import Protocol
from sdmr.harness.records import read_ranks

INSTANCE_OPTIONS = [f"protocol.{name}" for name in ("test_item", "equal_times", "test_cut", "validation_cut")]
INSTANCE_OPTIONS.append("split_seed")
SHOWN_SETTINGS = 3  # that tell rows of one model apart; more of them are named by the run


@dataclass(frozen=True)
class ComparedRow:
    """The records of one model with the same settings, a seed each."""

    name: str  # as it is printed
    model: str  # name on the command line, a user's class, or the name of scores that were made elsewhere
    folders: tuple[Path, ...]
    records: tuple[Record, ...]


def collect_rows(folders: Iterable[Path]) -> list[ComparedRow]:
    """Read the records in folders, and group those that differ in their seed alone.

    Copies of a record count once. Seeds that occur twice, made by different code, are rows of their own. Search runs
    are reported and left out.
    """
    records: dict[str, tuple[Path, Record]] = {}
    for folder in folders:
        record = load_record(folder / RECORD)
        records.setdefault(record.run, (folder, record))
    if search_runs := [run for run, (_, record) in records.items() if record.test is None]:
        print(f"{len(search_runs)} search runs are left out: with test=false, they never rank the test items")
        records = {run: one for run, one in records.items() if run not in search_runs}
    groups: dict[str, list[tuple[Path, Record]]] = defaultdict(list)
    for folder, record in records.values():
        key = [record.model, _list_settings(record), translate_task(record.data)]
        groups[json.dumps(key, sort_keys=True)].append((folder, record))
    rows = [_make_row(part) for group in groups.values() for part in _split_by_code(group)]
    return [replace(row, name=name) for row, name in zip(rows, _tell_apart(rows), strict=True)]


def _list_settings(record: Record) -> dict[str, Any]:
    return {key: value for key, value in record.config.items() if key != "seed"}


def _split_by_code(group: list[tuple[Path, Record]]) -> list[list[tuple[Path, Record]]]:
    seeds = Counter(record.config.get("seed") for _, record in group)
    if max(seeds.values()) == 1:
        return [sorted(group, key=lambda one: one[1].config.get("seed", 0))]
    parts: dict[str, list[tuple[Path, Record]]] = defaultdict(list)
    for folder, record in group:
        parts[record.source].append((folder, record))
    return list(parts.values())


def _make_row(group: Sequence[tuple[Path, Record]]) -> ComparedRow:
    folders, records = zip(*group, strict=True)
    config, first = records[0].config, records[0]
    if not first.validation:  # scores that were made elsewhere
        return ComparedRow(first.model, first.model, folders, records)
    model, row = find_model_name(config.get("model", {"_target_": first.model})), folders[0].name.rpartition("-")[0]
    if row in GRID_ROWS:  # published; its class and tuned settings do not tell it apart
        return ComparedRow(get_model(row).name, model, folders, records)
    return ComparedRow(get_model(model).name if model in NAMED_MODELS else first.class_name, model, folders, records)


def find_model_name(config: dict[str, Any]) -> str:
    """Return the name of a configured model, or the path of a user's class."""

    def count_settings(name: str) -> int:
        expected, actual = flatten(NAMED_MODELS[name].settings), flatten(config)
        return len(expected) if expected.items() <= actual.items() else -1

    names = [name for name, model in NAMED_MODELS.items() if model.target == config["_target_"]]
    return max(names, key=count_settings, default=config["_target_"])


def _tell_apart(rows: Sequence[ComparedRow]) -> Iterator[str]:
    """Yield the names of rows. Those of one name get their differing settings, or the key of a run."""
    for row in rows:
        same = [flatten(_list_settings(one.records[0])) for one in rows if one.name == row.name]
        every = dict.fromkeys(key for settings in same for key in settings)
        keys = [key for key in every if len({json.dumps(settings.get(key)) for settings in same}) > 1]
        settings, record = flatten(_list_settings(row.records[0])), row.records[0]
        texts = [f"{key.removeprefix('model.')}={quote(settings.get(key))}" for key in keys if key in settings]
        if len(same) == 1:
            yield row.name
        elif 0 < len(texts) <= SHOWN_SETTINGS and [one for one in same if one == settings] == [settings]:
            yield f"{row.name}, {', '.join(texts)}"
        else:
            yield f"{row.name}, {record.run.rpartition('-')[2]}"


def explain_other_instances(rows: Sequence[ComparedRow]) -> Iterator[str]:
    """Yield how each record of other test instances differs from the first one."""
    first = rows[0]
    for row in rows:
        for folder, record in zip(row.folders, row.records, strict=True):
            if faults := _list_faults(first.folders[0], first.records[0], folder, record):
                yield f"{row.name} ({folder}): {'; '.join(faults)}"


def _list_faults(first_folder: Path, first: Record, folder: Path, record: Record) -> list[str]:
    if translate_task(record.data) == translate_task(first.data):
        return []
    is_known = first.test_items is not None and record.test_items is not None
    if is_known and first.test_items == record.test_items:
        return []
    ours, theirs = (_list_instance_settings(one) for one in (first, record))
    if record.dataset != first.dataset:
        ours, theirs = {"dataset": first.dataset}, {"dataset": record.dataset}
    faults = _list_changes(ours, theirs)
    expected, users = (read_ranks(one / RANKS)[0] for one in (first_folder, folder))
    if len(users) != len(expected):
        faults.append(f"{len(users):,} test instances, not {len(expected):,}")
    elif not np.array_equal(users, expected):
        faults.append("test instances of other users")
    if faults:
        return faults
    reason = (
        "the raw data or the code that splits them has changed; make the older run again"
        if is_known or _read_protocol(first).split_options == _read_protocol(record).split_options
        else "an older record does not name its test items, so they may differ; make it again"
    )
    return [f"data hash {record.data[:12]}, not {first.data[:12]}: {reason}"]


def ranks_all_items(row: ComparedRow) -> bool:
    """Tell whether a row's records rank the targets among all items alone."""
    return _read_protocol(row.records[0]).candidates == "all"


def have_same_candidates(first: ComparedRow, row: ComparedRow) -> bool:
    """Tell whether two rows of the same test items have the same sampled candidates."""
    if ranks_all_items(first) or ranks_all_items(row):
        return False
    records = [*first.records, *row.records]
    digests = {record.test_candidates for record in records}
    return len({translate_task(record.data) for record in records}) == 1 or (len(digests) == 1 and None not in digests)


def _list_instance_settings(record: Record) -> dict[str, Any]:
    protocol = _list_protocol(record)
    settings = {"dataset": record.dataset} | flatten(record.config.get("dataset", {}), "dataset.")
    return settings | {name: protocol[name] for name in INSTANCE_OPTIONS}


def _read_protocol(record: Record) -> Protocol:
    return Protocol(**record.config.get("protocol", {}))


def _list_changes(expected: dict[str, Any], actual: dict[str, Any]) -> list[str]:
    keys = [key for key in expected | actual if expected.get(key) != actual.get(key)]
    return [f"{key} {quote(actual.get(key))}, not {quote(expected.get(key))}" for key in keys]


def explain_other_protocols(rows: Sequence[ComparedRow]) -> dict[str, str]:
    """Return by name why rows are not comparable with the first.

    Or why their seeds are not with each other.
    """
    first, reasons = rows[0].records[0], {}
    expected = _list_protocol(first)
    for row in rows:
        texts = [text for record in row.records for text in _list_changes(expected, _list_protocol(record))]
        if not texts and translate_task(row.records[0].data) != translate_task(first.data):
            texts.append("trained or validated on other data")
        if len({record.source for record in row.records}) > 1:
            commits = sorted({record.environment.commit or "unknown" for record in row.records})
            texts.append(f"made by different code ({', '.join(commits)})")
        if texts:
            reasons[row.name] = "; ".join(dict.fromkeys(texts))
    return reasons


def explain_difference(first: ComparedRow, row: ComparedRow) -> str:
    """Return why a row is not comparable with the first one, or nothing.

    For ranks among all items, the sampled candidates do not matter.
    """
    if faults := _list_faults(first.folders[0], first.records[0], row.folders[0], row.records[0]):
        return "; ".join(faults)
    is_full = ranks_all_items(row)
    ignored = {"protocol.candidates"} if is_full else set()
    expected, actual = (
        {key: value for key, value in _list_protocol(one.records[0]).items() if key not in ignored}
        for one in (first, row)
    )
    changes = _list_changes(expected, actual)
    return "; ".join(changes) or ("" if is_full or have_same_candidates(first, row) else "other candidates")


def _list_protocol(record: Record) -> dict[str, Any]:
    protocol = {f"protocol.{name}": value for name, value in asdict(_read_protocol(record)).items()}
    return protocol | {"split_seed": record.config.get("split_seed", 0)}
