"""Speed against quality: test NDCG@10 over the seconds that training took, one mark a model.

`python -m sdmr.experiments.figures.speed --dataset ml-100k --seeds 3`
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from sdmr.experiments.configs import model_of
from sdmr.experiments.figures.collect import Source, made_with
from sdmr.experiments.figures.drawing import canvas, note, publish, style
from sdmr.experiments.figures.table_runs import Key, arguments_of, found
from sdmr.experiments.tables.cells import groups

FONT = 8
OURS = ("SDP", "SDM", "SDMR")


def rows_of(sources: Mapping[Key, Source]) -> list[dict[str, Any]]:
    """A row a record. Seconds are those of fitting, with choosing the epoch, and of fitting the parts before."""
    rows = []
    for (model, seed), source in sources.items():
        record = source.record
        if record.get("parts") and "parts" not in record["seconds"]:
            print(f"{model}, seed {seed}, is left out: its record does not say how long its parts took")
            continue
        seconds = record["seconds"]["fit"] + record["seconds"].get("parts", 0.0)
        quality, environment = record["test"]["NDCG@10"]["expected"], record["environment"]
        row = {"dataset": record["dataset"], "model": model, "seed": seed, "seconds": seconds, "NDCG@10": quality}
        rows.append({**row, **{name: environment[name] for name in ("commit", "processor", "threads")}})
    return rows


def group_of(name: str) -> str:
    """The kind of model, from its printed name, as the paper has it."""
    kind = groups(3).get(name)
    return "SDP, SDM, SDMR" if name in OURS else f"{kind} baseline" if kind else "not in the paper"


def draw(rows: Sequence[Mapping[str, Any]], told: str) -> Figure:
    """Means over seeds, bars their sample standard deviation both ways."""
    figure = canvas(6.4, 4.4)
    axes = figure.subplots()
    models = list(dict.fromkeys(row["model"] for row in rows))
    kinds = sorted({group_of(model_of(model).name) for model in models})
    labels = []
    for model in models:
        name = model_of(model).name
        x, y = (np.array([row[column] for row in rows if row["model"] == model]) for column in ("seconds", "NDCG@10"))
        spread = (float(x.std(ddof=1)), float(y.std(ddof=1))) if len(x) > 1 else (0.0, 0.0)
        look = style(kinds.index(group_of(name))) | {"linestyle": "none", "capsize": 2, "label": group_of(name)}
        axes.errorbar(x.mean(), y.mean(), xerr=spread[0] or None, yerr=spread[1] or None, **look)
        labels.append((name, (float(x.mean()), float(y.mean())), spread))
    axes.set_xscale("log")
    axes.margins(0.12)
    axes.set_xlabel("seconds to train (log scale)")
    axes.set_ylabel("test NDCG@10")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(handles.values(), handles.keys(), loc="lower right")
    note(figure, told)
    figure.draw_without_rendering()  # so that the axes have their places, in which labels are to keep apart
    _place_labels(axes, labels)
    return figure


def _place_labels(axes: Axes, labels: Sequence[tuple[str, tuple[float, float], tuple[float, float]]]) -> None:
    """Each name beside its mark, of that place and spread: at the first of some places that is free."""
    pixels = axes.figure.dpi / 72  # a point
    taken = []
    for _, (x, y), (dx, dy) in labels:
        for low, high in (((x - dx, y), (x + dx, y)), ((x, y - dy), (x, y + dy))):
            ends = axes.transData.transform([(max(low[0], x / 10), low[1]), high])
            taken.append(Bbox([ends[0] - 4 * pixels, ends[1] + 4 * pixels]))
    angles = np.deg2rad([0, 180, 90, 270, 45, 135, 225, 315])
    offsets = [(radius * np.cos(a), radius * np.sin(a)) for radius in (8, 14, 20, 28, 36) for a in angles]
    for name, place, _ in labels:
        middle = axes.transData.transform(place)
        size = np.array([0.6 * len(name), 1.2]) * FONT * pixels  # about that of the text
        for x, y in offsets:
            side = "left" if x > 1e-6 else "right" if x < -1e-6 else "center"
            share = {"left": 0.0, "center": 0.5, "right": 1.0}[side]
            corner = middle + pixels * np.array([x, y]) - (share, 0.5) * size
            box = Bbox([corner, corner + size])
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
        line: dict[str, Any] = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.5, "shrinkB": 4}
        text: dict[str, Any] = {"textcoords": "offset points", "ha": side, "va": "center", "fontsize": FONT}
        axes.annotate(name, place, (x, y), arrowprops=line, **text)


def main() -> int:
    given = arguments_of(__doc__, "speed")
    sources, wanted = found(given)
    rows = rows_of(sources)
    if not rows:
        return 0
    machines = sorted({f"{row['processor']}, {row['threads']} thread(s)" for row in rows})
    missing = f"; {wanted - len(sources)} of {wanted} runs are missing" if len(sources) < wanted else ""
    told = f"{given.dataset}; {'; '.join(machines)}; the choice of the epoch and the parts are counted{missing}"
    told += made_with(given)
    publish(draw(rows, told), given.plots, given.name, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
