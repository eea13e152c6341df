"""Write numbers, Markdown tables and CSV files, in one way everywhere."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from pathlib import Path

import pandas as pd

from sdmr.datasets.files import write_atomic
from sdmr.experiments.report.stats import PairedTest

NOTHING = "–"


def format_metric(value: float | None) -> str:
    """Return three decimals, a dash for None."""
    return NOTHING if value is None else f"{value:.3f}"


def format_mean(mean: float | None, spread: float | None, plus_minus: str = " ± ") -> str:
    """Return a mean and, if it is known, its spread over seeds."""
    return format_metric(mean) + ("" if spread is None else f"{plus_minus}{spread:.3f}")


def format_percent(value: float | None) -> str:
    """Return a gain in percent, a dash for None."""
    return NOTHING if value is None else f"{value:+.1f} %"


def format_p_value(p: float, equals: str = "") -> str:
    """Return two digits after `equals`, or a bound for what is too small to tell from 0."""
    return f"{equals}{p:.2g}" if p else "< 1e-300"


def format_difference(test: PairedTest) -> str:
    """Return a difference of two models and its 95 % interval."""
    return f"{test.difference:+.3f} ({test.low:+.3f} … {test.high:+.3f})"


def markdown_table(rows: pd.DataFrame | Iterable[Mapping[str, object]], right: Container[str] = ()) -> str:
    """Return rows as a Markdown table.

    Args:
        rows: A frame, or a mapping of column to cell for each row. Cells are written as they are, missing ones empty.
        right: Columns to align right.
    """
    frame = pd.DataFrame(rows if isinstance(rows, pd.DataFrame) else list(map(dict, rows)), dtype=object)
    cells = frame.where(frame.notna(), "").map(lambda cell: str(cell).replace("|", r"\|"))
    sides = ["right" if column in right else "left" for column in cells.columns]
    return cells.to_markdown(index=False, tablefmt="pipe", disable_numparse=True, colalign=sides)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame without its index. Cells that need a number of decimals are strings."""
    write_atomic(path, frame.to_csv(index=False, lineterminator="\n").encode())
