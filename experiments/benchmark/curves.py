"""Draw the growth curves of the speed benchmark.

They show the seconds of a training step over the catalog, d, s and the hops.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.figures.style import add_note, get_line_style, save_figure

AXES = {"items": "items", "dim": "embedding size d", "context_length": "context items s", "hops": "hops"}


def draw_curves(entries: Sequence[Mapping[str, Any]], folder: Path, machine: str) -> None:
    """Write bench.png, .pdf and .csv from the entries of bench.json."""
    growth = [entry for entry in entries if entry["name"].startswith("growth ")]
    points = pd.DataFrame([point for entry in growth for point in _list_points(entry)])
    figure = Figure(figsize=(12.0, 3.2))
    for axes, (axis, label) in zip(figure.subplots(1, len(AXES)), AXES.items(), strict=True):
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
    threads = ", ".join(str(number) for number in sorted({entry["threads"] for entry in entries}))
    add_note(figure, f"Steps of 256 positives with 4 negatives. Random data. {machine}; {threads} threads. make bench")
    save_figure(figure, folder, "bench", points)


def _list_points(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a point for the program, and one for an oracle without its own line."""
    setting, axis = entry["setting"], entry["name"].removeprefix("growth ")
    line = " ".join([MODELS[setting["model"]].name, *([setting["optimizer"]] if "optimizer" in setting else [])])
    point = {"axis": axis, "line": line, "value": setting[axis], "seconds": entry["seconds"]}
    point["threads"] = entry["threads"]
    if entry["oracle_seconds"] is None or "oracle" in setting:
        return [point]
    return [point, point | {"line": f"{line}, literal oracle", "seconds": entry["oracle_seconds"]}]
