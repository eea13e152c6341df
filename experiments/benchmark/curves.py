"""Draw the figures of the speed benchmark.

One shows the seconds of a training step over sizes, the other those of an epoch of every model trained by gradient.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sdmr.experiments.core.messages import describe_threads
from sdmr.experiments.core.registry import get_model
from sdmr.experiments.figures.style import add_note, get_line_style, save_figure

AXES = {
    "items": "items",
    "users": "users",
    "history": "items of a user",
    "dim": "embedding size d",
    "context_length": "context items s",
    "hops": "hops",
}
EPOCH_ENTRIES = ("train", "step vs plain", "step vs RecBole", "epoch vs released")
N_POSITIVES = 98_114  # of an epoch of ML-100k


def draw_curves(entries: Sequence[Mapping[str, Any]], folder: Path, name: str, machine: str) -> None:
    """Write NAME.png, .pdf and .csv of the growth, from the entries of bench.json."""
    growth = [entry for entry in entries if entry["name"].startswith("growth ")]
    points = pd.DataFrame([point for entry in growth for point in _list_points(entry)])
    figure = Figure(figsize=(9.6, 6.0))
    for axes, (axis, label) in zip(figure.subplots(2, 3).flat, AXES.items(), strict=True):
        panel = points[points["axis"] == axis]
        for number, (line, rows) in enumerate(panel.groupby("line", sort=False)):
            axes.plot(rows["value"], rows["seconds"], label=line, **get_line_style(number))
        axes.set(xlabel=label, ylabel="seconds a training step", yscale="log")
        ticks = sorted(panel["value"].unique())
        axes.set_xscale("linear" if axis == "hops" else "log")
        axes.set_xticks(ticks, [f"{value:,}" for value in ticks])
        axes.minorticks_off()
        axes.set_ylim(top=axes.get_ylim()[1] * 2)  # room for the legend
        axes.legend(fontsize=7, loc="upper left")
    add_note(figure, f"Steps of 256 positives with 4 negatives. Random data. {_describe(entries, machine)}")
    save_figure(figure, folder, name, points)


def draw_epochs(entries: Sequence[Mapping[str, Any]], folder: Path, name: str, machine: str) -> None:
    """Write NAME.png, .pdf and .csv of the seconds of an epoch by model and program."""
    rows = [row for entry in entries if _shows_epoch(entry) for row in _list_programs(entry)]
    frame = pd.DataFrame(rows).drop_duplicates(["model", "program"])  # the first is measured beside the literal oracle
    models = list(dict.fromkeys(frame["model"]))[::-1]
    figure = Figure(figsize=(6.4, 1.2 + 0.3 * len(models)))
    axes = figure.subplots()
    for number, (program, marks) in enumerate(frame.groupby("program", sort=False)):
        positions = [models.index(model) for model in marks["model"]]
        axes.plot(marks["seconds"], positions, **get_line_style(number) | {"linestyle": "none"}, label=program)
    axes.set_yticks(np.arange(len(models)), models)
    axes.set(xscale="log", xlabel="seconds an epoch of ML-100k's size (log scale)")
    figure.legend(loc="outside upper left", ncols=3, fontsize=7)
    note = "Random data; models of several parts: the last one's epoch."
    add_note(figure, f"{note} {_describe(entries, machine)}")
    save_figure(figure, folder, name, frame)


def _shows_epoch(entry: Mapping[str, Any]) -> bool:
    return entry["name"] in EPOCH_ENTRIES and "size" not in entry["setting"]


def _list_programs(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the seconds of an epoch of the suite, and of its reference, if any."""
    setting, length = entry["setting"], entry["setting"].get("context_length")
    model = get_model(setting["model"]).name + (f", windows of {length}" if length else "")
    ranking = ", with ranking" if entry["name"] == "epoch vs released" else ""
    costs = {"this suite": entry["seconds"], entry["reference"]: entry["reference_seconds"]}
    return [
        {
            "model": model,
            "threads": entry["threads"],
            "program": f"{program}, {describe_threads(entry['threads'])}{ranking}",
            "seconds": seconds * N_POSITIVES / setting["count"],
        }
        for program, seconds in costs.items()
        if seconds is not None
    ]


def _describe(entries: Sequence[Mapping[str, Any]], machine: str) -> str:
    threads = " and ".join(describe_threads(number) for number in sorted({entry["threads"] for entry in entries}))
    return f"{machine}; {threads}. sdmr bench"


def _list_points(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a point for the program, and one for its reference, if any."""
    setting, axis = entry["setting"], entry["name"].removeprefix("growth ")
    line = get_model(setting["model"]).name
    point = {"axis": axis, "line": line, "value": setting[axis], "seconds": entry["seconds"]}
    point["threads"] = entry["threads"]
    if entry["reference"] is None:
        return [point]
    return [point, point | {"line": f"{line}, {entry['reference']}", "seconds": entry["reference_seconds"]}]
