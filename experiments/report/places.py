"""The best and the second-best values of a table, which it highlights."""

from collections.abc import Iterable

import pandas as pd

from sdmr.experiments.report.averages import ALL

LOWER_IS_BETTER = ("mean-rank",)
MARKED = 2  # places: the best, and the second best


def is_lower_better(metric: str) -> bool:
    """Tell whether a lower value of a metric is better."""
    return metric.removesuffix(ALL) in LOWER_IS_BETTER


def find_places(values: Iterable[float], is_lower_better: bool = False) -> list[int]:
    """Return 1 for the best values, 2 for the second best, else 0.

    Values that are written alike are equal.
    """
    written = pd.Series([float(f"{value:.3f}") for value in values], dtype=float)
    ranks = written.rank(method="min", ascending=is_lower_better)
    return ranks.where(ranks <= MARKED, 0).astype(int).tolist()


def add_places(cells: pd.DataFrame) -> pd.DataFrame:
    """Return cells with the `find_places` of ours, by data set and metric."""
    columns = cells.groupby(["dataset", "metric"])
    ranked = [
        column.assign(place=find_places(column["ours"], is_lower_better(str(metric))))
        for (_, metric), column in columns
    ]
    return pd.concat(ranked).sort_index()
