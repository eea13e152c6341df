"""Figure 5: attention weight against pointwise mutual information, for SDM with one to four hops.

`python -m sdmr.experiments.figures.figure5 --dataset ml-100k --dim 64`

A pair is a test target j and one of its context items k. Its weight is that of the last hop of SDM-h, which is what the
model's output reads (the paper: the scores that SDM-h assigns); the correlations of the hops before it stand in
NAME-correlations.csv. PMI (Eq. 22) is taken from the training matrix: see `Cooccurrence`.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Instances
from sdmr.experiments.execute import prepared
from sdmr.experiments.figures.attention import attention_of, ids_of, load, wanted
from sdmr.experiments.figures.collect import command_line, made_with, runs_of, tell_missing
from sdmr.experiments.figures.drawing import canvas, is_missing, note, publish, write_csv
from sdmr.experiments.jobs import at_least_one
from sdmr.experiments.tables.cells import PAPER
from sdmr.experiments.uncertainty import correlation, correlation_interval

MOST_POINTS = 1000  # more are shown by their density
GREYS = ListedColormap(colormaps["Greys"](np.linspace(0.2, 1, 256)))  # of which the lightest is not yet white


class Cooccurrence:
    """How often two items were taken by the same user, in a binary matrix [n_users, n_items].

    D of Eq. 22 holds an ordered pair (j, k), j ≠ k, for every user who took both. #(j, k) is the number of times that
    the pair is in D, #(j) that of the pairs whose first item is j, so that P(j, k) and P(j) each sum to one.
    """

    def __init__(self, matrix: csr_matrix) -> None:
        together = (matrix.T @ matrix).tocsr()
        together.setdiag(0)
        together.eliminate_zeros()
        self.pairs = together
        self.of_item = np.asarray(together.sum(axis=1)).ravel().astype(np.float64)
        self.total = float(self.of_item.sum())

    def pmi(self, j: IntArray, k: IntArray) -> NDArray[np.float64]:
        """[n] log (P(j, k) / (P(j) P(k))), the natural one; −∞ for items that nobody took together."""
        count = np.asarray(self.pairs[j, k], dtype=np.float64).ravel()
        expected = self.of_item[j] * self.of_item[k] / self.total
        found = np.full(len(count), -np.inf)
        np.log(count, out=found, where=count > 0)
        np.subtract(found, np.log(expected, where=count > 0, out=np.zeros_like(found)), out=found)
        return found


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every context item of every instance, with the instance's target."""

    row: IntArray  # [n] the instance
    column: IntArray  # [n] the item's place in the context
    user: IntArray  # [n]
    target: IntArray  # [n]
    item: IntArray  # [n]
    pmi: NDArray[np.float64]  # [n] finite
    dropped: int  # pairs that nobody took together, which have no PMI and are left out


def pairs_of(instances: Instances, length: int, matrix: csr_matrix) -> Pairs:
    """The pairs of the instances and their `length` latest context items."""
    contexts = instances.contexts.last_n(length)
    row, column = np.nonzero(contexts != instances.contexts.padding)
    pmi = Cooccurrence(matrix).pmi(instances.targets[row], contexts[row, column])
    kept = np.isfinite(pmi)
    row, column = row[kept], column[kept]
    of_row = (instances.users[row], instances.targets[row], contexts[row, column])
    return Pairs(row, column, *of_row, pmi[kept], dropped=int((~kept).sum()))


def paper_values(dataset: str) -> dict[int, float]:
    """The paper's correlation by number of hops, which it gives for ML-100k alone."""
    if dataset != "ml-100k":
        return {}
    with (PAPER / "figure5.csv").open(encoding="utf-8") as lines:
        return {int(row["hops"]): float(row["pearson_pmi_attention"]) for row in csv.DictReader(lines)}


def correlations(
    pairs: Pairs, weights: Mapping[tuple[int, int], NDArray[np.floating]], paper: Mapping[int, float]
) -> list[dict[str, Any]]:
    """A row for every hop of every model (hops, seed); `weights` [H, n] are those of the pairs.

    Hops are counted from 1; the paper's value stands beside the last one.
    """
    rows = []
    for (hops, seed), of_hops in weights.items():
        for hop, attention in enumerate(of_hops, start=1):
            low, high = correlation_interval(pairs.user, pairs.pmi, attention)
            r, share = correlation(pairs.pmi, attention), pairs.dropped / (len(pairs.pmi) + pairs.dropped)
            row = {"hops": hops, "hop": hop, "seed": seed, "r": r, "low": low, "high": high}
            known = {"paper": paper.get(hops) if hop == hops else None}
            rows.append({**row, **known, "pairs": len(pairs.pmi), "dropped_share": share})
    return rows


