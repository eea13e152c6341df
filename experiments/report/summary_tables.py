"""The tables of docs/results: paper and ours, what to use, and the authors' own values."""

import re
import statistics
from collections.abc import Collection, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import (
    GRID_ROWS,
    MODELS,
    OTHER_ROWS,
    PAPER_MODELS,
    get_model,
    insert_grid_rows,
)
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.report.accuracy import make_published_cells
from sdmr.experiments.report.averages import ALL, list_rows
from sdmr.experiments.report.dataset_statistics import REASONS, STAND_INS
from sdmr.experiments.report.documents import CIRCLE, NOT_IN_PAPER, is_paper_outside
from sdmr.experiments.report.factors import ALL_RELEASED, AUTHORS_README, DATASET, README, README_HOPS
from sdmr.experiments.report.printed import FURTHER_DATASETS, ID_ORDER_DATASET, METRICS, get_paper_value, read_groups
from sdmr.experiments.report.published_rows import list_published
from sdmr.experiments.report.ranked_rows import read_seed_spreads
from sdmr.experiments.report.writers import (
    NOTHING,
    format_mean,
    format_metric,
    format_metrics,
    format_signed,
    make_markdown,
)

NAMES = {
    "ml-100k": "ML-100k",
    "ml-1m": "ML-1M",
    "epinions": "Epinions",
    ID_ORDER_DATASET: "Epinions, id order",
    "ta-feng": "Ta-Feng",
    "netflix": "Netflix",
    "netflix-sample": "Netflix, sample",
    "ijcai-15": "IJCAI-15",
}
# Those that the findings name: as in the paper, and in its tables.
MAIN = [dataset for dataset in NAMES if dataset not in {*FURTHER_DATASETS, *REASONS}]
SUBSTITUTES = {STAND_INS.get(dataset, dataset): dataset for dataset in REASONS}  # with the paper's data set
SUBSTITUTE_NOTE = (
    "A substitute for the paper's data, with other users, items and test items. The paper's values are there for their "
    "order alone."
)
NDCG = METRICS[1]
DAGGER = "†"  # behind a row that older code has made
PAPER_NAMES = [get_model(one).name for one in PAPER_MODELS]
KEYS = {get_model(row).name: row for row in insert_grid_rows(MODELS)}  # by printed name
COLUMNS = ["model", *(f"{metric}: {side}" for metric in METRICS for side in ("paper", "ours", "Δ"))]
TRIES = ["seeds", "trials"]
Models = Mapping[str, Mapping[str, Any]]  # cells by printed model and metric
Cells = Mapping[str, Models]  # by data set
RowNames = Collection[tuple[str, str]]  # data sets and printed models


def read_cells(results: Path) -> Cells:
    """Read the published cells, of the tables and of further data sets."""
    paths = [path for number in (3, 4) if (path := results / f"table{number}.csv").exists()]
    tables = [pd.read_csv(path, dtype={"search": str}).fillna({"search": ""}) for path in paths]
    rows = [(one, row) for one in FURTHER_DATASETS for row in KEYS.values() if list_published(results, one, row)]
    metrics = [*METRICS, *(metric + ALL for metric in METRICS)]
    spreads = read_seed_spreads(results, metrics) if rows else pd.DataFrame()
    tables += [make_published_cells(results, *row, spreads, metrics) for row in rows]
    cells: dict[str, dict[str, dict[str, Any]]] = {dataset: {} for dataset in NAMES}
    for cell in (cell for table in tables for cell in list_rows(table) if cell.seeds):
        cells[cell.dataset].setdefault(cell.model, {})[cell.metric] = cell
    return {dataset: models for dataset, models in cells.items() if models}


def _format_rows(models: Models, is_substitute: bool = False) -> list[list[str]]:
    """Return the texts of `COLUMNS`, for a substitute without differences."""
    texts = {name: [_format_sides(one[metric], is_substitute) for metric in METRICS] for name, one in models.items()}
    return [[name, *chain.from_iterable(sides)] for name, sides in texts.items()]


def _format_sides(cell: Any, is_substitute: bool) -> tuple[str, str, str]:
    if is_substitute:
        return format_metric(cell.paper), format_metric(cell.ours), NOTHING
    difference = format_signed(float(format_metric(cell.ours)) - cell.paper)
    mark = f" {CIRCLE}" if is_paper_outside(cell) else ""
    return format_metric(cell.paper), format_metric(cell.ours), difference + mark


def format_tables(cells: Cells, older: RowNames) -> str:
    """Return a table for each data set: paper, ours, intervals, seeds and trials.

    `older` are rows that older code has made.
    """
    sections = []
    for dataset, models in cells.items():
        rows = _format_rows(models, dataset in SUBSTITUTES)
        for row, one in zip(rows, models.values(), strict=True):
            full = one.get(NDCG + ALL)
            row.append(f"{format_metric(one[NDCG].low)} … {format_metric(one[NDCG].high)}")
            row += [format_metric(full.ours) if full else NOTHING, *_count_tries(one)]
            row[0] += f" {DAGGER}" * ((dataset, row[0]) in older)
        others = [KEYS[name] in OTHER_ROWS for name in models]
        if any(others):
            rows.insert(others.index(True), [NOT_IN_PAPER, *[""] * (len(rows[0]) - 1)])
        columns = [*COLUMNS, f"{NDCG}: interval of the mean", f"{NDCG}, all items", *TRIES]
        printed = {name: one for name, one in models.items() if not pd.isna(one[NDCG].paper)}
        inside = [name for name, one in printed.items() if not any(is_paper_outside(one[m]) for m in METRICS)]
        note = f"Both printed values lie inside our intervals for one new run: {', '.join(inside) or 'of no row'}."
        note = SUBSTITUTE_NOTE if dataset in SUBSTITUTES else note
        sections.append(
            f"### {NAMES[dataset]}\n\n{make_markdown(pd.DataFrame(rows, columns=columns), columns[1:])}\n\n{note}"
        )
    return "\n\n".join(sections)


