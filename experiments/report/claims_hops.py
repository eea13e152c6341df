"""The claim that more hops help SDM, judged by the published records of Figure 6."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.run_files import RANKS, RECORD
from sdmr.experiments.report.claims_answers import Direction, Finding, format_note, grade
from sdmr.experiments.report.hop_points import HopPoint, list_hop_points
from sdmr.experiments.report.printed import METRICS, PRINTED
from sdmr.experiments.report.published_sources import is_current
from sdmr.experiments.report.ranked_rows import load_row
from sdmr.experiments.report.uncertainty import Estimate, SeedPart, correct_by_holm, estimate_mean, get_sign
from sdmr.experiments.report.writers import format_interval, format_metrics, format_signed

HIT = METRICS[0]  # which the paper's Figure 6 shows
SETTING = ["dim", "context_length"]
COMPARED = [1, 3, 4]  # hops
SMALL_GAIN = 0.01  # of the metric: unless the interval excludes it, more hops may still help


def check_hops(results: Path, spreads: pd.DataFrame) -> list[Finding]:
    """Test three and four hops of SDM against one, over users and seeds.

    The gain is the mean over embedding sizes. The paper's figure has hit@10 alone, so NDCG@10 is only shown.

    Args:
        results: The folder of the published records.
        spreads: The s² that points of one seed borrow from.
    """
    points = [point for point in list_hop_points(results) if point.model == "sdm"]
    grids = {dataset: tabulate_points(point for point in points if point.dataset == dataset) for dataset in PRINTED}
    grids = {dataset: grid for dataset, grid in grids.items() if not grid.empty}
    gains = {(d, metric): estimate_gain(grid, metric, spreads) for d, grid in grids.items() for metric in METRICS}
    p_values = dict(zip(grids, correct_by_holm([gains[d, HIT].p_value() for d in grids]), strict=True))
    findings = []
    for dataset in PRINTED:
        if dataset not in grids:
            findings.append(Finding(dataset))
            continue
        gain, grid = gains[dataset, HIT], grids[dataset]
        sign, n_seeds = get_sign(gain.value, p_values[dataset]), grid.index.unique("seed").size
        texts = [_format_gain(metric, gains[dataset, metric]) for metric in METRICS]
        size = f"mean over {len(grid) // n_seeds} embedding sizes, {n_seeds} seed(s)"
        lines = [f"3 and 4 hops − 1 hop, {size}: {texts[0]} `{sign}`; {texts[1]}", _describe_means(grid)]
        if dataset == "ta-feng":  # where the paper says that they do not help
            could_gain = gain.interval().high >= SMALL_GAIN
            direction = Direction.OPPOSITE if sign == "+" else Direction.NOT_SHOWN if could_gain else Direction.YES
        else:
            direction = grade(sign == "+", False, sign == "−")
        is_older = not all(is_current(load_record(path / RECORD)) for path in chain(*grid[COMPARED].to_numpy()))
        findings.append(Finding(dataset, direction, evidence=lines, note=format_note(dataset, n_seeds == 1, is_older)))
    return findings


def tabulate_points(points: Iterable[HopPoint]) -> pd.DataFrame:
    """Return the folders of points by setting and seed (rows) and hops (columns).

    It has the settings that every seed has with one, three and four hops. Older points, which have no ranks, are left
    out.
    """
    ranked = [point for point in points if (point.folder / RANKS).exists()]
    frame = pd.DataFrame(ranked, columns=HopPoint._fields)
    grid = frame.pivot(index=[*SETTING, "seed"], columns="hops", values="folder").reindex(columns=[1, 2, 3, 4])
    grid = grid.dropna(subset=COMPARED)
    return grid.groupby(SETTING).filter(lambda seeds: len(seeds) == grid.index.unique("seed").size)


def estimate_gain(grid: pd.DataFrame, metric: str, spreads: pd.DataFrame) -> Estimate:
    """Estimate the gain of three and four hops over one, the mean over settings."""
    groups = [seeds for _, seeds in grid.groupby(SETTING)]
    rows = [{hops: load_row("sdm", seeds[hops].tolist(), metric, spreads) for hops in COMPARED} for seeds in groups]
    gains = np.mean([(row[3].values + row[4].values) / 2 - row[1].values for row in rows], axis=0)  # [seeds, n]
    first = rows[0][1]
    parts: tuple[SeedPart, ...] = ()
    if len(gains) > 1:
        parts = (SeedPart(float(gains.mean(axis=1).var(ddof=1)), len(gains), len(gains) - 1),)
    elif first.seeds:  # s² of a row, which is borrowed: a gain has 1.5 s², and the mean over settings less
        parts = (first.seeds[0]._replace(variance=1.5 * first.seeds[0].variance / len(rows)),)
    return estimate_mean(first.users, gains, parts)


def _format_gain(metric: str, gain: Estimate) -> str:
    return f"{metric} {format_signed(gain.value)} ({format_interval(*gain.interval())})"


def _describe_means(grid: pd.DataFrame) -> str:
    """Return the mean metrics by hops."""
    texts = []
    for hops in (hops for hops in grid if grid[hops].notna().all()):
        metrics = [load_record(folder / RECORD).metrics() for folder in grid[hops]]
        means = (float(np.mean([one[metric]["expected"] for one in metrics])) for metric in METRICS)
        texts.append(f"{hops}: {format_metrics(means)}")
    return f"mean {' / '.join(METRICS)} by hops: {', '.join(texts)}"
