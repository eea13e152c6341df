"""Learning curves of every trained model: validation NDCG@10 and training loss by epoch.

`python -m sdmr.experiments.figures.curves --dataset ml-100k --seeds 3`
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from sdmr.experiments.configs import model_of
from sdmr.experiments.figures.collect import Source, made_with
from sdmr.experiments.figures.drawing import canvas, note, publish, style
from sdmr.experiments.figures.table_runs import Key, arguments_of, found

COLUMNS = 4


def rows_of(sources: Mapping[Key, Source]) -> list[dict[str, Any]]:
    """A row for every epoch of every model that was trained by epochs."""
    rows = []
    for (model, seed), source in sources.items():
        record = source.record
        for entry in record.get("history", [])[1:]:
            row = {"dataset": record["dataset"], "model": model, "seed": seed, "epoch": entry["epoch"]}
            values = {name: entry[name] for name in ("validation", "loss")}
            commit = record["environment"]["commit"]
            rows.append({**row, **values, "is_best": entry["epoch"] == record["best_epoch"], "commit": commit})
    return rows


def draw(rows: Sequence[Mapping[str, Any]], told: str) -> Figure:
    """Two panels a model, one above the other; a line a seed, with a mark at the epoch that is kept."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    columns = min(COLUMNS, len(models))
    lines = math.ceil(len(models) / columns)
    figure = canvas(1.0 + 2.4 * columns, 0.6 + 2.6 * lines)
    grid = figure.add_gridspec(lines, columns)
    above = None
    for number, model in enumerate(models):
        place = grid[number // columns, number % columns].subgridspec(2, 1)
        above = figure.add_subplot(place[0], sharey=above)
        below = figure.add_subplot(place[1], sharex=above)
        of_model = [row for row in rows if row["model"] == model]
        for seed in dict.fromkeys(row["seed"] for row in of_model):
            curve = [row for row in of_model if row["seed"] == seed]
            epochs = [row["epoch"] for row in curve]
            best = [place for place, row in enumerate(curve) if row["is_best"]]
            for axes, name in ((above, "validation"), (below, "loss")):
                axes.plot(epochs, [row[name] for row in curve], markevery=best, label=f"seed {seed}", **style(seed))
        above.set_title(model_of(model).name)
        above.tick_params(labelbottom=False)
        if number % columns == 0:
            above.set_ylabel("validation\nNDCG@10")
            below.set_ylabel("loss\na positive")
        if number + columns >= len(models):
            below.set_xlabel("epoch")
    if above is not None:
        figure.legend(*above.get_legend_handles_labels(), loc="outside upper center", ncols=8)
    note(figure, told)
    return figure


def main() -> int:
    given = arguments_of(__doc__, "curves")
    sources, wanted = found(given)
    rows = rows_of(sources)
    if not rows:
        return 0
    missing = f"; {wanted - len(sources)} of {wanted} runs are missing" if len(sources) < wanted else ""
    told = f"{given.dataset}; the mark is the epoch that is kept, the best by validation NDCG@10{missing}"
    told += made_with(given)
    publish(draw(rows, told), given.plots, given.name, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
