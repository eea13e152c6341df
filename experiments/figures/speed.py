"""Speed against quality: test NDCG@10 over the seconds that training took, one mark a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from sdmr.experiments.core.messages import describe_threads
from sdmr.experiments.core.registry import get_model
from sdmr.experiments.figures.options import FigureOptions
from sdmr.experiments.figures.runs import find_table_runs
from sdmr.experiments.figures.style import add_note, get_line_style, save_figure
from sdmr.experiments.report.averages import list_rows
from sdmr.experiments.report.run_frames import average_speed, build_speed, get_group

OPTIONS = ("dataset", "models", "seeds", "settings")
FONT_SIZE = 8


def main(options: FigureOptions) -> int:
    """Draw the figure. Returns the exit status."""
    runs, missing = find_table_runs(options)
    frame = build_speed(runs)
    if not frame.empty:
        machines = sorted(set(zip(frame["processor"], frame["threads"], strict=True)), key=str)
        names = [f"{processor}, {describe_threads(threads)}" for processor, threads in machines]
        text = f"{options.dataset}; {'; '.join(names)}; seconds include the choice of the epoch and pre-trained parts"
        figure = draw(frame, text + missing + options.settings_note)
        save_figure(figure, Path(options.plots), options.file_name, frame)
    return 0


def draw(frame: pd.DataFrame, text: str) -> Figure:
    """Draw a mark a model: means over seeds, bars their sample standard deviation both ways."""
    means = average_speed(frame)
    means["name"] = [get_model(model).name for model in means["model"]]
    means["group"] = means["name"].map(get_group)
    marks = list_rows(means)
    figure = Figure(figsize=(6.4, 4.4))
    axes = figure.subplots()
    groups = sorted(means["group"].unique())
    for mark in marks:
        look = get_line_style(groups.index(mark.group)) | {"linestyle": "none", "capsize": 2, "label": mark.group}
        axes.errorbar(mark.x, mark.y, xerr=mark.dx or None, yerr=mark.dy or None, **look)
    axes.set_xscale("log")
    axes.margins(0.12)
    axes.set_xlabel("seconds to train (log scale)")
    axes.set_ylabel("test NDCG@10")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(handles.values(), handles.keys(), loc="lower right")
    add_note(figure, text)
    figure.draw_without_rendering()  # so that the axes have their final size
    label_marks(axes, marks)
    return figure


def label_marks(axes: Axes, marks: Sequence[Any]) -> None:
    """Write each name beside its mark, at the first free position of some.

    The axes must have their final size: what is free is found in pixels.

    Args:
        axes: The axes of the marks.
        marks: `name`, `x`, `y` and the lengths `dx` and `dy` of the bars of each mark, in data coordinates.
    """
    pixels = axes.figure.dpi / 72  # a point
    taken = []
    for mark in marks:
        across = [(max(mark.x - mark.dx, mark.x / 10), mark.y), (mark.x + mark.dx, mark.y)]
        upright = [(mark.x, mark.y - mark.dy), (mark.x, mark.y + mark.dy)]
        taken += [Bbox(axes.transData.transform(ends)).padded(4 * pixels) for ends in (across, upright)]
    angles = np.deg2rad([0, 180, 90, 270, 45, 135, 225, 315])
    offsets = [(radius * np.cos(a), radius * np.sin(a)) for radius in (8, 14, 20, 28, 36) for a in angles]
    for mark in marks:
        middle = axes.transData.transform((mark.x, mark.y))
        size = np.array([0.6 * len(mark.name), 1.2]) * FONT_SIZE * pixels  # about that of the text
        for x, y in offsets:
            side, share = ("left", 0.0) if x > 1e-6 else ("right", 1.0) if x < -1e-6 else ("center", 0.5)
            corner = middle + pixels * np.array([x, y]) - (share, 0.5) * size
            box = Bbox([corner, corner + size]).padded(2 * pixels)
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
        line: dict[str, Any] = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.5, "shrinkB": 4}
        text: dict[str, Any] = {"textcoords": "offset points", "ha": side, "va": "center", "fontsize": FONT_SIZE}
        axes.annotate(mark.name, (mark.x, mark.y), (x, y), arrowprops=line, **text)
