"""The folders of published rows."""

from pathlib import Path

from sdmr.experiments.core.registry import GRID, GRID_ROWS
from sdmr.experiments.core.store import list_published_folders
from sdmr.experiments.report.printed import TABLES


def list_published(results: Path, dataset: str, model: str) -> list[Path]:
    """Return the folders of a model's published records, by seed."""
    return list_published_folders(results, f"table{TABLES[dataset]}", dataset, model) if dataset in TABLES else []


def select_row(results: Path, dataset: str, model: str) -> str:
    """Return the row that claims are judged on: inside the paper's grid, if published."""
    row = f"{model}{GRID}"
    return row if row in GRID_ROWS and list_published(results, dataset, row) else model
