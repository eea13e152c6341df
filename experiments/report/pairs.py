"""The differences of every two models on a data set."""

from itertools import combinations

import numpy as np
import pandas as pd

from sdmr.experiments.report.comparisons import Comparison, Folders, compare_rows
from sdmr.experiments.report.frames import load_row
from sdmr.experiments.report.uncertainty import correct_by_holm


def compare_all(folders: Folders, metric: str, spreads: pd.DataFrame) -> pd.DataFrame:
    """Compare every two models over the same instances, with Holm's correction over all of them.

    Returns a row for each pair: the models by their keys in `folders`, the fields of `Comparison`, and `corrected`.
    Two models that were ranked among all items for different samples of the instances have no row.
    """
    rows = {model: load_row(model, paths, metric, spreads) for model, paths in folders.items()}
    tests = [
        (model, other, *compare_rows(rows[model], rows[other]))
        for model, other in combinations(rows, 2)
        if np.array_equal(rows[model].users, rows[other].users)
    ]
    frame = pd.DataFrame(tests, columns=["model", "other", *Comparison._fields])
    return frame.assign(corrected=correct_by_holm(frame["p"].tolist()))
