"""How far sampled and full ranking order the rows of a table alike."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import get_model
from sdmr.experiments.core.run_files import RANKS, RECORD
from sdmr.experiments.report.averages import ALL
from sdmr.experiments.report.uncertainty import Interval, bootstrap_means, correlate_orders, cut_tails
from sdmr.harness.metrics import TiePolicy
from sdmr.harness.records import read_ranks

MIN_ROWS = 3  # whose orders are compared


def describe_full_ranking(
    dataset: str, folders: Mapping[str, Sequence[Path]], metrics: Iterable[str], tie_policy: TiePolicy = "expected"
) -> Iterator[str]:
    """Yield lines on samples of test instances, and on Kendall's τ between the orders.

    Args:
        dataset: The data set's name.
        folders: The run folders of each model's seeds.
        metrics: Those of the table. There is a τ for each that stands there among all items, too.
        tie_policy: How both read a tie.
    """
    ranked = {
        model: kept
        for model, paths in folders.items()
        if (kept := [path for path in paths if load_record(path / RECORD).test_all is not None])
    }
    sizes: dict[tuple[int, int], list[str]] = {}
    for model, paths in ranked.items():
        if (sample := load_record(paths[0] / RECORD).test_all_sample) is not None:
            sizes.setdefault(sample, []).append(get_model(model).name)
    for (number, total), names in sizes.items():
        yield (
            f"{dataset}: metrics among all items are those of a fixed random sample of {number:,} of {total:,} test "
            f"instances for {', '.join(names)}."
        )
    if len(ranked) >= MIN_ROWS:
        shown = list(metrics)
        taus = {metric: compare_orders(ranked, metric, tie_policy) for metric in shown if metric + ALL in shown}
        texts = [
            f"{metric} {tau:.2f} [{one.low:.2f}, {one.high:.2f}]"
            for metric, (tau, one) in taus.items()
            if math.isfinite(tau)
        ]
        if not texts:
            return
        yield (
            f"{dataset}: Kendall's τ between the orders of {len(ranked)} rows among the sampled candidates and among "
            f"all items, with its 95 % bootstrap interval over users: {'; '.join(texts)}."
        )


def compare_orders(
    folders: Mapping[str, Sequence[Path]], metric: str, tie_policy: TiePolicy = "expected"
) -> tuple[float, Interval]:
    """Return Kendall's τ between sampled and full means of a metric, and its interval.

    It is NaN if all rows are equal on one side. A resample of users is the same for all models and both sides, so that
    what they share does not widen the interval.
    """
    sums = [
        pd.concat([_sum_by_user(paths, metric, is_among_all, tie_policy) for paths in folders.values()], axis=1)
        for is_among_all in (False, True)
    ]
    table = pd.concat(sums, axis=1).fillna(0).to_numpy()  # a user without a sampled instance has none on that side
    totals, counts = table[:, ::2], table[:, 1::2]
    n = len(folders)
    means = totals.sum(axis=0) / counts.sum(axis=0)
    resampled = np.concatenate(list(bootstrap_means(totals, counts)))
    taus = correlate_orders(resampled[:, :n], resampled[:, n:])
    finite = taus[np.isfinite(taus)]
    interval = cut_tails(finite) if len(finite) else Interval(math.nan, math.nan)
    return float(correlate_orders(means[:n], means[n:])), interval


def _sum_by_user(paths: Sequence[Path], metric: str, is_among_all: bool, tie_policy: TiePolicy) -> pd.DataFrame:
    """Return the sum of a metric over a user's instances and seeds, and their number."""
    parts = [read_ranks(path / RANKS, is_among_all) for path in paths]
    values = pd.concat([pd.Series(ranks.compute(metric, tie_policy), users) for users, ranks in parts])
    return values.groupby(level=0).agg(["sum", "count"])
