"""The part of the page on one data set: cells, differences, curves, speed, and provenance."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sdmr.experiments.core.plan import FoundRun, PlannedRun
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import get_model
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.report.accuracy import AccuracyTable
from sdmr.experiments.report.averages import ALL
from sdmr.experiments.report.cells import drop_unranked, make_cells
from sdmr.experiments.report.comparability import NOT_COMPARABLE, Mark
from sdmr.experiments.report.compared_rows import ComparedRow, explain_difference, ranks_all_items
from sdmr.experiments.report.hop_points import list_hop_points
from sdmr.experiments.report.pairs import compare_all
from sdmr.experiments.report.printed import METRICS
from sdmr.experiments.report.provenance import describe_row
from sdmr.experiments.report.published_rows import list_published
from sdmr.experiments.report.row_values import load_values
from sdmr.experiments.report.run_frames import average_speed, build_curves, build_speed, get_group
from sdmr.experiments.report.user_rows import YOURS
from sdmr.harness.metrics import CUTOFFS, list_metrics

SAMPLED = list_metrics(("hit", "NDCG", "MRR"), CUTOFFS)
EVERY_METRIC = [*SAMPLED, *(metric + ALL for metric in SAMPLED)]
COMPARED = [*METRICS, *(metric + ALL for metric in METRICS)]  # by the differences and the orders of rows
CELL = ["model", "metric", "paper", "ours", "spread", "seeds", "low", "high", "run_low", "run_high", "verdict"]
CELL += ["marks"]


def collect_dataset(
    dataset: str, table: AccuracyTable | None, user_rows: Sequence[ComparedRow], spreads: pd.DataFrame, results: Path
) -> dict[str, Any]:
    """Collect what the page shows of a data set, with models by their printed names.

    Args:
        dataset: The data set's name.
        table: The published table that has it, with every metric.
        user_rows: A user's rows on this data set.
        spreads: What `read_seed_spreads` returns of every metric.
        results: The folder of the published records.
    """
    frames = [] if table is None else [table.cells[table.cells["dataset"] == dataset]]
    frames += [_make_user_cells(dataset, row, spreads) for row in user_rows]
    cells = drop_unranked(pd.concat(frames)).reindex(columns=[*CELL, "settings", "search"])
    models = [] if table is None else table.records[dataset]
    folders = {model: paths for model in models if (paths := list_published(results, dataset, model))}
    published = [_read_row(model, paths) for model, paths in folders.items()]
    compared = {row.name: row for row in (*published, *user_rows)}
    first = next(iter(compared.values()))
    reasons = {row.name: explain_difference(first, row) for row in user_rows}
    marks = [] if table is None else [mark for mark in table.marks if mark.dataset == dataset]
    rows = _describe_origins(cells, marks, reasons)
    for name, row in compared.items():
        rows[get_model(name).name] |= describe_row(name, row.folders, row.records, results)
    comparable = [row for name, row in compared.items() if not reasons.get(name)]
    runs = {
        PlannedRun(name, dataset, record.config.get("seed", 0)): FoundRun(path)
        for name, row in compared.items()
        if not (reasons.get(name) or ranks_all_items(row))  # their NDCG@10 is another one
        for path, record in zip(row.folders, row.records, strict=True)
    }
    return {
        "cells": cells[CELL],
        "notes": [] if table is None else table.notes[dataset],
        "pairs": _compare_pairs(comparable, spreads),
        "rows": rows,
        "curves": _list_curves(build_curves(runs)),
        "speed": _average_speed(runs),
    }


def describe_points(dataset: str, results: Path) -> dict[str, Any]:
    """Return how each published point of Figure 6 was made.

    A point is named like its records, without the seed.
    """
    folders: dict[str, list[Path]] = {}
    models = {}
    for point in list_hop_points(results):
        if point.dataset == dataset:
            folders.setdefault(point.name, []).append(point.folder)
            models[point.name] = point.model
    return {
        name: describe_row(models[name], paths, [load_record(path / RECORD) for path in paths], results)
        for name, paths in folders.items()
    }


def _describe_origins(
    cells: pd.DataFrame, marks: Sequence[Mark], reasons: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return group, choice of settings, search and notes of each row.

    Args:
        cells: Of all rows.
        marks: What to know of the published rows.
        reasons: Why a user's row is not comparable, or nothing, by name.
    """
    origins = cells.drop_duplicates("model")[["model", "settings", "search"]].astype(object).fillna("").to_numpy()
    rows = {}
    for name, choice, search in origins:
        ours = [mark for mark in marks if mark.row == name]
        excluded = "; ".join(mark.detail for mark in ours if mark.title == NOT_COMPARABLE)
        rows[name] = {
            "group": YOURS if name in reasons else get_group(name),
            "choice": choice,
            "search": search,
            "marks": [f"{mark.title}: {mark.detail}" if mark.detail else mark.title for mark in ours],
            "incomparable": reasons.get(name, excluded),
        }
    return rows


def _read_row(model: str, folders: Sequence[Path]) -> ComparedRow:
    """Return a published row, named as on the command line."""
    return ComparedRow(model, model, tuple(folders), tuple(load_record(path / RECORD) for path in folders))


def _make_user_cells(dataset: str, row: ComparedRow, spreads: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of a user's row, without the paper's values."""
    is_full = ranks_all_items(row)
    if is_full:
        spreads = spreads[spreads["metric"].str.endswith(ALL)]
        spreads = spreads.assign(metric=spreads["metric"].str.removesuffix(ALL))
    metrics = SAMPLED if is_full else EVERY_METRIC
    cells = make_cells(dataset, row.model, row.folders, spreads, "", metrics=metrics)
    cells = cells.assign(model=row.name, paper=math.nan, verdict="")
    return cells.assign(metric=cells["metric"] + ALL) if is_full else cells


def _compare_pairs(rows: Sequence[ComparedRow], spreads: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the differences of every two rows, by metric."""
    pairs = {}
    for metric in COMPARED:
        loaded = {get_model(row.name).name: load_values(row, metric, spreads) for row in rows}
        ranked = {name: values for name, values in loaded.items() if values is not None}
        if len(ranked) > 1:
            pairs[metric] = compare_all(ranked)
    return pairs


def _list_curves(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return validation NDCG@10 and loss by epoch, a curve a model and seed."""
    lists = []
    for (name, seed), curve in frame.groupby(["model", "seed"], sort=False) if len(frame) else ():
        values = {key: _round(curve[key]) for key in ("epoch", "validation", "loss")}
        best = curve["epoch"][curve["is_best"]].tolist()
        lists.append({"model": get_model(str(name)).name, "seed": seed, "best": best[0] if best else None} | values)
    return lists


def _round(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else round(value, 4) for value in values.tolist()]


def _average_speed(runs: Mapping[PlannedRun, FoundRun]) -> pd.DataFrame:
    """Return seconds to train and test NDCG@10 of each model, with the spread over seeds."""
    frame = average_speed(build_speed(runs))
    return frame.assign(model=_print_names(frame["model"]))


def _print_names(names: pd.Series) -> list[str]:
    """Return the printed names of models."""
    return [get_model(name).name for name in names]
