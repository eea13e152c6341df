"""Tables 3 and 4 on the terminal, and from the published records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from sdmr.experiments.core.options import CommandOptions, Names
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.store import RECORD, published_seeds, published_settings
from sdmr.experiments.report.comparisons import Comparison, Folders, compare_paper_models, mark_cells
from sdmr.experiments.report.frames import DATASETS, METRICS, Cell, make_cells
from sdmr.experiments.report.writers import format_mean, format_metric

DEFAULT_DATASETS = {3: ["ml-100k"], 4: ["ta-feng"]}


class AccuracyOptions(CommandOptions):
    """Which cells of Table 3 or 4 are asked for."""

    datasets: Names | None = Field(None, description="default: ml-100k for Table 3, ta-feng for Table 4")
    models: Names | None = Field(None, description="default: all; names, or classes such as package.Class")
    seeds: int = Field(1, ge=1, description="seeds 0 to n − 1 of each model that draws random numbers")
    settings: Literal["default", "tuned"] = Field("default", description="settings of the models")


@dataclass(frozen=True)
class AccuracyTable:
    """Table 3 or 4, as it is published."""

    number: int
    cells: list[Cell]
    folders: Mapping[str, Folders]  # of the published records, by data set
    comparisons: list[Comparison]

    @property
    def records(self) -> list[Record]:
        return [record for dataset in self.folders for model in MODELS for record in self.load_records(dataset, model)]

    def load_records(self, dataset: str, model: str) -> list[Record]:
        """Return a model's published records, by seed."""
        return [load_record(folder / RECORD) for folder in self.folders[dataset][model]]


def collect_published(number: int, results: Path) -> AccuracyTable:
    """Return Table 3 or 4 as its published records make it: every model on each data set that has a record."""
    experiment = f"table{number}"
    folders = {
        dataset: {model: published_seeds(results, experiment, dataset, model) for model in MODELS}
        for dataset in DATASETS[number]
    }
    folders = {dataset: models for dataset, models in folders.items() if any(models.values())}
    comparisons = [one for dataset, models in folders.items() for one in compare_paper_models(dataset, models)]
    cells = [
        cell
        for dataset, models in folders.items()
        for model, paths in models.items()
        for cell in make_cells(
            number, dataset, model, paths, settings=published_settings(results, experiment, dataset, model)
        )
    ]
    return AccuracyTable(number, mark_cells(cells, comparisons), folders, comparisons)


def read_published_cells(path: Path) -> pd.DataFrame:
    """Read the published table's cells with a value, indexed by data set, model and metric."""
    columns = ["dataset", "model", "metric", "ours", "settings"]
    frame = pd.read_csv(path, usecols=columns) if path.exists() else pd.DataFrame(columns=columns)
    return frame.dropna(subset=["ours"]).set_index(columns[:3])


def format_table(number: int, dataset: str, cells: Sequence[Cell], published: pd.DataFrame, conditions: str) -> str:
    """Return a line for each model: for each metric the paper's value, the published one, and this machine's.

    Args:
        number: The table's number.
        dataset: The data set's name.
        cells: This machine's cells on the data set.
        published: What `read_published_cells` returns.
        conditions: How this machine's runs were made, for the caption.
    """
    is_here = published.index.get_level_values("dataset") == dataset
    settings = ", ".join(sorted(published["settings"][is_here].dropna().unique()))
    lines = [
        f"Table {number}, {dataset}: paper | published{settings and f' ({settings} settings)'} "
        f"| this machine ({conditions}; ± over seeds)"
    ]
    width = max(12, *(len(cell.model) + 2 for cell in cells))
    lines.append(" " * width + "".join(f"{metric:^32}" for metric in METRICS))
    values = published["ours"].to_dict()
    for model in dict.fromkeys(cell.model for cell in cells):
        line = f"{model:{width}}"
        for cell in (cell for cell in cells if cell.model == model):
            known = format_metric(values.get((dataset, model, cell.metric)))
            ours = format_mean(cell.ours, cell.spread, " ±")
            line += f"{format_metric(cell.paper):>6} | {known:>5} | {ours:<14}"
        lines.append(line.rstrip())
    return "\n".join(lines)
