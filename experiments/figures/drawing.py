"""How figures look, and how they are written: PNG, PDF and the numbers as CSV, the same bytes every time."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdmr.datasets.files import write_atomic

# Okabe and Ito's colours, told apart by colour-blind eyes; in grey, markers and dashes tell the lines apart.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 2)))

matplotlib.rcParams.update(
    {
        "font.size": 9,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "0.9",
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "lines.linewidth": 1.3,
        "lines.markersize": 5,
        "pdf.fonttype": 42,  # as text, not as outlines
    }
)


def style(number: int) -> dict[str, Any]:
    """Colour, marker and dashes of the line of that number."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number % len(DASHES)],
    }


def canvas(width: float, height: float) -> Figure:
    """An empty figure of that size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def note(figure: Figure, text: str) -> None:
    """A line under the figure."""
    if text:
        figure.supxlabel(text, fontsize=7, x=0.01, ha="left", color="0.3")


def is_missing(axes: Axes, text: str) -> None:
    """An empty panel that says what it lacks."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="0.4")


def publish(figure: Figure, folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write NAME.png, NAME.pdf and NAME.csv. Without a date in them, the same figure is the same bytes."""
    for suffix, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        content = io.BytesIO()
        figure.savefig(content, format=suffix, dpi=150, metadata=metadata)
        write_atomic(folder / f"{name}.{suffix}", content.getvalue())
    write_csv(folder / f"{name}.csv", rows)
    print(f"{folder}/{name}.png, .pdf and .csv")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line a row, under a header; numbers with all their digits, nothing for None."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue().encode())
