"""Figure 5: attention weight against pointwise mutual information, for SDM with one to four hops.

A pair is a test target j and one of its context items k. Its weight is that of the last hop of SDM-h, which the model's
output reads (the paper: the scores that SDM-h assigns). OUTPUT-correlations.csv has the correlations of the earlier
hops. PMI (Eq. 22) is taken from the training matrix: see `compute_pmi`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
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
from sdmr.experiments.core.trained import load_trained
from sdmr.experiments.figures.options import FigureOptions
from sdmr.experiments.figures.runs import compute_attention, find_or_make_runs, load_ids, plan_sdm_runs
from sdmr.experiments.figures.style import add_note, mark_missing, save_figure
from sdmr.experiments.report.averages import list_rows
from sdmr.experiments.report.printed import PAPER
from sdmr.experiments.report.uncertainty import bootstrap_correlation, compute_correlation
from sdmr.experiments.report.writers import write_csv

OPTIONS = ("dataset", "dim", "hops", "seeds", "train", "workers")
MAX_POINTS = 1000  # more are shown by their density
GRAYS = ListedColormap(colormaps["Greys"](np.linspace(0.2, 1, 256)))  # of which the lightest is not yet white
Weights = dict[tuple[int, int], NDArray[np.float64]]  # by hops and seed of a model: [hops, n] of n pairs


def main(options: FigureOptions) -> int:
    """Draw the figure. Returns the exit status."""
    hops = options.hops or [1, 2, 3, 4]
    planned = plan_sdm_runs(options, hops, range(options.seeds))
    runs = find_or_make_runs(options, planned, options.train)
    if not runs:
        return int(options.train)
    models = [(one.seed, *load_trained(run.folder)) for one, run in runs.items()]
    _, model, task = models[0]
    pairs = list_pairs(task.test, model.context_length, task.training.matrix)
    is_dropped = ~np.isfinite(pairs["pmi"])
    pairs = pairs[~is_dropped]
    instances = (task.test.users, task.test.contexts.last_n(model.context_length), task.test.targets)
    weights = {
        (model.hops, seed): compute_attention(model, *instances)[:, pairs["row"], pairs["column"]]
        for seed, model, _ in models
    }
    paper = read_paper_values(options.dataset)
    counts = {"pairs": len(pairs), "dropped_share": is_dropped.mean()}
    correlations = correlate(pairs, weights, paper).assign(**counts)
    # What tells the published figure from others. The runs are of one source.
    correlations["dataset"], correlations["dim"] = options.dataset, options.dim
    correlations["settings"] = " ".join(options.overrides)
    correlations["source"] = next(iter(runs.values())).record.source
    text = (
        f"{options.dataset}, d = {options.dim}: {len(pairs):,} pairs of a test target and a context item; "
        f"{is_dropped.sum():,} ({100 * is_dropped.mean():.1f} %) that no user took together are left out"
    )
    print(text)
    for row in list_rows(correlations):
        note = "" if pd.isna(row.paper) else f", paper {row.paper:.3f}"
        print(f"SDM-{row.hops}, hop {row.hop}, seed {row.seed}: {_format_correlation(row)}{note}")
    write_csv(Path(options.plots) / f"{options.file_name}-correlations.csv", correlations)
    figure = draw(hops, pairs, weights, correlations)
    n_seeds = len({seed for seed, _, _ in models})
    band = "mean linear trend over seeds, band: all of them" if n_seeds > 1 else "linear trend"
    add_note(figure, f"{text}. Intervals: 95 %, users resampled. Line: {band}{options.settings_note}.")
    user_ids, item_ids = load_ids(next(iter(runs.values())))
    # Models compute in single precision, so more digits would say nothing.
    columns = {f"attention_hops{number}_seed{seed}": np.float32(one[-1]) for (number, seed), one in weights.items()}
    ids = {"user": user_ids[pairs["user"]], "target": item_ids[pairs["target"]], "item": item_ids[pairs["item"]]}
    save_figure(figure, Path(options.plots), options.file_name, pd.DataFrame({**ids, "pmi": pairs["pmi"], **columns}))
    return int(options.train and len(runs) < len(planned))


def list_pairs(instances: Instances, length: int, matrix: csr_matrix) -> pd.DataFrame:
    """Return a row for each of the `length` latest context items of each instance.

    Returns:
        The instance (`row`), the position in its context (`column`), user, target, item, and their PMI.
    """
    contexts = instances.contexts.last_n(length)
    row, column = np.nonzero(contexts != instances.contexts.padding)
    target, item = instances.targets[row], contexts[row, column]
    ids = {"row": row, "column": column, "user": instances.users[row], "target": target, "item": item}
    return pd.DataFrame({**ids, "pmi": compute_pmi(matrix, target, item)})


def compute_pmi(matrix: csr_matrix, j: IntArray, k: IntArray) -> NDArray[np.float64]:
    """Return [n] ln (P(j, k) / (P(j) P(k))), −∞ where nobody took both.

    D of Eq. 22 holds an ordered pair (j, k), j ≠ k, for every user who took both. #(j, k) counts the pair in D, #(j)
    the pairs whose first item is j. So P(j, k) and P(j) each sum to one.

    Args:
        matrix: Binary [n_users, n_items]: who took what.
        j: First items [n].
        k: Second items [n].
    """
    pair_counts = (matrix.T @ matrix).tocsr()
    pair_counts.setdiag(0)
    item_counts = np.asarray(pair_counts.sum(axis=1)).ravel().astype(np.float64)
    count = np.asarray(pair_counts[j, k], dtype=np.float64).ravel()
    with np.errstate(divide="ignore", invalid="ignore"):
        pmi = np.log(count) - np.log(item_counts[j] * item_counts[k] / item_counts.sum())
    return np.where(count > 0, pmi, -np.inf)


def read_paper_values(dataset: str) -> dict[int, float]:
    """Return the paper's correlation by number of hops, which it gives for ML-100k alone."""
    if dataset != "ml-100k":
        return {}
    return dict(pd.read_csv(PAPER / "figure5.csv", index_col="hops")["pearson_pmi_attention"])


