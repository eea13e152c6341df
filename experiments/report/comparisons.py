"""Compare models with the baselines that are best on validation."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.experiments.core.registry import MODELS, get_model
from sdmr.experiments.report.frames import (
    GROUPS,
    METRICS,
    average_by_user,
    list_rows,
    read_groups,
    select_best_on_validation,
)
from sdmr.experiments.report.uncertainty import PairedTest, compare_pairs, correct_by_holm
from sdmr.experiments.report.writers import format_difference, format_p_value
from sdmr.harness.metrics import TiePolicy

COMPARED_METRIC = "NDCG@10"
PAPER_MODELS = ("sdp", "sdm", "sdmr")
Folders = Mapping[str, Sequence[Path]]  # the run folders of each model's seeds, by its name on the command line


def compare_paper_models(dataset: str, folders: Folders, tie_policy: TiePolicy = "expected") -> pd.DataFrame:
    """Compare SDP, SDM and SDMR with the best baseline of each group on validation.

    Returns a row for each comparison of test NDCG@10: printed names, the fields of `PairedTest`, and two more.
    `corrected` is the p value by Holm's method over all comparisons. `mark` is, for a significant difference, g+ or g−
    (general), s+ or s− (sequential).
    """
    groups, rows = read_groups(), []
    for model, group in product(PAPER_MODELS, GROUPS):
        baselines = {m: paths for m, paths in folders.items() if paths and groups.get(get_model(m).name) == group}
        if folders.get(model) and baselines:
            best = select_best_on_validation(baselines)
            test = compare_models(folders, model, best, COMPARED_METRIC, tie_policy)
            rows.append((dataset, get_model(model).name, group, get_model(best).name, *test))
    frame = pd.DataFrame(rows, columns=["dataset", "model", "group", "baseline", *PairedTest._fields])
    signs = frame["difference"].map(lambda difference: "+" if difference > 0 else "−")
    corrected = correct_by_holm(frame["p"].tolist())
    marks = (frame["group"].str[:1] + signs).where(np.array(corrected) < 0.05, "")
    return frame.assign(corrected=corrected, mark=marks)


def compare_models(folders: Folders, model: str, other: str, metric: str, tie_policy: TiePolicy) -> PairedTest:
    """Test a model against another over the same users."""
    return compare_pairs(*(average_by_user(folders[one], metric, tie_policy) for one in (model, other)))


def describe_comparisons(dataset: str, folders: Folders, tie_policy: TiePolicy) -> Iterator[str]:
    """Yield a line for each comparison of the paper's models, then of each user's class."""
    for one in list_rows(compare_paper_models(dataset, folders, tie_policy)):
        yield (
            f"{dataset}, {one.model} − {one.baseline}, the best {one.group} baseline by validation: {COMPARED_METRIC} "
            f"{format_difference(one)}, p {format_p_value(one.corrected, '= ')} (paired t-test over users, Holm)"
        )
    trained = {model: paths for model, paths in folders.items() if paths}
    baselines = {m: paths for m, paths in trained.items() if get_model(m).target.startswith("sdmr.baselines.")}
    for model in (model for model in trained if baselines and model not in MODELS):
        best = select_best_on_validation(baselines)
        tests = {metric: compare_models(folders, model, best, metric, tie_policy) for metric in METRICS}
        texts = [f"{metric} {format_difference(t)}, p {format_p_value(t.p, '= ')}" for metric, t in tests.items()]
        yield (
            f"{dataset}, {get_model(model).name} − {get_model(best).name}, the best baseline by validation: "
            f"{'; '.join(texts)} (paired t-test over users)"
        )


def mark_cells(cells: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return the cells with the marks of their comparisons, such as "g+ s−"."""
    marks = comparisons.groupby(["dataset", "model"])["mark"].agg(" ".join).str.strip().to_dict()
    keys = zip(cells["dataset"], cells["model"], strict=True)
    texts = pd.Series([marks.get(key, "") for key in keys], cells.index)
    return cells.assign(marks=texts.where(cells["metric"] == COMPARED_METRIC, ""))


def compute_gains(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the percent that SDM and SDMR gain over the best baseline of each group.

    These are the paper's last rows. There is none where the paper prints none.
    """
    keys, sides, groups = ["dataset", "metric"], ["paper", "ours"], cells["model"].map(read_groups())
    gains = []
    for group, model in product(GROUPS, ("SDM", "SDMR")):
        best = cells[groups == group].groupby(keys, sort=False)[sides].max()
        values = cells[cells["model"] == model].set_index(keys)[sides]
        gain = (100 * (values / best - 1)).dropna(subset="paper").reset_index()
        gains.append(gain.assign(model=f"{model} over the best {group} baseline"))
    return pd.concat(gains)