def draw(
    hops: Sequence[int],
    pairs: Pairs,
    weights: Mapping[tuple[int, int], NDArray[np.floating]],
    rows: Sequence[Mapping[str, Any]],
    title: str,
) -> Figure:
    """A panel for each number of hops: the pairs of the first seed, their linear trend, and r of every seed."""
    figure = canvas(1.2 + 2.6 * len(hops), 3.4)
    panels = figure.subplots(1, len(hops), squeeze=False, sharex=True, sharey=True)[0]
    density, shades = None, LogNorm(1, 2)
    for h, axes in zip(hops, panels, strict=True):
        axes.set_xlabel("PMI (nats)")
        last = [row for row in rows if row["hops"] == row["hop"] == h]
        if not last:
            axes.set_title(f"SDM-{h}", fontsize=8)
            is_missing(axes, "not run")
            continue
        attention = weights[h, last[0]["seed"]][-1]
        if len(pairs.pmi) > MOST_POINTS:
            axes.grid(False)
            density = axes.hexbin(pairs.pmi, attention, gridsize=(36, 18), mincnt=1, norm=shades, cmap=GREYS)
            shades.vmax = max(shades.vmax or 2, float(density.get_array().max()))
        else:
            axes.scatter(pairs.pmi, attention, s=6, color="0.35", linewidths=0)
        slope, intercept = np.polyfit(pairs.pmi, attention, 1)
        ends = np.array([pairs.pmi.min(), pairs.pmi.max()])
        axes.plot(ends, slope * ends + intercept, color="#D55E00", linewidth=2)
        first, paper = last[0], last[0]["paper"]
        told = [f"SDM-{h}: r = {first['r']:.3f} ({first['low']:.3f} … {first['high']:.3f})"]
        told += [f"paper {paper:.3f}"] if paper is not None else []
        told += ["further seeds " + ", ".join(f"{row['r']:.3f}" for row in last[1:])] if last[1:] else []
        axes.set_title("\n".join(told), fontsize=8)
    panels[0].set_ylabel("attention weight, last hop")
    if density is not None:
        figure.colorbar(density, ax=panels, label="pairs", pad=0.01)
    note(figure, title)
    return figure


def numbers(
    pairs: Pairs, weights: Mapping[tuple[int, int], NDArray[np.floating]], ids: tuple[NDArray[Any], NDArray[Any]]
) -> list[dict[str, Any]]:
    """The points: a row a pair, with raw ids and the weight that the last hop of each model gives it."""
    users, items = ids
    columns: dict[str, Any] = {"user": users[pairs.user], "target": items[pairs.target], "item": items[pairs.item]}
    columns["pmi"] = pairs.pmi
    columns |= {f"attention_hops{hops}_seed{seed}": of_hops[-1] for (hops, seed), of_hops in weights.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def main() -> int:
    parser = command_line(__doc__, "figure5", axes=("model.hops", "model.dim"))
    parser.add_argument("--seeds", type=at_least_one, default=1, help="seeds 0 … n − 1")
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--dim", type=int, default=64, help="d")
    parser.add_argument("--hops", nargs="+", type=int, default=[1, 2, 3, 4])
    given = parser.parse_intermixed_args()
    jobs = wanted(given, given.hops, range(given.seeds))
    runs = runs_of(jobs, given)
    tell_missing(jobs, runs, given)
    if not runs:
        return int(given.train)
    task = prepared(next(iter(runs.values())))
    models = {key: load(run, task) for key, run in runs.items()}
    length = next(iter(models.values())).context_length
    pairs = pairs_of(task.test, length, task.training.matrix)
    instances = (task.test.users, task.test.contexts.last_n(length), task.test.targets)
    weights = {key: attention_of(model, *instances)[:, pairs.row, pairs.column] for key, model in models.items()}
    rows = correlations(pairs, weights, paper_values(given.dataset))
    of_pairs = f"{given.dataset}, d = {given.dim}: {len(pairs.pmi):,} pairs of a test target and a context item"
    dropped = f"{pairs.dropped:,} ({100 * rows[0]['dropped_share']:.1f} %) that no user took together are left out"
    print(f"{of_pairs}; {dropped}")
    for row in rows:
        paper = "" if row["paper"] is None else f", paper {row['paper']:.3f}"
        interval = f"{row['low']:.3f} … {row['high']:.3f}"
        print(f"SDM-{row['hops']}, hop {row['hop']}, seed {row['seed']}: r = {row['r']:.3f} ({interval}){paper}")
    write_csv(given.plots / f"{given.name}-correlations.csv", rows)
    told = f"{of_pairs}; {dropped}. Intervals: 95 %, users resampled{made_with(given)}."
    figure = draw(given.hops, pairs, weights, rows, told)
    publish(figure, given.plots, given.name, numbers(pairs, weights, ids_of(next(iter(runs.values())))))
    return int(given.train and len(runs) < len(jobs))


if __name__ == "__main__":
    sys.exit(main())
