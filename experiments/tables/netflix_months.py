"""The months of the Netflix Prize by their distance to Table 1: `python -m sdmr.experiments.tables.netflix_months`."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict

import numpy as np
import pandas as pd
from tqdm import tqdm

from sdmr.datasets.errors import DataError
from sdmr.datasets.filters import k_core
from sdmr.datasets.netflix import read_ratings
from sdmr.datasets.parsing import to_interactions
from sdmr.experiments.tables.statistics import PAPER


def months(min_count: int = 5) -> pd.DataFrame:
    """Each month's users, items and interactions after the 5-core, in one pass and iterated; the nearest month first.

    The distance to the paper's counts is the sum of the three |log(ours / paper)|. Raises DataError if the Prize's
    files cannot be found (see `sdmr.datasets.netflix`).
    """
    with (PAPER / "table1.csv").open(encoding="utf-8") as lines:
        paper = next(row for row in csv.DictReader(lines) if row["dataset"] == "netflix")
    goal = [int(paper[name]) for name in ("users", "items", "interactions")]
    parts = defaultdict(list)
    for part in tqdm(read_ratings(), desc="reading", unit=" parts"):
        for (year, month), rows in part.groupby([part["date"].dt.year, part["date"].dt.month]):
            parts[f"{year}-{month:02}"].append(rows[["user", "item"]].astype(np.int32))
    found = []
    for month in sorted(parts):
        whole = to_interactions(pd.concat(parts.pop(month)))
        for iterative in (False, True):
            kept = k_core(whole, min_count, iterative)
            counts = [kept.n_users, kept.n_items, len(kept)]
            distance = np.abs(np.log(np.maximum(counts, 0.5) / goal)).sum()  # a month may be left with nothing
            found.append((month, iterative, *counts, distance))
    columns = ["month", "iterative", "users", "items", "interactions", "distance"]
    return pd.DataFrame(found, columns=columns).sort_values("distance", ignore_index=True)


if __name__ == "__main__":
    try:
        print(months().to_string(index=False))
    except DataError as error:
        sys.exit(str(error))
