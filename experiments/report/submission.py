"""Check a submitted result: a description, and records of runs beside the published ones.

A submission is a folder with `description.yaml` and, for each run, DATASET/RUN/ with `record.json` and `ranks.npz`.
`docs/submitting` has an example.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal, cast

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.arguments import flatten
from sdmr.experiments.core.checks import FAILED, NOTE, PASSED, describe_check
from sdmr.experiments.core.deviations import format_deviations
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.finished import find_runs
from sdmr.experiments.core.messages import explain_validation_error, quote
from sdmr.experiments.core.options import Names
from sdmr.experiments.core.plan import FoundRun
from sdmr.experiments.core.record import Metrics, load_record
from sdmr.experiments.core.run_files import RANKS, RECORD
from sdmr.experiments.core.store import publish_run
from sdmr.experiments.report.averages import ALL
from sdmr.experiments.report.comparability import NOT_COMPARABLE, find_usual, mark_rows, read_rows
from sdmr.experiments.report.compared_rows import ComparedRow, collect_rows, explain_other_protocols
from sdmr.experiments.report.documents import describe_deviations
from sdmr.experiments.report.printed import TABLES
from sdmr.experiments.report.published_rows import list_published
from sdmr.harness.metrics import Ranks, TiePolicy
from sdmr.harness.protocol import Protocol
from sdmr.harness.records import compute_run_key, read_ranks

DESCRIPTION = "description.yaml"
MAX_MIB = 10  # of all files, so that a clone of the repository stays small
PROTOCOL = {field.name for field in fields(Protocol)}
TOLERANCE = 1e-6  # between a metric of a record and that of its ranks


class Description(BaseModel):
    """What a submission says of its model, and of how its records were made."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_min_length=1)

    model: str  # its name
    authors: Names
    contact: str  # where questions arrive: an address of e-mail, or of a page of issues
    links: list[Annotated[str, Field(pattern=r"^https?://\S+$")]] = Field(min_length=1)  # to code or paper
    license: str  # of the code
    trials: int = Field(ge=0)  # settings that were tried on each data set, 0 for default ones
    tuned_on: Literal["validation"]  # settings that were chosen on test items cannot be submitted
    commands: Names  # that make the records


def add_runs(folder: Path, results: Path, names: Sequence[str], runs: Path = Path("runs")) -> None:
    """Copy records and ranks of runs into a submission, but no search runs.

    Raises UsageError for a run that does not exist.
    """
    for run in find_runs("runs", names, runs, results):
        record = load_record(run / RECORD)
        if record.test is None:
            print(f"{NOTE}{run} is left out: a search run never ranks the test items")
        else:
            publish_run(FoundRun(run), folder / record.dataset / record.run)


def check_submission(folder: Path, results: Path) -> Iterator[str]:
    """Yield a line for each check of a submission, and notes on its rows.

    Raises UsageError if there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(
            f"submission={quote(folder)}: there is no such folder; runs=[NAME,...] makes it from these runs"
        )
    described = describe_check(DESCRIPTION, lambda: read_description(folder / DESCRIPTION))
    yield described
    tuning = {"trials": read_description(folder / DESCRIPTION).trials} if described.startswith(PASSED) else {}
    yield describe_check(f"files: {_compute_size(folder):.2f} of at most {MAX_MIB} MiB", lambda: check_files(folder))
    paths, intact = sorted(folder.glob(f"*/*/{RECORD}")), []
    for path in paths:
        line = describe_check(f"{path.parent.relative_to(folder)}: record and ranks", partial(check_run, path))
        yield line
        intact += [path.parent] if line.startswith(PASSED) else []
    if not paths:
        yield f"{FAILED}records: there is no {folder}/DATASET/RUN/{RECORD}; runs=[NAME,...] copies records there"
    for parent, runs in groupby(intact, lambda run: run.parent):
        yield from _check_dataset(parent, collect_rows(runs), tuning, results)


def read_description(path: Path) -> Description:
    """Read the description of a submission. Raises DataError if it is missing, damaged or incomplete."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Description.model_validate(content if isinstance(content, dict) else {})
    except ValidationError as error:
        missing = [str(fault["loc"][0]) for fault in error.errors() if fault["type"] == "missing"]
        reason = f"lacks {', '.join(missing)}" if missing else explain_validation_error(error)
        raise DataError(f"{reason}; docs/submitting has an example") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"cannot be read: {quote(cause)}; docs/submitting has an example") from error


