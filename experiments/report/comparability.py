"""Tell which records can be compared, and what to know of a table's rows."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sdmr.experiments.core.arguments import flatten
from sdmr.experiments.core.config import RunSettings
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.record import Record, load_record, translate_task
from sdmr.experiments.core.registry import MODELS, NAMED_MODELS, get_model, insert_grid_rows
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.core.store import get_published_settings, read_published_tuning
from sdmr.experiments.core.tuned import ENOUGH_TRIALS, count_settings, has_few_trials
from sdmr.experiments.report.averages import is_trained
from sdmr.experiments.report.printed import TABLES
from sdmr.experiments.report.published_rows import list_published
from sdmr.experiments.report.published_sources import is_current
from sdmr.harness.protocol import Protocol

PROTOCOL_DEVIATIONS = {field.name for field in fields(Protocol)} | {"order"}
# The deviations that change test items or candidates; the others concern training, or how ties are read.
CANDIDATE_DEVIATIONS = PROTOCOL_DEVIATIONS - {"select_on", "validation_item", "tie_policy"}
NOT_COMPARABLE = "Not comparable with the other rows"
OTHER_CODE = "Made by other code than this version's"
OLDER_ROW = "made by other code"  # why a row is not comparable with rows of this version
ONE_SEED, UNCOUNTED = "One seed", "The search did not count its trials"
FEW_TRIALS = f"Fewer than {ENOUGH_TRIALS} trials"


class Mark(NamedTuple):
    """What to know of a row of a table."""

    dataset: str
    row: str  # the printed name of the model
    title: str
    detail: str = ""

    @property
    def is_of_other_code(self) -> bool:
        """Tell whether other code than the checkout's made the row."""
        return self.title == OTHER_CODE or self.detail.startswith(OLDER_ROW)


Runs = Mapping[str, Sequence[Record]]  # the records of each model's seeds
Tunings = Mapping[str, Mapping[str, Any]]  # how the settings of each tuned model came about


def get_instances(record: Record, names: Collection[str] = CANDIDATE_DEVIATIONS) -> dict[str, Any]:
    """Return what makes a record's test instances and candidates, without defaults.

    `names` are the deviations that count.
    """
    deviations = {name: value for name, value in sorted(record.deviations.items()) if name in names}
    split_seed = record.config.get("split_seed", 0)
    return {"data": translate_task(record.data), "split_seed": split_seed, **deviations}


def describe_differences(records: Sequence[Record], names: Collection[str] = CANDIDATE_DEVIATIONS) -> list[str]:
    """Return a line for each setting by which test instances or candidates differ.

    It names the values and their runs. Records that can be compared have no such line.
    """
    frame = pd.DataFrame([get_instances(one, names) for one in records], dtype=object)
    if frame["data"].nunique() > 1:
        frame.insert(0, "dataset", [one.dataset for one in records])
    frame = frame.where(frame.notna(), "default").astype(str)
    runs = pd.Series([one.run for one in records])
    lines = []
    for name in frame.columns[frame.nunique() > 1]:
        values = frame[name].str[:12] if name == "data" else frame[name]
        groups = runs.groupby(values, sort=False).agg(lambda group: " and ".join(dict.fromkeys(group)))
        lines.append(f"{name}: {', '.join(f'{value} of {names}' for value, names in groups.items())}")
    return lines


def describe_table(number: int, results: Path) -> tuple[list[str], bool]:
    """Return the marks of a published table, and whether all rows are comparable.

    Raises UsageError if the results have no row of it.
    """
    if not any(read_rows(dataset, results)[0] for dataset, table in TABLES.items() if table == number):
        raise UsageError(f"table={number}: {results} has no published row of it")
    marks = collect_marks(number, results)
    lines = [f"{mark.dataset}, {mark.row}: {mark.title}{f' ({mark.detail})' if mark.detail else ''}" for mark in marks]
    failed = len({mark[:2] for mark in marks if mark.title == NOT_COMPARABLE})
    older = len({mark[:2] for mark in marks if mark.is_of_other_code})
    lines.append(f"rows that are not comparable with the others of their data set: {failed or 'none'}")
    return [*lines, f"rows made by other code than this version's: {older or 'none'}"], not failed


def collect_marks(number: int, results: Path) -> list[Mark]:
    """Return the marks of a published table, and of the data sets beside it."""
    marks = []
    for dataset in (dataset for dataset, table in TABLES.items() if table == number):
        runs, tunings = read_rows(dataset, results)
        marks += mark_rows(dataset, runs, tunings) + mark_sources(dataset, runs)
    return marks


