"""From records to the cells of Table 3 and Table 4."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray
from sdmr.experiments.configs import MODELS
from sdmr.experiments.uncertainty import by_user, holm, interval, paired, verdict
from sdmr.harness.metrics import TiePolicy
from sdmr.harness.records import read_ranks, read_record

METRICS = ("hit@10", "NDCG@10")
PAPER = Path(__file__).parent.parent / "paper"
DATASETS = {3: ("ml-100k", "ml-1m", "netflix", "epinions"), 4: ("ijcai-15", "ta-feng")}
GROUPS = ("general", "sequential")  # of baselines, as the paper has them


@dataclass(frozen=True)
class Cell:
    """One metric of one model on one data set, over the seeds that were run."""

    dataset: str
    model: str  # as the paper prints it
    metric: str
    paper: float | None
    values: tuple[float, ...]  # one a seed
    optimistic: float | None = None
    pessimistic: float | None = None
    interval: tuple[float, float] | None = None  # 95 %, bootstrap over users
    verdict: str = ""  # the paper's value is above, within or below the interval
    commit: str = ""
    settings: str = "plain"  # or "chosen"

    @property
    def ours(self) -> float | None:
        return statistics.mean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over seeds."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


def paper_values(table: int) -> dict[tuple[str, str, str], float]:
    """The paper's Table 3 or 4: value by (data set, model, metric)."""
    values = {}
    with (PAPER / f"table{table}.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            for dataset in DATASETS[table]:
                for metric in METRICS:
                    values[dataset, row["method"], metric] = float(row[f"{dataset}_{metric.lower()}"])
    return values


def groups(table: int) -> dict[str, str]:
    """The paper's group of each model in the table."""
    with (PAPER / f"table{table}.csv").open(encoding="utf-8") as lines:
        return {row["method"]: row["group"] for row in csv.DictReader(lines)}


def rows() -> list[str]:
    """The choices of the models that belong in Tables 3 and 4, in the paper's order.

    The paper's Table 4 has the sequential baselines and its own models alone; the others have no printed value there.
    """
    return list(MODELS)


def cells_of(table: int, dataset: str, model: str, records: Sequence[Path], ties: TiePolicy = "expected") -> list[Cell]:
    """Both cells of a model (its printed name) from the records of its seeds, with their ranks beside them.

    `ties`: how the values read a tie; the interval and where the paper's value lies hold for the expected ones.
    """
    read = [read_record(path) for path in records]
    paper = paper_values(table)
    ours = {model.target for model in MODELS.values()}
    if read and "history" not in read[0] and read[0]["model"] in ours:  # untrained, so that every seed gives the same
        read = read[:1]
    cells = []
    for metric in METRICS:
        published = paper.get((dataset, model, metric))
        if not read:
            cells.append(Cell(dataset, model, metric, published, ()))
            continue
        sides = {side: statistics.mean(r["test"][metric][side] for r in read) for side in ("optimistic", "pessimistic")}
        values = tuple(r["test"][metric][ties] for r in read)
        commits = sorted({r["environment"]["commit"] or "" for r in read})
        bounds = interval(*_over_seeds(records[: len(read)], metric, "expected"))
        judged = verdict(published, *bounds) if published is not None else ""
        cell = Cell(dataset, model, metric, published, values, **sides, interval=bounds, verdict=judged)
        cells.append(replace(cell, commit=", ".join(commits)))
    return cells


def _over_seeds(records: Sequence[Path], metric: str, ties: TiePolicy) -> tuple[IntArray, NDArray[np.float64]]:
    """The user of each instance, and the mean of the metric over the seeds."""
    values = []
    for path in records:
        users, ranks = read_ranks(ranks_beside(path))
        values.append(ranks.hit(10, ties) if metric == "hit@10" else ranks.ndcg(10, ties))
    return users, np.mean(values, axis=0)


def per_user(records: Sequence[Path], metric: str, ties: TiePolicy = "expected") -> NDArray[np.float64]:
    """[n_users] the metric's mean over the seeds and over the user's test instances, in the order of users."""
    total, number = by_user(*_over_seeds(records, metric, ties))
    return total / number


def best_on_validation(records: Mapping[str, Sequence[Path]]) -> str:
    """The model (a key of `records`) with the best mean validation NDCG@10 over its seeds."""

    def validation(model: str) -> float:
        read = (read_record(path) for path in records[model])
        return statistics.mean(record["validation"]["NDCG@10"]["expected"] for record in read)

    return max(records, key=validation)


@dataclass(frozen=True)
class Comparison:
    """One of the paper's models against the baseline of a group that is best on validation: NDCG@10 on test."""

    dataset: str
    model: str  # as the paper prints it
    group: str
    baseline: str
    difference: float
    interval: tuple[float, float]  # 95 %
    p: float  # of a paired t-test over users
    corrected: float  # by Holm's method, over all comparisons on the data set

    @property
    def mark(self) -> str:
        """g+ or g− (general), s+ or s− (sequential): significantly above or below that baseline; nothing if neither."""
        return f"{self.group[0]}{'+' if self.difference > 0 else '−'}" if self.corrected < 0.05 else ""


def comparisons(dataset: str, records: Mapping[str, Sequence[Path]], ties: TiePolicy = "expected") -> list[Comparison]:
    """SDP, SDM and SDMR against the best baseline of each group. `records`: those of each model (its choice)."""
    group_of, found = groups(3), []
    for model in ("sdp", "sdm", "sdmr"):
        for group in GROUPS:
            baselines = {m: paths for m, paths in records.items() if paths and group_of.get(MODELS[m].name) == group}
            if records.get(model) and baselines:
                best = best_on_validation(baselines)
                test = paired(*(per_user(records[one], "NDCG@10", ties) for one in (model, best)))
                found.append((MODELS[model].name, group, MODELS[best].name, *test))
    corrected = holm([p for *_, p in found])
    return [Comparison(dataset, *one, c) for one, c in zip(found, corrected, strict=True)]


def records_of(table: Path, dataset: str, model: str) -> list[Path]:
    """The published records of a model, by seed."""
    return sorted((table / dataset).glob(f"{model}-[0-9]*-record.json"))


def chosen_beside(folder: Path, model: str) -> Path:
    """Where the chosen settings of a model's published records are, if they were not made with plain ones."""
    return folder / f"{model}-chosen.txt"


def ranks_beside(record: Path) -> Path:
    """The file of per-instance ranks that belongs to a record."""
    return record.with_name(record.name.replace("record.json", "ranks.npz"))


def improvements(table: int, cells: Sequence[Cell]) -> list[tuple[str, str, str, str, float | None, float | None]]:
    """The paper's last rows: the gain of SDM and SDMR over the best baseline of a group, in the paper and here.

    (data set, metric, model, group, paper, ours), the gains in percent; None where a value is missing.
    """
    of, found = groups(table), []
    index = {(c.dataset, c.model, c.metric): c for c in cells}
    for dataset, metric in dict.fromkeys((c.dataset, c.metric) for c in cells):
        for group in GROUPS:
            baselines = [index[dataset, m, metric] for m in of if of[m] == group and (dataset, m, metric) in index]
            for model in ("SDM", "SDMR"):
                cell = index.get((dataset, model, metric))
                if cell is None or not baselines:
                    continue
                paper = _gain(cell.paper, [b.paper for b in baselines])
                ours = _gain(cell.ours, [b.ours for b in baselines])
                found.append((dataset, metric, model, group, paper, ours))
    return found


def _gain(value: float | None, others: Sequence[float | None]) -> float | None:
    known = [other for other in others if other is not None]
    return None if value is None or not known else 100 * (value / max(known) - 1)
