"""Figure 5: attention weight against pointwise mutual information, for SDM with one to four hops.

A pair is a test target j and one of its context items k. Its weight is that of the last hop of SDM-h, which is what the
model's output reads (the paper: the scores that SDM-h assigns); the correlations of the hops before it stand in
OUTPUT-correlations.csv. PMI (Eq. 22) is taken from the training matrix: see `Cooccurrence`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Instances
from sdmr.experiments.figures.attention import compute_attention, load_ids, load_model, plan_sdm_runs
from sdmr.experiments.figures.options import FigureOptions
from sdmr.experiments.figures.runs import find_runs
from sdmr.experiments.figures.style import add_note, create_figure, mark_missing, save_figure
from sdmr.experiments.report.frames import PAPER
from sdmr.experiments.report.uncertainty import bootstrap_correlation, compute_correlation
from sdmr.experiments.report.writers import write_csv

OPTIONS = ("dataset", "dim", "hops", "seeds", "train", "workers")
MAX_POINTS = 1000  # more are shown by their density
GRAYS = ListedColormap(colormaps["Greys"](np.linspace(0.2, 1, 256)))  # of which the lightest is not yet white


class Cooccurrence:
    """How often two items were taken by the same user, in a binary matrix [n_users, n_items].

    D of Eq. 22 holds an ordered pair (j, k), j ≠ k, for every user who took both. #(j, k) is the number of times that
    the pair is in D, #(j) that of the pairs whose first item is j, so that P(j, k) and P(j) each sum to one.
    """

    def __init__(self, matrix: csr_matrix) -> None:
        together = (matrix.T @ matrix).tocsr()
        together.setdiag(0)
        together.eliminate_zeros()
        self.pair_counts = together
        self.item_counts = np.asarray(together.sum(axis=1)).ravel().astype(np.float64)
        self.total = float(self.item_counts.sum())

    def compute_pmi(self, j: IntArray, k: IntArray) -> NDArray[np.float64]:
        """Return [n] log (P(j, k) / (P(j) P(k))), natural; −∞ for items that nobody took together."""
        count = np.asarray(self.pair_counts[j, k], dtype=np.float64).ravel()
        expected = self.item_counts[j] * self.item_counts[k] / self.total
        pmi = np.full(len(count), -np.inf)
        np.log(count, out=pmi, where=count > 0)
        np.subtract(pmi, np.log(expected, where=count > 0, out=np.zeros_like(pmi)), out=pmi)
        return pmi


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every context item of every instance, with the instance's target."""

    row: IntArray  # [n] the instance
    column: IntArray  # [n] the item's position in the context
    user: IntArray  # [n]
    target: IntArray  # [n]
    item: IntArray  # [n]
    pmi: NDArray[np.float64]  # [n] finite
    dropped: int  # pairs that nobody took together, which have no PMI and are left out

    @property
    def dropped_share(self) -> float:
        return self.dropped / (len(self.pmi) + self.dropped)


@dataclass(frozen=True, eq=False)
class Weights:
    """The attention that a model gives to pairs."""

    hops: int  # of the model
    seed: int
    attention: NDArray[np.float64]  # [hops, n]


def main(options: FigureOptions) -> int:
    """Draw the figure. Returns the exit status."""
    hops = options.hops or [1, 2, 3, 4]
    planned = plan_sdm_runs(options, hops, range(options.seeds))
    runs = find_runs(options, planned, options.train)
    if not runs:
        return int(options.train)
    models = {one: load_model(run) for one, run in runs.items()}
    model, task = next(iter(models.values()))
    pairs = list_pairs(task.test, model.context_length, task.training.matrix)
    instances = (task.test.users, task.test.contexts.last_n(model.context_length), task.test.targets)
    weights = [
        Weights(model.hops, one.seed, compute_attention(model, *instances)[:, pairs.row, pairs.column])
        for one, (model, _) in models.items()
    ]
    frame = correlate(pairs, weights, read_paper_values(options.dataset))
    text = (
        f"{options.dataset}, d = {options.dim}: {len(pairs.pmi):,} pairs of a test target and a context item; "
        f"{pairs.dropped:,} ({100 * pairs.dropped_share:.1f} %) that no user took together are left out"
    )
    print(text)
    for row in _list_rows(frame):
        paper = "" if pd.isna(row.paper) else f", paper {row.paper:.3f}"
        print(f"SDM-{row.hops}, hop {row.hop}, seed {row.seed}: {_format_correlation(row)}{paper}")
    write_csv(options.plot_folder / f"{options.file_name}-correlations.csv", frame)
    figure = draw(hops, pairs, weights, frame)
    add_note(figure, f"{text}. Intervals: 95 %, users resampled{options.settings_note}.")
    points = build_frame(pairs, weights, *load_ids(next(iter(runs.values()))))
    save_figure(figure, options.plot_folder, options.file_name, points)
    return int(options.train and len(runs) < len(planned))


