"""Compare models with the baselines that are best on validation."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import MODELS, PAPER_MODELS, get_model
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.report.averages import list_rows
from sdmr.experiments.report.printed import GROUPS, METRICS, read_groups
from sdmr.experiments.report.ranked_rows import Row, load_row
from sdmr.experiments.report.uncertainty import (
    ALPHA,
    correct_by_holm,
    estimate_difference,
    estimate_mean,
    sum_by_user,
)
from sdmr.experiments.report.writers import format_difference, format_effect, format_p_value
from sdmr.harness.metrics import TiePolicy

COMPARED_METRIC = "NDCG@10"
Folders = Mapping[str, Sequence[Path]]  # the run folders of each model's seeds, by its name on the command line


class Comparison(NamedTuple):
    """The difference of two models' means, over the same test instances.

    Intervals are those of the mean difference, and for one new run of each model. They and the p value are not
    corrected.
    """

    difference: float
    low: float
    high: float
    run_low: float
    run_high: float
    p: float
    effect: float  # standardized: the mean over the standard deviation of the users' differences
    wins: float  # share of the users for whom the first model is better
    ties: float
    losses: float


def select_best_on_validation(folders: Mapping[str, Sequence[Path]]) -> str:
    """Return the model (key) with the best mean validation NDCG@10 over its seeds."""

    def average(model: str) -> float:
        records = (load_record(folder / RECORD) for folder in folders[model])
        return statistics.mean(record.validation["NDCG@10"]["expected"] for record in records)

    return max(folders, key=average)


def compare_models(
    folders: Folders, model: str, other: str, metric: str, spreads: pd.DataFrame, tie_policy: TiePolicy = "expected"
) -> Comparison:
    """Compare a model with another over the same users."""
    return compare_rows(*(load_row(one, folders[one], metric, spreads, tie_policy) for one in (model, other)))


def compare_rows(first: Row, second: Row) -> Comparison:
    """Compare two rows of the same instances. Raises DataError if their users differ.

    The variance has the paired user part, and the seed parts of both. The effect is Cohen's d of paired differences
    (Statistical Power Analysis, 1988, 2.3.5), of the users' means over seeds.
    """
    if not np.array_equal(first.users, second.users):
        raise DataError("two rows cannot be compared: their test instances are of other users, or in another order")
    one = estimate_difference(first.users, first.values, second.values, first.seeds + second.seeds)
    average = (first.values.mean(axis=0) - second.values.mean(axis=0))[None]
    signs = np.sign(sum_by_user(first.users, average)[0].round(9))
    shares = [float((signs == sign).mean()) for sign in (1, 0, -1)]
    deviation = (estimate_mean(first.users, average).user_variance * one.users) ** 0.5
    effect = one.value / deviation if deviation else 0.0
    return Comparison(one.value, *one.interval(), *one.run_interval(), one.p_value(), effect, *shares)


def compare_paper_models(
    dataset: str, folders: Folders, spreads: pd.DataFrame, tie_policy: TiePolicy = "expected"
) -> pd.DataFrame:
    """Compare SDP, SDM and SDMR with the best baseline of each group on validation.

    Returns a row for each comparison of test NDCG@10: printed names, the fields of `Comparison`, and two more.
    `corrected` is the p value by Holm's method over all comparisons. `mark` is, for a significant difference, g+ or g−
    (general), s+ or s− (sequential). There is no mark against a baseline below Popularity on validation.
    """
    groups, rows, weak = read_groups(), [], []
    for model, group in product(PAPER_MODELS, GROUPS):
        baselines = {m: paths for m, paths in folders.items() if paths and groups.get(get_model(m).name) == group}
        if folders.get(model) and baselines:
            best = select_best_on_validation(baselines)
            popular = {m: paths for m, paths in folders.items() if paths and m == "popularity"}
            weak.append(bool(popular) and select_best_on_validation({best: baselines[best]} | popular) != best)
            test = compare_models(folders, model, best, COMPARED_METRIC, spreads, tie_policy)
            rows.append((dataset, get_model(model).name, group, get_model(best).name, *test))
    frame = pd.DataFrame(rows, columns=["dataset", "model", "group", "baseline", *Comparison._fields])
    signs = frame["difference"].map(lambda difference: "+" if difference > 0 else "−")
    corrected = correct_by_holm(frame["p"].tolist())
    is_marked = (np.array(corrected) < ALPHA) & ~np.array(weak, dtype=bool)
    return frame.assign(corrected=corrected, mark=(frame["group"].str[:1] + signs).where(is_marked, ""))


def describe_comparisons(dataset: str, folders: Folders, spreads: pd.DataFrame, tie_policy: TiePolicy) -> Iterator[str]:
    """Yield a line for each comparison of the paper's models, then of each user's class."""
    for one in list_rows(compare_paper_models(dataset, folders, spreads, tie_policy)):
        yield (
            f"{dataset}, {one.model} − {one.baseline}, the best {one.group} baseline by validation: {COMPARED_METRIC} "
            f"{format_difference(one)}, p {format_p_value(one.corrected, '= ')} (Holm); {format_effect(one)}"
        )
    trained = {model: paths for model, paths in folders.items() if paths}
    baselines = {m: paths for m, paths in trained.items() if get_model(m).target.startswith("sdmr.baselines.")}
    for model in (model for model in trained if baselines and model not in MODELS):
        best = select_best_on_validation(baselines)
        tests = {metric: compare_models(folders, model, best, metric, spreads, tie_policy) for metric in METRICS}
        texts = [
            f"{metric} {format_difference(t)}, p {format_p_value(t.p, '= ')}, {format_effect(t)}"
            for metric, t in tests.items()
        ]
        yield (
            f"{dataset}, {get_model(model).name} − {get_model(best).name}, the best baseline by validation: "
            f"{'; '.join(texts)}"
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
