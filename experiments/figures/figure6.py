"""Figure 6, an ablation: test hit@10 and NDCG@10 over hops, embedding size and context length, one panel a data set.

`python -m sdmr.experiments.figures.figure6 --models sdm --hops 1 2 3 4 --dims 8 16 32 64 128 --seeds 3`

Every value of an axis is shown, and nothing is chosen by these runs, so that they may rank the test items. They are the
runs of the tables where the settings agree. Runs are made seed by seed, so that all points of a seed come first.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sdmr.datasets.files import write_atomic
from sdmr.experiments.configs import MODELS, compose_run
from sdmr.experiments.figures.collect import Source, Wanted, command_line, made_with, sources_of
from sdmr.experiments.figures.drawing import canvas, is_missing, note, publish, style
from sdmr.experiments.jobs import at_least_one
from sdmr.experiments.tables.cells import METRICS

DIM = {"sdm": "model.dim", "cmn": "model.gmf.dim"}  # the setting that is d, for the models that have hops
AXES = {"dim": "embedding size d", "hops": "hops h", "context_length": "context items s"}
LEAST_RANGE = 0.06  # of a panel: about the 95 % interval of a mean over ML-100k's users


@dataclass(frozen=True)
class Point:
    """One run's place in the figure."""

    dataset: str
    model: str
    hops: int
    dim: int
    context_length: int | None  # None for a model that reads no context
    seed: int

    @property
    def name(self) -> str:
        """Of the published record."""
        context = "" if self.context_length is None else f"-s{self.context_length}"
        return f"{self.model}-hops{self.hops}-d{self.dim}{context}-{self.seed}-record.json"


def wanted(
    datasets: Sequence[str],
    models: Sequence[str],
    hops: Sequence[int],
    dims: Sequence[int],
    lengths: Sequence[int],
    seeds: int,
    overrides: Sequence[str],
    published: Path,
) -> dict[Point, Wanted]:
    """The runs of the grid, seed by seed; without `lengths`, s is that of the data set."""
    runs = {}
    for seed, dataset, model in product(range(seeds), datasets, models):
        for context in [[f"context_length={s}"] for s in lengths] or [[]]:
            place, rest = (f"model={model}", f"dataset={dataset}"), (*context, *overrides)
            length = _context_length((*place, *rest))
            for h, d in product(hops, dims):
                job = (*place, f"seed={seed}", f"model.hops={h}", f"{DIM[model]}={d}", *rest)
                point = Point(dataset, model, h, d, length, seed)
                runs[point] = Wanted(job, None if overrides else published / dataset / point.name)
    return runs


@cache
def _context_length(overrides: tuple[str, ...]) -> int | None:
    """How much context a model with these settings reads."""
    return compose_run(overrides)[0]["model"].get("context_length")


def rows_of(sources: Mapping[Point, Source]) -> list[dict[str, Any]]:
    """The numbers behind the figure, one row a record."""
    rows = []
    for point, source in sources.items():
        record = source.record
        values = {metric: record["test"][metric]["expected"] for metric in METRICS}
        best, commit = record["best_epoch"], record["environment"]["commit"]
        rows.append({**asdict(point), **values, "best_epoch": best, "commit": commit})
    return rows