def mark_sources(dataset: str, runs: Runs) -> list[Mark]:
    """Return a mark for each row that other code than the checkout's has made.

    Such a row is not comparable with rows of the checkout's code.
    """
    others = {model: [one for one in seeds if not is_current(one)] for model, seeds in runs.items()}
    is_mixed = any(not others[model] for model in runs)
    marks = []
    for model, records in others.items():
        if not records:
            continue
        commits = sorted({one.environment.commit or "unknown" for one in records})
        detail = f"commit {', '.join(commits)}"
        pair = (NOT_COMPARABLE, f"{OLDER_ROW}, {detail}") if is_mixed else (OTHER_CODE, detail)
        marks.append(Mark(dataset, get_model(model).name, *pair))
    return marks


def read_rows(dataset: str, results: Path) -> tuple[Runs, Tunings]:
    """Return a data set's published records by model, and how tuned settings came about."""
    folders = {model: list_published(results, dataset, model) for model in insert_grid_rows(MODELS)}
    runs = {model: [load_record(path / RECORD) for path in paths] for model, paths in folders.items() if paths}
    experiment = (results, f"table{TABLES.get(dataset)}", dataset)
    tuned = [model for model in runs if get_published_settings(*experiment, model) == "tuned"]
    return runs, {model: read_published_tuning(*experiment, model) for model in tuned}


def find_usual(runs: Runs) -> Record | None:
    """Return a record with the data and protocol of most records, None without any."""
    records = [record for seeds in runs.values() for record in seeds]
    keys = [str(get_instances(record, PROTOCOL_DEVIATIONS)) for record in records]
    return records[keys.index(Counter(keys).most_common(1)[0][0])] if records else None


def mark_rows(dataset: str, runs: Runs, tunings: Tunings, usual: Record | None = None) -> list[Mark]:
    """Return the marks of a data set's rows.

    A model without tuning has default settings. The rows must be comparable with `usual`, by default the usual record.
    """
    usual = usual or find_usual(runs)
    # A grid is all that can be tried.
    sampled = [tuning for tuning in tunings.values() if tuning.get("search") != "grid"]
    most = max((tuning.get("trials", 0) for tuning in sampled), default=0)
    marks = []
    for model, seeds in runs.items():
        pairs: list[tuple[str, str]] = []
        if usual and (lines := describe_differences([usual, *seeds], PROTOCOL_DEVIATIONS)):
            pairs.append((NOT_COMPARABLE, "; ".join(lines)))
        if model in tunings:
            pairs += _mark_search(tunings[model], most)
        elif tunings and model in NAMED_MODELS:  # a class of the user's own has no others
            pairs.append((NOT_COMPARABLE, "default settings beside tuned ones"))
        pairs += _mark_seeds(model, seeds)
        marks += [Mark(dataset, get_model(model).name, *pair) for pair in pairs]
    return marks


def _mark_search(tuning: Mapping[str, Any], most: int) -> Iterator[tuple[str, str]]:
    """Yield the marks of a search. A row that has tried its whole space needs no further trials."""
    trials, size = tuning.get("trials"), count_settings(tuning)
    if source := tuning.get("transferred"):
        yield "Tuned on another data set", source
    elif trials is None:
        yield UNCOUNTED, ""
    elif has_few_trials(tuning):
        yield FEW_TRIALS, str(trials)
    elif trials < min(size, most):
        yield f"Fewer than the {most} trials of other rows", str(trials)
    for key, title in {"edges": "The best setting is at an edge", "beyond_paper": "Not in the paper's grid"}.items():
        if tuning.get(key):
            yield title, ", ".join(axis.removeprefix("model.") for axis in tuning[key])


def _mark_seeds(model: str, seeds: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Yield the marks of a row's records."""
    usual, patience = RunSettings().patience, flatten(seeds[0].config).get("model.optimization.patience")
    if patience not in (None, usual):
        yield f"Training stops after other than {usual} epochs without a better one", str(patience)
    if len(seeds) == 1 and is_trained(model, seeds[0]):
        yield ONE_SEED, ""
    titles = {
        "The best epoch is among the last five allowed, so that more might help": [
            one for one in seeds if one.best_among_last_5_allowed
        ],
        "The best epoch is the start, before training": [one for one in seeds if one.best_epoch == 0],
    }
    for title, marked in titles.items():
        if marked:
            yield title, f"seed {', '.join(str(one.config['seed']) for one in marked)}"


def format_marks(marks: Iterable[Mark]) -> list[str]:
    """Return a line for each title, with the rows that have it."""
    rows: dict[str, list[str]] = {}
    for mark in marks:
        rows.setdefault(mark.title, []).append(f"{mark.row}{f' ({mark.detail})' if mark.detail else ''}")
    return [f"{title}: {', '.join(names)}." for title, names in rows.items()]
