"""The growth curves of the bench: seconds of a training step over the catalogue, d, s and the hops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdmr.experiments.configs import MODELS
from sdmr.experiments.figures.drawing import canvas, note, publish, style

AXES = {"items": "items", "dim": "embedding size d", "context_length": "context items s", "hops": "hops"}


def draw(entries: Sequence[Mapping[str, Any]], folder: Path, machine: str) -> None:
    """Write bench.png, .pdf and .csv from the entries of bench.json."""
    points = [point for entry in entries if entry["name"].startswith("growth ") for point in _points(entry)]
    figure = canvas(12.0, 3.2)
    for axes, (axis, label) in zip(figure.subplots(1, len(AXES)), AXES.items(), strict=True):
        here = [point for point in points if point["axis"] == axis]
        for number, line in enumerate(dict.fromkeys(point["line"] for point in here)):
            those = [point for point in here if point["line"] == line]
            values, seconds = [point["value"] for point in those], [point["seconds"] for point in those]
            axes.plot(values, seconds, label=line, **style(number))
        axes.set(xlabel=label, ylabel="seconds a training step", yscale="log")
        ticks = sorted({point["value"] for point in here})
        axes.set_xscale("linear" if axis == "hops" else "log")
        axes.set_xticks(ticks, [f"{value:,}" for value in ticks])
        axes.minorticks_off()
        axes.set_ylim(top=axes.get_ylim()[1] * 2)  # room for the legend
        axes.legend(fontsize=7, loc="upper left")
    threads = ", ".join(str(number) for number in sorted({entry["threads"] for entry in entries}))
    note(figure, f"Steps of 256 positives with 4 negatives. Random data. {machine}; {threads} threads. make bench")
    publish(figure, folder, "bench", points)


def _points(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A point for the program, and one for its oracle where it is not a line of its own."""
    setting, axis = entry["setting"], entry["name"].removeprefix("growth ")
    name = " ".join([MODELS[setting["model"]].name, *([setting["optimizer"]] if "optimizer" in setting else [])])
    point = {"axis": axis, "line": name, "value": setting[axis], "seconds": entry["seconds"]}
    points = [point | {"threads": entry["threads"]}]
    if entry["oracle_seconds"] is not None and "oracle" not in setting:
        oracle = {"line": f"{name}, literal oracle", "seconds": entry["oracle_seconds"]}
        points.append(points[0] | oracle)
    return points
