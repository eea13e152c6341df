"""Figure 6: test hit@10 and NDCG@10 over hops, embedding size and context length.

This ablation has one panel a data set. Every value of an axis is shown, and nothing is chosen by these runs, so that
they may rank the test items. They are the runs of the tables where the settings agree. The runs of a model are made
seed by seed.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.plan import FoundRun, PlannedRun
from sdmr.experiments.core.registry import get_model
from sdmr.experiments.core.store import get_published_folder, lock_results, publish_run
from sdmr.experiments.figures.options import FigureOptions
from sdmr.experiments.figures.runs import describe_missing, find_or_make_runs
from sdmr.experiments.figures.style import add_note, get_line_style, mark_missing, save_figure
from sdmr.experiments.report.hop_points import Point, build_hop_frame, name_point
from sdmr.experiments.report.printed import METRICS

OPTIONS = ("datasets", "models", "seeds", "hops", "dims", "lengths", "train", "publish", "workers")
DIM_SETTINGS = {"sdm": "model.dim", "cmn": "model.gmf.dim"}  # the setting that is d, of the models that have hops
LABELS = {"dim": "embedding size d", "hops": "hops h", "context_length": "context items s"}  # of the axes
LETTERS = {axis: label[-1] for axis, label in LABELS.items()}  # as in the paper
MIN_RANGE = 0.06  # of a panel: about the 95 % interval of a mean over ML-100k's users


def main(options: FigureOptions) -> int:
    """Draw the figure. Returns the exit status."""
    datasets, models = options.datasets or ["ml-100k"], options.models or ["sdm"]
    axes = {"dim": options.dims or [8, 16, 32, 64, 128], "hops": options.hops or [1, 2, 3, 4]}
    if options.lengths:
        axes["context_length"] = options.lengths
    if unknown := [model for model in models if model not in DIM_SETTINGS]:
        raise UsageError(f"models={unknown[0]}: this model has no hops; the figure shows {', '.join(DIM_SETTINGS)}")
    if options.lengths and "cmn" in models:
        raise UsageError("lengths=...: CMN++ reads no context")
    for override in options.overrides:
        if options.lengths and "context_length" in override.partition("=")[0]:
            raise UsageError(f"{override} would make the figure's labels wrong; lengths=... has been given")
    points = plan_points(options, datasets, models, axes)
    runs = find_or_make_runs(options, list(points), options.train)
    if runs:
        frame = build_hop_frame(points, runs)
        figure = draw(list(product(datasets, models)), axes, frame)
        fixed = [f"{LETTERS[axis]} = {values[0]}; " for axis, values in axes.items() if len(values) == 1]
        add_note(figure, "".join(fixed) + describe_runs(points, runs) + options.settings_note)
        save_figure(figure, Path(options.plots), options.file_name, frame)
    if options.publish:
        with lock_results(Path(options.results)):
            for planned, run in runs.items():
                if planned.published and not run.is_published:
                    publish_run(run, planned.published)
    return int(options.train and len(runs) < len(points))


def plan_points(
    options: FigureOptions, datasets: Sequence[str], models: Sequence[str], axes: Mapping[str, Sequence[int]]
) -> dict[PlannedRun, Point]:
    """Plan the runs of the grid, seed by seed. Without context lengths, each data set has its own."""
    points = {}
    contexts = [[f"context_length={length}"] for length in axes.get("context_length", [])] or [[]]
    for seed, dataset, model, context in product(range(options.seeds), datasets, models, contexts):
        fixed = (*context, *options.overrides)
        settings = compose_config([f"model={model}", f"dataset={dataset}", *fixed]).settings
        length = settings["model"].get("context_length")  # how many context items the model reads
        for hops, dim in product(axes["hops"], axes["dim"]):
            name = name_point(model, hops, dim, length, seed)
            folder = (
                None if options.overrides else get_published_folder(Path(options.results), "figure6", dataset, name)
            )
            overrides = (f"model.hops={hops}", f"{DIM_SETTINGS[model]}={dim}", *fixed)
            point = {"dataset": dataset, "model": model, "hops": hops, "dim": dim, "context_length": length}
            points[PlannedRun(model, dataset, seed, overrides, folder)] = point | {"seed": seed}
    return points


def describe_runs(points: Mapping[PlannedRun, Point], runs: Mapping[PlannedRun, FoundRun]) -> str:
    """Describe which seeds the figure shows, and how many of their runs are missing."""
    seeds = sorted({planned.seed for planned in runs})
    spread = "mean over seeds, bars: their standard deviation" if len(seeds) > 1 else f"seed {seeds[0]} alone"
    return spread + describe_missing([planned for planned in points if planned.seed in seeds], runs)


def draw(panels: Sequence[tuple[str, str]], axes: Mapping[str, Sequence[int]], frame: pd.DataFrame) -> Figure:
    """Draw a column of panels a data set and model, a row a metric.

    Points are means over seeds, bars their sample standard deviation.

    Args:
        panels: data set and model of each column.
        axes: the values of each axis. The one with most values is x, the others make the lines.
        frame: the numbers, a row a run.
    """
    x = max(axes, key=lambda axis: len(axes[axis]))
    figure = Figure(figsize=(1.2 + 3.4 * len(panels), 5.6))
    grid = figure.subplots(len(METRICS), len(panels), squeeze=False, sharex="col")
    for (dataset, model), column in zip(panels, grid.T, strict=True):
        rows = frame[(frame["dataset"] == dataset) & (frame["model"] == model)]
        for metric, panel in zip(METRICS, column, strict=True):
            _draw_panel(panel, rows, metric, axes, x)
        column[0].set_title(f"{get_model(model).name} on {dataset}")
        column[-1].set_xlabel(LABELS[x])
    handles: dict[str, Any] = {}  # each label once
    for metric, row in zip(METRICS, grid, strict=True):
        row[0].set_ylabel(f"test {metric}")
        for panel in row:
            for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=min(len(handles), 5))
    return figure


def _draw_panel(panel: Axes, rows: pd.DataFrame, metric: str, axes: Mapping[str, Sequence[int]], x: str) -> None:
    """Draw the lines of a panel, a little apart so that bars stay visible."""
    if rows.empty:
        mark_missing(panel)
    ticks = list(dict.fromkeys(axes[x]))
    others = [axis for axis in axes if axis != x]
    lines = list(product(*(axes[axis] for axis in others)))
    for number, line in enumerate(lines):
        is_line = (rows[others] == list(line)).all(axis=1)
        groups = rows[is_line].groupby(x)[metric].agg(["mean", "std"]).reindex(ticks).dropna(subset="mean")
        if groups.empty:
            continue
        shift = 0.08 * (number - (len(lines) - 1) / 2)
        bars = groups["std"].fillna(0)
        names = [f"{LETTERS[axis]} = {n}" for axis, n in zip(others, line, strict=True) if len(axes[axis]) > 1]
        look = {"capsize": 2, "label": ", ".join(names), **get_line_style(number)}
        positions = [ticks.index(tick) + shift for tick in groups.index]
        panel.errorbar(positions, groups["mean"], yerr=bars if bars.any() else None, **look)
    panel.set_xticks(range(len(ticks)), [str(tick) for tick in ticks])
    panel.set_xlim(-0.5, len(ticks) - 0.5)
    low, high = panel.get_ylim()
    half = max(high - low, MIN_RANGE) / 2  # so that noise over users does not fill the panel
    panel.set_ylim((low + high) / 2 - half, (low + high) / 2 + half)
