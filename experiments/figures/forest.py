"""A forest plot: differences with their intervals, one line a pair, one panel a metric."""

import textwrap

import pandas as pd
from matplotlib.figure import Figure

from sdmr.experiments.figures.style import add_note
from sdmr.experiments.report.averages import list_rows
from sdmr.experiments.report.places import is_lower_better
from sdmr.experiments.report.uncertainty import ALPHA

LABEL_WIDTH = 40  # characters of a line


def draw_forest(differences: pd.DataFrame, note: str) -> Figure:
    """Draw the rows of `compare_with_first`, of one stratum. A filled mark has a corrected p below .05."""
    metrics = list(differences["metric"].unique())
    labels = differences["baseline"] + differences["range"].map(lambda part: f", {part}" if part else "")
    labels = labels.map(lambda label: textwrap.fill(label, LABEL_WIDTH))
    lines = {label: -number for number, label in enumerate(labels.unique())}
    n_rows = sum(1 + label.count("\n") for label in lines)
    width = 0.6 + 0.08 * max(len(line) for label in lines for line in label.split("\n"))  # of the labels
    figure = Figure(figsize=(width + 2.4 * len(metrics), 1.4 + 0.24 * n_rows))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for label, one in zip(labels, list_rows(differences), strict=True):
            if one.metric == metric:
                fill = "black" if one.corrected < ALPHA else "white"
                look = {"fmt": "o", "color": "black", "markerfacecolor": fill, "capsize": 2}
                reach = [[one.difference - one.low], [one.high - one.difference]]
                axes.errorbar(one.difference, lines[label], xerr=reach, **look)
        axes.axvline(0, color="0.4", linestyle="--", linewidth=0.8)
        axes.set_title(f"{metric} (lower is better)" if is_lower_better(metric) else metric)
        axes.set_xlabel(f"{differences['model'].iloc[0]} − row", parse_math=False)
        axes.set_yticks(list(lines.values()), list(lines), parse_math=False)
        axes.set_ylim(0.5 - len(lines), 0.5)
    add_note(figure, f"{note}; bars: 95 % intervals; filled: p < .05 after Holm's correction")
    return figure