def draw(points: Sequence[Point], rows: Sequence[Mapping[str, Any]], made: str = "") -> Figure:
    """A column a data set and model, a row a metric; the axis with most values is x, the others make the lines.

    `points` are those wanted, `rows` the numbers of those that are there: mean over seeds, the bar its sample standard
    deviation. `made`: the end of the line under it.
    """
    values = {axis: list(dict.fromkeys(getattr(point, axis) for point in points)) for axis in AXES}
    x = max(AXES, key=lambda axis: len(values[axis]))
    others = [axis for axis in AXES if axis != x]
    lines = list(dict.fromkeys(tuple(getattr(point, axis) for axis in others) for point in points))
    panels = list(dict.fromkeys((point.dataset, point.model) for point in points))
    figure = canvas(1.2 + 3.4 * len(panels), 5.6)
    grid = figure.subplots(len(METRICS), len(panels), squeeze=False, sharex="col")
    for column, (dataset, model) in enumerate(panels):
        for metric, axes in zip(METRICS, grid[:, column], strict=True):
            own = [row for row in rows if (row["dataset"], row["model"]) == (dataset, model)]
            if not own:
                is_missing(axes, "not run")
            for number, line in enumerate(lines):
                of_line = [row for row in own if tuple(row[axis] for axis in others) == line]
                _line(axes, number, len(lines), values[x], of_line, x, metric, _label(others, line, values))
            axes.set_xticks(range(len(values[x])), [str(value) for value in values[x]])
            axes.set_xlim(-0.5, len(values[x]) - 0.5)
        grid[0, column].set_title(f"{MODELS[model].name} on {dataset}")
        grid[-1, column].set_xlabel(AXES[x])
    for metric, axes in zip(METRICS, grid[:, 0], strict=True):
        axes.set_ylabel(f"test {metric}")
    if len(lines) > 1:
        figure.legend(*_legend(grid.flat), loc="outside upper center", ncols=min(len(lines), 5))
    for axes in grid.flat:  # so that what is noise over users does not fill a panel
        low, high = axes.get_ylim()
        half = max(high - low, LEAST_RANGE) / 2
        axes.set_ylim((low + high) / 2 - half, (low + high) / 2 + half)
    seeds = sorted({row["seed"] for row in rows})
    told = "mean over seeds, bars: their standard deviation" if len(seeds) > 1 else f"seed {seeds[0]} alone"
    of_seeds = [point for point in points if point.seed in seeds]
    missing = len(of_seeds) - len(rows)
    note(figure, told + (f"; {missing} of {len(of_seeds)} runs are missing" if missing else "") + made)
    return figure


def _line(
    axes: Axes,
    number: int,
    of: int,
    values: Sequence[int | None],
    rows: Sequence[Mapping[str, Any]],
    x: str,
    metric: str,
    label: str,
) -> None:
    """One line with its bars, moved a little to the side so that bars do not cover each other."""
    places, means, spreads = [], [], []
    for place, value in enumerate(values):
        found = [row[metric] for row in rows if row[x] == value]
        if found:
            places.append(place + 0.08 * (number - (of - 1) / 2))
            means.append(statistics.mean(found))
            spreads.append(statistics.stdev(found) if len(found) > 1 else 0.0)
    if places:
        axes.errorbar(places, means, yerr=spreads if any(spreads) else None, capsize=2, label=label, **style(number))


def _label(axes: Sequence[str], line: Sequence[int | None], values: Mapping[str, Sequence[int | None]]) -> str:
    """What makes this line another than the others: `h = 3`."""
    letters = {axis: AXES[axis].rpartition(" ")[2] for axis in axes}
    return ", ".join(f"{letters[axis]} = {v}" for axis, v in zip(axes, line, strict=True) if len(values[axis]) > 1)


def _legend(panels: Any) -> tuple[list[Any], list[str]]:
    """Each label once."""
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def copy_records(wanted: Mapping[Point, Wanted], sources: Mapping[Point, Source]) -> None:
    """Put this machine's records where the published ones are."""
    for point, source in sources.items():
        target = wanted[point].published
        if target is not None and not source.is_published:
            write_atomic(target, source.path.read_bytes())


def main() -> int:
    parser = command_line(__doc__, "figure6", axes=("model.hops", *DIM.values()))
    parser.add_argument("--seeds", type=at_least_one, default=1, help="seeds 0 … n − 1")
    parser.add_argument("--datasets", nargs="+", default=["ml-100k"])
    parser.add_argument("--models", nargs="+", default=["sdm"], choices=tuple(DIM))
    parser.add_argument("--hops", nargs="+", type=int, default=[1, 2, 3, 4])
    parser.add_argument("--dims", nargs="+", type=int, default=[8, 16, 32, 64, 128])
    parser.add_argument("--lengths", nargs="+", type=int, default=[], help="s; default: that of the data set")
    parser.add_argument("--publish", action="store_true", help="copy this machine's records into results/")
    given = parser.parse_intermixed_args()
    if given.lengths and "cmn" in given.models:
        parser.error("--lengths: CMN++ reads no context")
    published = given.results / "records" / "figure6"
    axes = (given.datasets, given.models, given.hops, given.dims, given.lengths)
    try:
        runs = wanted(*axes, given.seeds, given.overrides, published)
    except ValueError as error:  # no such data set, or no such setting
        sys.exit(str(error))
    sources = sources_of(runs, given)
    if sources:
        rows = rows_of(sources)
        publish(draw(list(runs), rows, made_with(given)), given.plots, given.name, rows)
    if given.publish:
        copy_records(runs, sources)
    return 1 if given.train and len(sources) < len(runs) else 0


if __name__ == "__main__":
    sys.exit(main())
