"""Draw the figures of the speed benchmark.

One shows the seconds of a training step over what grows, the other the seconds of an epoch of every model.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sdmr.experiments.benchmark.timing import describe_threads
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
EPOCHS = ("train", "step vs plain", "step vs RecBole", "epoch vs released")
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
    rows: list[dict[str, Any]] = []
    for entry in entries:
        if entry["name"] not in EPOCHS or "size" in entry["setting"]:
            continue
        length = entry["setting"].get("context_length")
        model = get_model(entry["setting"]["model"]).name + (f", windows of {length}" if length else "")
        shared = {"model": model, "threads": entry["threads"]}
        threads = describe_threads(entry["threads"])
        reference = str(entry["reference"]).partition("'")[0]  # RecBole's NeuMF
        costs = {"this suite": entry["seconds"], reference: entry["reference_seconds"]}
        for side, seconds in costs.items():
            names = shared | {"program": f"{side}, {threads}"}
            if seconds and not any(names.items() <= row.items() for row in rows):
                rows.append(names | {"seconds": seconds * N_POSITIVES / entry["setting"]["count"]})
    frame = pd.DataFrame(rows)
    models = list(dict.fromkeys(frame["model"]))[::-1]
    figure = Figure(figsize=(6.4, 1.2 + 0.3 * len(models)))
    axes = figure.subplots()
    for number, (program, marks) in enumerate(frame.groupby("program", sort=False)):
        positions = [models.index(model) for model in marks["model"]]
        axes.plot(marks["seconds"], positions, **get_line_style(number) | {"linestyle": "none"}, label=program)
    axes.set_yticks(np.arange(len(models)), models)
    axes.set(xscale="log", xlabel="seconds an epoch of ML-100k's size (log scale)")
    figure.legend(loc="outside upper left", ncols=3, fontsize=7)
    note = "Random data; SDM's times on 2 threads, and the released program's, include ranking."
    add_note(figure, f"{note} {_describe(entries, machine)}")
    save_figure(figure, folder, name, frame)


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
