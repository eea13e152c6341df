"""The look of all figures, and their files.

The files are PNG, PDF and the numbers as CSV, the same bytes every time.
"""

import io
import textwrap
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdmr.datasets.files import write_atomic
from sdmr.experiments.report.writers import write_csv

# The colors of Okabe and Ito, which color-blind readers can tell apart. In gray, markers and dashes tell lines apart.
COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 2)))

matplotlib.style.use(Path(__file__).with_name("suite.mplstyle"))


def get_line_style(number: int) -> dict[str, Any]:
    """Return color, marker and dashes of the line of that number."""
    index = number % len(COLORS)
    return {"color": COLORS[index], "marker": MARKERS[index], "linestyle": DASHES[index]}


def add_note(figure: Figure, text: str) -> None:
    """Write text under the figure, in lines of its width."""
    lines = textwrap.fill(text, int(19 * figure.get_figwidth()))  # characters of this size in an inch
    figure.supxlabel(lines, fontsize=7, x=0.01, ha="left", color="0.3")


def mark_missing(axes: Axes) -> None:
    """Write into an empty panel that its runs are missing."""
    axes.text(0.5, 0.5, "not run", ha="center", va="center", transform=axes.transAxes, color="0.4")


def save_figure(figure: Figure, folder: Path, name: str, frame: pd.DataFrame) -> None:
    """Write NAME.png, NAME.pdf and, from the frame, NAME.csv.

    They hold no date, so that equal figures are equal files.
    """
    for suffix, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        content = io.BytesIO()
        figure.savefig(content, format=suffix, dpi=150, metadata=metadata)
        write_atomic(folder / f"{name}.{suffix}", content.getvalue())
    write_csv(folder / f"{name}.csv", frame)
    print(f"{folder}/{name}.png, .pdf and .csv")