def list_pairs(instances: Instances, length: int, matrix: csr_matrix) -> Pairs:
    """Return the pairs of the instances and their `length` latest context items."""
    contexts = instances.contexts.last_n(length)
    row, column = np.nonzero(contexts != instances.contexts.padding)
    pmi = Cooccurrence(matrix).compute_pmi(instances.targets[row], contexts[row, column])
    kept = np.isfinite(pmi)
    row, column = row[kept], column[kept]
    ids = (instances.users[row], instances.targets[row], contexts[row, column])
    return Pairs(row, column, *ids, pmi[kept], dropped=int((~kept).sum()))


def read_paper_values(dataset: str) -> dict[int, float]:
    """Return the paper's correlation by number of hops, which it gives for ML-100k alone."""
    if dataset != "ml-100k":
        return {}
    rows = _list_rows(pd.read_csv(PAPER / "figure5.csv", dtype=str))
    return {int(row.hops): float(row.pearson_pmi_attention) for row in rows}


def correlate(pairs: Pairs, weights: Sequence[Weights], paper: Mapping[int, float]) -> pd.DataFrame:
    """Return a row for every hop of every model. The paper's value stands beside the last hop."""
    rows: list[dict[str, Any]] = []
    for one in weights:
        for hop, attention in enumerate(one.attention, start=1):
            low, high = bootstrap_correlation(pairs.user, pairs.pmi, attention)
            r = compute_correlation(pairs.pmi, attention)
            row = {"hops": one.hops, "hop": hop, "seed": one.seed, "r": r, "low": low, "high": high}
            known = paper.get(one.hops) if hop == one.hops else None
            rows.append({**row, "paper": known, "pairs": len(pairs.pmi), "dropped_share": pairs.dropped_share})
    return pd.DataFrame(rows)


def draw(hops: Sequence[int], pairs: Pairs, weights: Sequence[Weights], frame: pd.DataFrame) -> Figure:
    """Draw a panel for each number of hops: the pairs of the first seed, their linear trend, and r of every seed."""
    figure = create_figure(1.2 + 2.6 * len(hops), 3.4)
    panels = figure.subplots(1, len(hops), squeeze=False, sharex=True, sharey=True)[0]
    density, shades = None, LogNorm(1, 2)
    for number, axes in zip(hops, panels, strict=True):
        axes.set_xlabel("PMI (nats)")
        models = [one for one in weights if one.hops == number]
        if not models:
            axes.set_title(f"SDM-{number}", fontsize=8)
            mark_missing(axes, "not run")
            continue
        density = _draw_pairs(axes, pairs, models[0].attention[-1], shades) or density
        axes.set_title(_describe_panel(frame[(frame["hops"] == number) & (frame["hop"] == number)]), fontsize=8)
    panels[0].set_ylabel("attention weight, last hop")
    if density is not None:
        figure.colorbar(density, ax=panels, label="pairs", pad=0.01)
    return figure


def _draw_pairs(axes: Axes, pairs: Pairs, attention: NDArray[np.float64], shades: LogNorm) -> PolyCollection | None:
    """Draw the pairs and their trend. Returns the shades of the pairs' density, if there are too many pairs."""
    density = None
    if len(pairs.pmi) > MAX_POINTS:
        axes.grid(False)
        density = axes.hexbin(pairs.pmi, attention, gridsize=(36, 18), mincnt=1, norm=shades, cmap=GRAYS)
        shades.vmax = max(shades.vmax or 2, float(np.asarray(density.get_array()).max()))
    else:
        axes.scatter(pairs.pmi, attention, s=6, color="0.35", linewidths=0)
    slope, intercept = np.polyfit(pairs.pmi, attention, 1)
    ends = np.array([pairs.pmi.min(), pairs.pmi.max()])
    axes.plot(ends, slope * ends + intercept, color="#D55E00", linewidth=2)
    return density


def _describe_panel(rows: pd.DataFrame) -> str:
    """Return the title of a panel: r of its seeds, and the paper's."""
    first, *others = _list_rows(rows)
    lines = [f"SDM-{first.hops}: {_format_correlation(first)}"]
    lines += [] if pd.isna(first.paper) else [f"paper {first.paper:.3f}"]
    lines += ["further seeds " + ", ".join(f"{row.r:.3f}" for row in others)] if others else []
    return "\n".join(lines)


def _list_rows(frame: pd.DataFrame) -> list[Any]:
    return list(frame.itertuples())


def _format_correlation(row: Any) -> str:
    return f"r = {row.r:.3f} ({row.low:.3f} … {row.high:.3f})"


def build_frame(
    pairs: Pairs, weights: Sequence[Weights], user_ids: NDArray[Any], item_ids: NDArray[Any]
) -> pd.DataFrame:
    """Return a row a pair, with raw ids and the weight that the last hop of each model gives it."""
    ids = {"user": user_ids[pairs.user], "target": item_ids[pairs.target], "item": item_ids[pairs.item]}
    columns = {f"attention_hops{one.hops}_seed{one.seed}": one.attention[-1] for one in weights}
    return pd.DataFrame({**ids, "pmi": pairs.pmi, **columns})
