"""Tables 3 and 4 from the published records."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import MODELS, PAPER_ROWS, insert_grid_rows
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.core.store import get_published_settings, read_published_tuning
from sdmr.experiments.core.tuned import describe_search
from sdmr.experiments.report.agreement import describe_full_ranking
from sdmr.experiments.report.averages import has_other_targets
from sdmr.experiments.report.cells import drop_unranked, make_cells
from sdmr.experiments.report.comparability import Mark, collect_marks, format_marks
from sdmr.experiments.report.comparisons import compare_paper_models, mark_cells
from sdmr.experiments.report.dataset_check import describe_test_items
from sdmr.experiments.report.dataset_statistics import describe_substitute
from sdmr.experiments.report.places import add_places
from sdmr.experiments.report.printed import DATASETS, FURTHER_DATASETS, TABLES
from sdmr.experiments.report.published_rows import list_published
from sdmr.experiments.report.ranked_rows import read_seed_spreads

DEFAULT_DATASETS = {3: ["ml-100k"], 4: ["ta-feng"]}


@dataclass(frozen=True)
class AccuracyTable:
    """Table 3 or 4, as it is published."""

    number: int
    cells: pd.DataFrame  # the rows of `make_cells` with marks and places
    comparisons: pd.DataFrame  # the rows of `compare_paper_models`
    notes: dict[str, list[str]]  # by data set: what stands under its table
    marks: list[Mark]  # what to know of single rows
    records: dict[str, dict[str, list[Record]]]  # by data set and model

    def list_records(self) -> list[Record]:
        """Return all records of the table."""
        return [one for models in self.records.values() for records in models.values() for one in records]


def describe_protocol(dataset: str, records: Sequence[Record], is_tuned: bool) -> list[str]:
    """Return a line on what cannot be compared with the paper, if anything."""
    if not any(map(has_other_targets, records)):
        return []
    text = (
        f"{dataset}: the test items or candidates are drawn by another rule than in the paper. Values by the paper's "
        "rule are left out."
    )
    if all(record.deviations.get("candidates") == "all" for record in records):
        text += " All metrics are those among all items."
    return [text + (" The tuned settings were chosen under the default protocol." if is_tuned else "")]


def make_published_cells(
    results: Path, dataset: str, model: str, spreads: pd.DataFrame, metrics: Sequence[str]
) -> pd.DataFrame:
    """Return the cells of a model's published records, with the cost of its search."""
    row, printed = (results, f"table{TABLES[dataset]}", dataset, model), FURTHER_DATASETS.get(dataset, dataset)
    paths, settings = list_published(results, dataset, model), get_published_settings(*row)
    cells = make_cells(dataset, model, paths, spreads, settings, printed, metrics)
    return cells.assign(search=describe_search(read_published_tuning(*row)))


def collect_published(
    number: int, results: Path, metrics: Sequence[str], ordered: Sequence[str] | None = None
) -> AccuracyTable | None:
    """Make Table 3 or 4 of its published records: every model on each data set.

    The notes compare the orders of the rows by the metrics `ordered`, by default all.
    """
    cells, comparisons, records, notes = [], [], {}, {}
    spreads, marks = read_seed_spreads(results, metrics), collect_marks(number, results)
    for dataset in DATASETS[number]:
        folders = {model: list_published(results, dataset, model) for model in insert_grid_rows(MODELS)}
        if not any(folders.values()):
            continue
        comparisons.append(compare_paper_models(dataset, folders, spreads))
        for model, paths in folders.items():
            if not paths and model not in PAPER_ROWS:
                continue
            cells.append(make_published_cells(results, dataset, model, spreads, metrics))
        records[dataset] = {m: [load_record(path / RECORD) for path in paths] for m, paths in folders.items()}
        every = [run for runs in records[dataset].values() for run in runs]
        settings = {get_published_settings(results, f"table{number}", dataset, m) for m, p in folders.items() if p}
        notes[dataset] = describe_substitute(dataset) + describe_protocol(dataset, every, "tuned" in settings)
        notes[dataset] += describe_test_items(results, every)
        notes[dataset] += describe_full_ranking(dataset, folders, ordered or metrics)
        notes[dataset] += format_marks(mark for mark in marks if mark.dataset == dataset)
    if not cells:
        return None
    tests = pd.concat(comparisons, ignore_index=True)
    shown = drop_unranked(pd.concat(cells, ignore_index=True))
    return AccuracyTable(number, add_places(mark_cells(shown, tests)), tests, notes, marks, records)
