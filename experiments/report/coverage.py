"""The table of docs/results that says what was run."""

from pathlib import Path

import pandas as pd

from sdmr.experiments.core.plan import is_stochastic
from sdmr.experiments.core.registry import MODELS, can_read, get_model
from sdmr.experiments.report.averages import list_rows
from sdmr.experiments.report.dataset_statistics import REASONS, STAND_INS
from sdmr.experiments.report.printed import FURTHER_DATASETS, ID_ORDER_DATASET
from sdmr.experiments.report.summary_tables import KEYS, NAMES, NDCG, SUBSTITUTES, Cells
from sdmr.experiments.report.writers import NOTHING, make_markdown

# The names in Tables 1 and 2.
SIZES = {"users": "users", "items": "items", "interactions": "interactions", "instances": "interactions"}


def format_coverage(results: Path, cells: Cells) -> str:
    """Return the size of each data set, which rows it has, and what substitutes are."""
    rows = []
    sizes = _read_sizes(results)
    for dataset, name in NAMES.items():
        if dataset in STAND_INS and dataset not in cells:
            continue
        models = [get_model(model).name for model in MODELS if can_read(model, dataset)]
        published = cells.get(dataset, {})
        missing = [model for model in models if model not in published]
        seeds = sorted({int(one[NDCG].seeds) for row, one in published.items() if is_stochastic(KEYS[row])})
        data = "a substitute" if dataset in SUBSTITUTES else "as in the paper"
        data = "in the authors' order" if dataset == ID_ORDER_DATASET else data
        count = f"{len(models) - len(missing)} of {len(models)}"
        span = " to ".join(str(number) for number in dict.fromkeys([*seeds[:1], *seeds[-1:]]))
        printed = SUBSTITUTES.get(dataset, FURTHER_DATASETS.get(dataset, dataset))
        row = {
            "data set": name,
            "data": data,
            **sizes[printed],
            "rows": count,
            "seeds of trained rows": span or NOTHING,
        }
        rows.append(row | {"without a row": ", ".join(missing) if published else "all"})
    lines = [f"- {NAMES[dataset]}: {REASONS[printed]}" for dataset, printed in SUBSTITUTES.items()]
    return "\n".join([make_markdown(rows), "", *lines])


def _read_sizes(results: Path) -> dict[str, dict[str, str]]:
    """Return the size of each printed data set, with the paper's where it differs."""
    sizes: dict[str, dict[str, str]] = {}
    for number in (1, 2):
        for one in list_rows(pd.read_csv(results / f"table{number}.csv", dtype=str)):
            if name := SIZES.get(one.statistic):
                paper = f" (paper {int(one.paper):,})" if one.ours != one.paper else ""
                sizes.setdefault(one.dataset, {})[name] = f"{int(one.ours):,}{paper}"
    return sizes
