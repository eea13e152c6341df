"""Make the cells of Tables 3 and 4 from records, with intervals and verdicts."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sdmr.experiments.report.averages import ALL, average_seeds
from sdmr.experiments.report.dataset_statistics import REASONS
from sdmr.experiments.report.printed import METRICS
from sdmr.experiments.report.ranked_rows import load_row
from sdmr.experiments.report.uncertainty import Size, estimate_mean, judge_size

INTERVAL_COLUMNS = ["low", "high", "run_low", "run_high"]
SIZES = {"inside": Size.AS_PRINTED, "paper higher": Size.SMALLER, "paper lower": Size.LARGER}  # of a verdict
VERDICTS = {size: verdict for verdict, size in SIZES.items()}


def drop_unranked(cells: pd.DataFrame) -> pd.DataFrame:
    """Return cells without metrics among all items that no record has.

    A data set keeps the metrics that any of its records has.
    """
    is_ranked = cells.groupby(["dataset", "metric"])["ours"].transform("count") > 0
    return cells[is_ranked | ~cells["metric"].str.endswith(ALL)].reset_index(drop=True)


def make_cells(
    dataset: str,
    model: str,
    folders: Sequence[Path],
    spreads: pd.DataFrame,
    settings: str = "default",
    printed: str = "",
    metrics: Sequence[str] = METRICS,
) -> pd.DataFrame:
    """Return the rows of `average_seeds` with intervals, verdicts on the paper, and settings.

    The folders have `ranks.npz` too. `low` and `high` bound the 95 % interval of the mean, `run_low` and `run_high`
    that for one new run. By the latter, the verdict says whether the paper's value is inside, higher or lower; a
    substitute for the paper's data has none.

    Args:
        printed: The data set whose printed values count, if it is not `dataset`.
    """
    cells = average_seeds(dataset, model, folders, metrics=metrics, printed=printed)
    cells = cells.assign(**dict.fromkeys(INTERVAL_COLUMNS, math.nan), verdict="", settings="")
    for row in cells.index[cells["seeds"] > 0]:
        estimate = estimate_mean(*load_row(model, folders, cells.loc[row, "metric"], spreads))
        cells.loc[row, "settings"] = settings
        cells.loc[row, INTERVAL_COLUMNS] = [*estimate.interval(), *estimate.run_interval()]
        if not math.isnan(paper := cells.loc[row, "paper"]) and dataset not in REASONS:
            cells.loc[row, "verdict"] = VERDICTS[judge_size(paper, estimate.run_interval())]
    return cells
