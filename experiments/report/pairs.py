"""The differences of every two models on a data set."""

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from sdmr.experiments.report.comparisons import Comparison, compare_rows
from sdmr.experiments.report.row_values import Values
from sdmr.experiments.report.uncertainty import correct_by_holm


def compare_all(rows: Mapping[str, Values]) -> pd.DataFrame:
    """Compare every two models over the same instances.

    Returns a row for each pair: the models by their keys in `rows`, the fields of `Comparison`, and p values by Holm's
    method: `corrected` over all pairs, `model_p` over the differences of the first model, `other_p` of the second. Of a
    metric among all items, two models have no row if they ranked other samples of the instances, or other items.
    """
    tests = [
        (model, other, *compare_rows(rows[model].row, rows[other].row))
        for model, other in combinations(rows, 2)
        if _rank_the_same(rows[model], rows[other])
    ]
    frame = pd.DataFrame(tests, columns=["model", "other", *Comparison._fields])
    frame = frame.assign(corrected=correct_by_holm(frame["p"].tolist()), model_p=math.nan, other_p=math.nan)
    for name in rows:
        sides = {side: frame.index[frame[side] == name] for side in ("model", "other")}
        family = sides["model"].union(sides["other"])
        p = pd.Series(correct_by_holm(frame.loc[family, "p"].tolist()), family)
        for side, index in sides.items():
            frame.loc[index, f"{side}_p"] = p[index]
    return frame


def _rank_the_same(first: Values, second: Values) -> bool:
    """Tell whether two rows rank the same instances, among as many items if known."""
    if not np.array_equal(first.instances, second.instances):
        return False
    return first.others is None or second.others is None or np.array_equal(first.others, second.others)