def format_front_table(cells: Cells) -> str:
    """Return the paper's models on ML-100k, and the best row of each other group."""
    models = {name: one for name, one in cells.get(DATASET, {}).items() if KEYS[name] not in GRID_ROWS}
    groups = read_groups()
    best = {groups.get(name, ""): name for name in sorted(models, key=lambda name: models[name][NDCG].ours)}
    shown = {*(MODELS[model].name for model in PAPER_MODELS), *best.values()}
    models = {name: one for name, one in models.items() if name in shown}
    rows = [row + _count_tries(one) for row, one in zip(_format_rows(models), models.values(), strict=True)]
    columns = [*COLUMNS, *TRIES]
    return make_markdown(pd.DataFrame(rows, columns=columns), columns[1:])


def _count_tries(metrics: Mapping[str, Any]) -> list[str]:
    """Return a row's seeds and trials; an earlier search has a dash."""
    return [f"{metrics[NDCG].seeds:.0f}", metrics[NDCG].search.partition(",")[0] or NOTHING]


def select_rows(models: Models, metric: str, minutes: Mapping[str, float]) -> tuple[str, str]:
    """Return the row with the highest value, and the cheapest in its interval."""
    ranked = {name: one[metric] for name, one in models.items() if metric in one and KEYS[name] not in GRID_ROWS}
    best = max(ranked, key=lambda name: ranked[name].ours)
    near = [name for name, cell in ranked.items() if name == best or cell.ours >= ranked[best].low]
    return best, min(near, key=minutes.__getitem__)


def list_equal_rows(models: Models, metric: str, best: str) -> list[str]:
    """Return the rows that equal the best one to three decimals, it first."""
    value = format_metric(models[best][metric].ours)
    equal = [name for name, one in models.items() if metric in one and format_metric(one[metric].ours) == value]
    return [best, *(name for name in equal if name != best and KEYS[name] not in GRID_ROWS)]


def select_all_rows(results: Path, cells: Cells) -> dict[tuple[str, str], tuple[str, str]]:
    """Return the rows of `select_rows` by data set and metric, sampled and full.

    A data set has full ones only if every row has been ranked among all items.
    """
    rows = {}
    for dataset, models in cells.items():
        minutes = {name: measure_training(results, dataset, name) for name in models}
        for metric in (NDCG, NDCG + ALL):
            if dataset != ID_ORDER_DATASET and all(metric in one for one in models.values()):
                rows[dataset, metric] = select_rows(models, metric, minutes)
    return rows


def measure_training(results: Path, dataset: str, model: str) -> float:
    """Return the minutes of a row's training and of its parts, the mean over seeds.

    They are those of the wall clock, which all records have.
    """
    records = [load_record(folder / RECORD) for folder in list_published(results, dataset, KEYS[model])]
    return statistics.mean(one.seconds["fit"] + one.seconds.get("parts", 0.0) for one in records) / 60


def format_minutes(minutes: float) -> str:
    """Return minutes with two digits, down to a tenth."""
    return f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.1f}" if minutes >= 0.1 else "<0.1"


def format_choice(results: Path, cells: Cells) -> str:
    """Return each data set's best row, a cheap one and the paper's best model."""
    rows = []
    main = {dataset: models for dataset, models in cells.items() if dataset in MAIN}
    for (dataset, metric), pair in select_all_rows(results, main).items():
        row = {"data set": NAMES[dataset], "ranked among": "all items" if metric.endswith(ALL) else "100 items"}
        titles = (("best row", "training", "search"), ("cheapest in its interval", "its training", "its search"))
        for title, name in zip(titles, pair, strict=True):
            cell = cells[dataset][name][metric]
            searches = re.findall(r"(\d+) min", cell.search)  # of the row, and of its parts
            minutes = format_minutes(measure_training(results, dataset, name))
            search_minutes = str(sum(map(int, searches))) if searches else NOTHING
            row |= dict(zip(title, (f"{name} {format_metric(cell.ours)}", minutes, search_minutes), strict=True))
        ours = {name: cells[dataset][name][metric].ours for name in PAPER_NAMES if name in cells[dataset]}
        best = max(ours, key=ours.__getitem__, default="")
        rows.append(row | {"best of SDP, SDM, SDMR": f"{best} {format_metric(ours[best])}" if best else NOTHING})
    return make_markdown(rows)


def format_authors(results: Path, cells: Cells) -> str:
    """Return what the authors' README prints beside the paper, our rows, and the released models."""
    audit = pd.read_csv(results / "audit.csv").set_index(["dataset", "factor", "model", "metric", "tie_policy"])
    rows = []
    for (dataset, model), theirs in AUTHORS_README.items():
        ours = cells.get(dataset, {}).get(MODELS[model].name)
        printed = FURTHER_DATASETS.get(dataset, dataset)
        factor = README if dataset in README_HOPS else ALL_RELEASED
        keys = [(dataset, factor.name, model, metric, factor.tie_policy) for metric in METRICS]
        has_released = keys[0] in audit.index
        released = [format_mean(*audit.loc[key, ["mean", "spread"]]) for key in keys] if has_released else [NOTHING]
        row = {"data set": NAMES[dataset], "model": MODELS[model].name, "authors": theirs}
        row["paper"] = format_metrics(get_paper_value(printed, model, metric) for metric in METRICS)
        row["ours, tuned"] = format_metrics(ours[metric].ours for metric in METRICS) if ours else NOTHING
        rows.append(row | {"released model, our split": " / ".join(released)})
    return make_markdown(rows)
