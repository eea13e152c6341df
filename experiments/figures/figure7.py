"""Figure 7: the attention of each hop of SDM over the context of one user and target.

Users are named by raw id, items by raw id or title. By default it is the paper's case, a user who saw Money Talks
(1997) and the target Fire Down Below (1997), or what comes nearest to it in the split.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sdmr.experiments.core.options import UsageError
from sdmr.experiments.figures.attention import compute_attention, load_model, plan_sdm_runs
from sdmr.experiments.figures.cases import Case, Names, choose_case, load_names
from sdmr.experiments.figures.options import FigureOptions
from sdmr.experiments.figures.runs import find_runs
from sdmr.experiments.figures.style import add_note, create_figure, save_figure

OPTIONS = ("dataset", "dim", "hops", "seed", "user", "target", "train", "workers")


def main(options: FigureOptions) -> int:
    """Draw the figure. Returns the exit status."""
    hops = options.hops or [4]
    if len(hops) > 1:
        raise UsageError(f"hops=[{','.join(map(str, hops))}]: figure7 shows one model; give one number of hops")
    runs = find_runs(options, plan_sdm_runs(options, hops, [options.seed]), options.train)
    if not runs:
        return int(options.train)
    run = next(iter(runs.values()))
    model, task = load_model(run)
    names = load_names(run)
    case, origin = choose_case(task, model.context_length, names, options.user, options.target)
    print(origin)
    weights = compute_attention(model, np.array([case.user]), case.context[None], np.array([case.target]))[:, 0]
    frame = build_frame(case, weights, names, task.training.n_items)
    figure = draw(frame, f"user {names.users[case.user]}, target {names.get_label(case.target)}")
    model_text = f"SDM, {hops[0]} hops, d = {options.dim}, {options.dataset}"
    add_note(figure, f"{model_text}: {origin}{options.settings_note}")
    save_figure(figure, options.plot_folder, options.file_name, frame)
    return 0


def build_frame(case: Case, weights: NDArray[np.floating], names: Names, padding: int) -> pd.DataFrame:
    """Return a row for every hop and context item, the latest last. `weights` [hops, s] are those of the context."""
    ids = {"user": names.users[case.user], "target": names.items[case.target]}
    rows: list[dict[str, Any]] = []
    for hop, row in enumerate(weights, start=1):
        for position, (item, weight) in enumerate(zip(case.context.tolist(), row.tolist(), strict=True)):
            if item == padding:
                continue
            values = {"hop": hop, "latest": len(case.context) - position, "item": names.items[item]}
            labels = {"label": names.get_label(item), "label_of_target": names.get_label(case.target)}
            rows.append({**ids, **values, "attention": weight, **labels})
    return pd.DataFrame(rows)


def draw(frame: pd.DataFrame, title: str) -> Figure:
    """Draw a grid of weights, hops from left to right, context items from the earliest to the latest."""
    hops = frame["hop"].max()
    labels = frame["label"][frame["hop"] == 1].tolist()
    weights = frame["attention"].to_numpy().reshape(hops, len(labels)).T  # [items, hops]
    figure = create_figure(5.0 + 0.7 * hops, 1.6 + 0.3 * len(labels))
    axes = figure.subplots()
    shades = axes.imshow(weights, cmap="Greys", vmin=0, vmax=max(1e-9, weights.max()), aspect="auto")
    for (row, column), weight in np.ndenumerate(weights):
        color = "white" if weight > 0.5 * weights.max() else "black"
        axes.text(column, row, f"{weight:.3f}", ha="center", va="center", color=color)
    axes.set_xticks(range(hops), [str(hop) for hop in range(1, hops + 1)])
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("hop")
    axes.set_ylabel("context, the latest last")
    axes.grid(False)
    figure.suptitle(title, fontsize=9)
    figure.colorbar(shades, ax=axes, label="attention weight")
    return figure