def correlate(pairs: pd.DataFrame, weights: Weights, paper: Mapping[int, float]) -> pd.DataFrame:
    """Return a row for every hop of every model. The last hop has the paper's value, too."""
    pmi, rows = pairs["pmi"].to_numpy(), []
    for (hops, seed), attention in weights.items():
        for hop, column in enumerate(attention, start=1):
            low, high = bootstrap_correlation(pairs["user"].to_numpy(), pmi, column)
            values = {"r": compute_correlation(pmi, column), "low": low, "high": high}
            known = paper.get(hops) if hop == hops else None
            rows.append({"hops": hops, "hop": hop, "seed": seed, **values, "paper": known})
    return pd.DataFrame(rows)


def draw(hops: Sequence[int], pairs: pd.DataFrame, weights: Weights, correlations: pd.DataFrame) -> Figure:
    """Draw a panel for each number of hops.

    It shows the pairs of the first seed, r of every seed, and their linear trends: the mean and a band of all.
    """
    figure = Figure(figsize=(1.2 + 2.6 * len(hops), 3.4))
    panels = figure.subplots(1, len(hops), squeeze=False, sharex=True, sharey=True)[0]
    density, shades = None, LogNorm(1, 2)
    for number, axes in zip(hops, panels, strict=True):
        axes.set_xlabel("PMI (nats)")
        rows = list_rows(correlations.query("hops == hop == @number"))
        if not rows:
            axes.set_title(f"SDM-{number}", fontsize=8)
            mark_missing(axes)
            continue
        pmi = pairs["pmi"].to_numpy()
        density = _draw_pairs(axes, pmi, weights[number, rows[0].seed][-1], shades) or density
        trends = compute_trends(pmi, [weights[number, row.seed][-1] for row in rows])
        axes.fill_between(trends.index, trends["low"], trends["high"], color="#D55E00", alpha=0.4, linewidth=0)
        axes.plot(trends.index, trends["mean"], color="#D55E00", linewidth=1.5)
        lines = [f"SDM-{number}: {_format_correlation(rows[0])}"]
        lines += [] if pd.isna(rows[0].paper) else [f"paper {rows[0].paper:.3f}"]
        lines += ["further seeds " + ", ".join(f"{row.r:.3f}" for row in rows[1:])] * (len(rows) > 1)
        axes.set_title("\n".join(lines), fontsize=8)
    panels[0].set_ylabel("attention weight, last hop")
    if density is not None:
        figure.colorbar(density, ax=panels, label="pairs", pad=0.01)
    return figure


def _draw_pairs(
    axes: Axes, pmi: NDArray[np.float64], attention: NDArray[np.float64], shades: LogNorm
) -> PolyCollection | None:
    """Draw the pairs. Returns the shades of their density, if there are too many of them."""
    density = None
    if len(pmi) > MAX_POINTS:
        axes.grid(False)
        density = axes.hexbin(pmi, attention, gridsize=(36, 18), mincnt=1, norm=shades, cmap=GRAYS)
        shades.vmax = max(shades.vmax or 2, float(np.asarray(density.get_array()).max()))
    else:
        axes.scatter(pmi, attention, s=6, color="0.35", linewidths=0)
    return density


def compute_trends(pmi: NDArray[np.float64], weights: Sequence[NDArray[np.float64]]) -> pd.DataFrame:
    """Return the linear trends of attention weight over PMI.

    Args:
        pmi: That of each pair [n].
        weights: Those of each pair [n], by seed.

    Returns:
        Their `mean`, lowest (`low`) and highest value (`high`) over seeds, on a grid of PMI, the index.
    """
    grid = np.linspace(pmi.min(), pmi.max(), 50)
    lines = np.array([np.polyval(np.polyfit(pmi, one, 1), grid) for one in weights])
    return pd.DataFrame({"mean": lines.mean(axis=0), "low": lines.min(axis=0), "high": lines.max(axis=0)}, index=grid)


def _format_correlation(row: Any) -> str:
    return f"r = {row.r:.3f} ({row.low:.3f} … {row.high:.3f})"