def check_files(folder: Path) -> None:
    """Raise DataError for a file that does not belong there, or for too large ones."""
    allowed = {folder / DESCRIPTION, *(run / name for run in folder.glob("*/*") for name in (RECORD, RANKS))}
    others = [path for path in sorted(folder.rglob("*")) if path.is_file() and path not in allowed]
    if others:
        raise DataError(
            f"remove {quote(', '.join(str(path.relative_to(folder)) for path in others))}: expected {DESCRIPTION} and, "
            f"for each run, DATASET/RUN/{RECORD} and {RANKS}, without raw ids or parameters"
        )
    if _compute_size(folder) > MAX_MIB:
        raise DataError("submit fewer runs")


def _compute_size(folder: Path) -> float:
    """Return the size of all files in MiB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def check_run(path: Path) -> None:
    """Raise DataError for a damaged or changed record, or other metrics than its ranks'."""
    record, content = load_record(path), json.loads(path.read_text(encoding="utf-8"))
    if path.parts[-3:-1] != (record.dataset, record.run):
        raise DataError(f"expected the folder {record.dataset}/{record.run}, as in runs/")
    key = compute_run_key(content["config"], record.data, record.source)
    if not record.run.endswith(f"-{key}"):
        raise DataError(f"{RECORD} was changed after the run: its settings, data and code are those of a run {key}")
    named = {name: value for name, value in record.deviations.items() if name in PROTOCOL}
    if named != (deviations := Protocol(**record.config.get("protocol", {})).deviations):
        names = (format_deviations(one) or "none" for one in (named, deviations))
        raise DataError("{} was changed after the run: its deviations name {}, its settings {}".format(RECORD, *names))
    if record.test is None:
        raise DataError("a search run never ranks the test items; make it again with test=true")
    for name, value in flatten(record.config.get("model", {}), "model.").items():
        if isinstance(value, str) and Path(value).is_absolute():
            raise DataError(f"{name}={quote(value)} may hold your name; make the run again with a relative path")
    _check_metrics(record.test, read_ranks(path.with_name(RANKS))[1])
    if record.test_all is not None:
        _check_metrics(record.test_all, read_ranks(path.with_name(RANKS), is_among_all=True)[1], ALL)


def _check_metrics(metrics: Metrics, ranks: Ranks, suffix: str = "") -> None:
    for metric, values in metrics.items():
        for policy, value in values.items():
            computed = float(ranks.compute(metric, cast(TiePolicy, policy)).mean())
            if abs(computed - value) > TOLERANCE:
                name = f"{metric}{suffix} ({policy})"
                raise DataError(f"{name} is {value:.4f} in {RECORD}, but {computed:.4f} by {RANKS}")


def _check_dataset(
    folder: Path, rows: Sequence[ComparedRow], tuning: Mapping[str, int], results: Path
) -> Iterator[str]:
    """Yield whether a data set's rows are comparable with the published ones, and notes."""
    dataset = folder.name
    runs, tunings = read_rows(dataset, results)
    for row in rows:
        name = f"{dataset}, {row.name}"
        searches = {**tunings, name: tuning} if tuning else tunings
        marks = mark_rows(dataset, {**runs, name: row.records}, searches, find_usual(runs))
        notes = {mark.title: mark.detail for mark in marks if mark.row == name}
        faults = [notes.pop(NOT_COMPARABLE)] if NOT_COMPARABLE in notes else []
        if not runs:
            faults.append(f"{results} has no record of {dataset}")
        elif _has_other_users(row, list_published(results, dataset, next(iter(runs)))[0]):
            faults.append(f"{RANKS} has other test instances")
        comparable = f"{name}: comparable with the published rows"
        yield f"{FAILED}{comparable}: {'; '.join(faults)}" if faults else f"{PASSED}{comparable}"
        seeds = ", ".join(str(record.config.get("seed", "unknown")) for record in row.records)
        title = "1 run" if len(row.records) == 1 else f"{len(row.records)} runs with the same settings"
        notes |= {title: f"seed {seeds}", **dict.fromkeys(explain_other_protocols([row]).values(), "")}
        commits = sorted({record.environment.commit or "" for record in row.records})
        if changed := [commit for commit in commits if commit.endswith("+")]:
            notes["Made with uncommitted changes to the suite"] = ", ".join(changed)
        yield from (f"{NOTE}{name}: {title}{f' ({detail})' if detail else ''}" for title, detail in notes.items())
    yield from (f"{NOTE}{line}" for line in describe_deviations(record for row in rows for record in row.records))
    if runs:
        yield f"{NOTE}to compare: sdmr compare 'runs=[{folder},table{TABLES[dataset]}/{dataset}]'"


def _has_other_users(row: ComparedRow, published: Path) -> bool:
    """Tell whether a row has other test instances than a published record."""
    expected = read_ranks(published / RANKS)[0]
    return not all(np.array_equal(read_ranks(run / RANKS)[0], expected) for run in row.folders)
