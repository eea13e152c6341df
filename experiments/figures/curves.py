"""Learning curves of every trained model: validation NDCG@10 and training loss by epoch."""

import math
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sdmr.experiments.core.registry import get_model
from sdmr.experiments.figures.options import FigureOptions
from sdmr.experiments.figures.runs import find_table_runs
from sdmr.experiments.figures.style import add_note, get_line_style, save_figure
from sdmr.experiments.report.run_frames import build_curves

OPTIONS = ("dataset", "models", "seeds", "settings")
COLUMNS = 4


def main(options: FigureOptions) -> int:
    """Draw the figure. Returns the exit status."""
    runs, missing = find_table_runs(options)
    frame = build_curves(runs)
    if runs and frame.empty:
        print(f"{options.file_name} is not drawn: no run of it was trained by epochs")
    elif runs:
        figure = draw(frame)
        text = f"{options.dataset}; mark: the epoch that is kept, the best by validation NDCG@10"
        add_note(figure, text + missing + options.settings_note)
        save_figure(figure, Path(options.plots), options.file_name, frame)
    return 0


def draw(frame: pd.DataFrame) -> Figure:
    """Draw two panels a model, one above the other.

    A line is a seed. Its mark is the epoch that is kept.
    """
    models = frame["model"].unique()
    columns = min(COLUMNS, len(models))
    lines = math.ceil(len(models) / columns)
    figure = Figure(figsize=(1.0 + 2.4 * columns, 0.6 + 2.8 * lines))
    grid = figure.add_gridspec(2 * lines, columns)
    above: Axes | None = None
    handles = {}  # by seed, of all models
    for number, model in enumerate(models):
        line, column = divmod(number, columns)
        above = figure.add_subplot(grid[2 * line, column], sharey=above)
        below = figure.add_subplot(grid[2 * line + 1, column], sharex=above)
        for seed, curve in frame[frame["model"] == model].groupby("seed", sort=False):
            look = {"markevery": curve["is_best"].tolist(), "label": f"seed {seed}", **get_line_style(int(seed))}
            for axes, value in ((above, "validation"), (below, "loss")):
                handles[seed] = axes.plot(curve["epoch"], curve[value], **look)[0]
                axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        below.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
        above.set_title(get_model(model).name)
        above.tick_params(labelbottom=False)
        if column == 0:
            above.set_ylabel("validation\nNDCG@10")
            below.set_ylabel("loss per\npositive")
        if number + columns >= len(models):
            below.set_xlabel("epoch")
    figure.legend(handles=[handles[seed] for seed in sorted(handles)], loc="outside upper center", ncols=8)
    return figure
