"""Average the metrics of a row over its seeds, beside the paper's values. A missing number is NaN."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import MODELS, NAMED_MODELS, get_model
from sdmr.experiments.core.run_files import RANKS, RECORD
from sdmr.experiments.report.printed import METRICS, get_paper_value
from sdmr.harness.metrics import TIE_POLICIES, TiePolicy, summarize
from sdmr.harness.records import read_ranks

ALL = " all"  # behind the name of a metric: among all unseen items
CELL = ["dataset", "model", "metric", "paper", "ours", "spread", "seeds", "optimistic", "pessimistic", "commit"]
OTHER_TARGETS = {"test_item", "equal_times", "candidates"}  # deviations that rule out a comparison with the paper


def list_rows(frame: pd.DataFrame) -> list[Any]:
    """Return the rows, whose cells are attributes named by their columns."""
    return list(frame.itertuples(index=False))


def average_seeds(
    dataset: str,
    model: str,
    folders: Sequence[Path],
    tie_policy: TiePolicy = "expected",
    metrics: Sequence[str] = METRICS,
    printed: str = "",
) -> pd.DataFrame:
    """Return a row for each metric of a model: the paper's value and our mean.

    Without ranks among all items, the mean of a metric among them is NaN, and the number of seeds 0. The paper's value
    is NaN beside records of other test items or candidates than the paper's.

    Args:
        dataset: The data set's name.
        model: The model's name on the command line. The rows have its printed name.
        folders: The runs of its seeds, each with `record.json`.
        tie_policy: How `ours` and `spread`, the sample standard deviation over seeds, read a tie.
        metrics: Those of records, or any other that their ranks give.
        printed: The data set whose printed values count, if it is not `dataset`.
    """
    records = [load_record(folder / RECORD) for folder in folders]
    if model in MODELS and records and not is_trained(model, records[0]):  # every seed gives the same
        records = records[:1]
    commit = ", ".join(sorted({record.environment.commit or "" for record in records}))
    is_paper_protocol, rows = not any(map(has_other_targets, records)), []
    for metric in metrics:
        values = pd.DataFrame(
            [read_metric(*one, metric) for one in zip(folders, records, strict=False)],
            columns=list(dict.fromkeys([*TIE_POLICIES, tie_policy])),
            dtype=float,
        )
        names = (dataset, get_model(model).name, metric)
        means, spread = values.mean(), values[tie_policy].std()
        paper = get_paper_value(printed or dataset, model, metric) if is_paper_protocol else math.nan
        bounds = (means["optimistic"], means["pessimistic"])
        seeds = int(values[tie_policy].count())
        rows.append((*names, paper, means[tie_policy], spread, seeds, *bounds, commit if seeds else ""))
    return pd.DataFrame(rows, columns=CELL)


def has_other_targets(record: Record) -> bool:
    """Tell whether another rule than the paper's draws test items or candidates."""
    return bool(OTHER_TARGETS & record.deviations.keys())


def is_trained(model: str, record: Record) -> bool:
    """Tell whether a model was trained from random numbers.

    This is assumed of a user's own class, and of scores made elsewhere.
    """
    known = NAMED_MODELS.get(model)
    return known is None or known.is_random or record.history is not None or not record.validation


def read_metric(folder: Path, record: Record, metric: str) -> Mapping[str, float]:
    """Return a metric by tie policy, of the record or of its ranks.

    It is empty if the record has no ranks among all items, or its ranks are too old for the metric.
    """
    is_among_all, name = metric.endswith(ALL), metric.removesuffix(ALL)
    metrics = record.test_all if is_among_all else record.metrics()
    if metrics is None or name in metrics:
        return {} if metrics is None else metrics[name]
    ranks = read_ranks(folder / RANKS, is_among_all)[1]
    if name == "AUC" and ranks.others is None:
        return {}
    base, _, cutoff = name.partition("@")
    return {str(policy): value for policy, value in summarize(ranks, [int(cutoff or 1)], [base])[name].items()}
