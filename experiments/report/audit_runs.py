"""The runs of the audit: planned factor by factor, and their records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from pydantic import Field

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.deviations import format_deviations
from sdmr.experiments.core.options import Names, RunOptions, UsageError
from sdmr.experiments.core.plan import FoundRun, PlannedRun, is_stochastic
from sdmr.experiments.core.record import Record, TieCounts
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.run import compose_run
from sdmr.experiments.core.store import RANKS, RECORD, published_folder, published_settings
from sdmr.experiments.report.factors import (
    ALL_ITEMS,
    DATASET,
    DEFAULT,
    FACTOR_NAMES,
    FACTORS,
    ORDER_DATASET,
    ORDERS,
    SHORT_TRAINING,
    TIES,
    Factor,
    Variant,
)
from sdmr.experiments.report.frames import METRICS
from sdmr.experiments.report.id_order import RULES
from sdmr.harness.metrics import count_ties
from sdmr.harness.records import read_ranks

CELL = ["dataset", "factor", "model", "metric", "tie_policy"]


@dataclass(frozen=True)
class AuditRun:
    """A run of the audit, and the column of its result."""

    model: str  # a name of MODELS, also where a variant of it is run, or a rule of IdOrder
    planned: PlannedRun  # its group is the factor

    def locate(self, results: Path) -> Path:
        """Return the folder of its record among those that the audit publishes."""
        name = f"{self.planned.group}-{self.model}-{self.planned.seed}"
        return published_folder(results, "audit", self.planned.dataset, name)


class AuditOptions(RunOptions):
    """What the audit is asked for."""

    seeds: int = Field(1, ge=1, description="seeds 0 to n - 1 of each stochastic model")
    factors: Names = Field(list(FACTOR_NAMES), description="rows")
    models: Names = Field(["sdp", "sdm", "sdmr", "item-knn", "popularity", "mf-bpr"], description="columns")
    order_models: Names = Field(
        ["popularity", "item-knn", "mf-bpr", "prme", "sdp", "sdm"], description="models of the factors file and random"
    )


def plan_audit(options: AuditOptions) -> list[AuditRun]:
    """Plan the runs, factor by factor and seed by seed."""
    runs = [run for factor in FACTORS if factor.name in options.factors for run in _plan_factor(options, factor)]
    if "released" in options.factors and "sdmr" in options.models:
        runs += [_plan(options, factor, "sdmr", dataset) for dataset, factor in TIES.items() if dataset != DATASET]
    return runs + [run for order in ORDERS if order.name in options.factors for run in _plan_order(options, order)]


def _plan_factor(options: AuditOptions, factor: Factor) -> Iterator[AuditRun]:
    """Plan a factor on ML-100k. Where models are ordered, those that are trained already take part."""
    for seed in range(options.seeds):
        for model in MODELS:
            if model not in (factor.models or MODELS) or (seed and not is_stochastic(model)):
                continue
            run = _plan(options, factor, model, seed=seed)
            if model in options.models or (factor in (DEFAULT, ALL_ITEMS) and _is_trained(options, run)):
                yield run


def _plan_order(options: AuditOptions, order: Factor) -> list[AuditRun]:
    """Plan an order of Epinions: the rules, and models that are trained shortly."""
    short = {model: Variant(model, SHORT_TRAINING) for model in options.order_models if is_stochastic(model)}
    order = replace(order, variants={**order.variants, **short})
    return [_plan(options, order, model, ORDER_DATASET) for model in (*RULES, *options.order_models)]


def _plan(options: AuditOptions, factor: Factor, model: str, dataset: str = DATASET, seed: int = 0) -> AuditRun:
    """Plan one run, with the settings of every run and the folder of its published record."""
    planned = factor.plan(model, dataset, seed)
    run = AuditRun(model, replace(planned, settings=(*planned.settings, *options.overrides)))
    if options.overrides:
        return run
    return AuditRun(model, replace(planned, published=_find_published(Path(options.results), run)))


def _find_published(results: Path, run: AuditRun) -> Path:
    """Return the folder of a run's published record: the audit's or, of the default row, else Table 3's."""
    dataset, folder = run.planned.dataset, run.locate(results)
    table = published_folder(results, "table3", dataset, f"{run.model}-{run.planned.seed}")
    is_default = published_settings(results, "table3", dataset, run.model) == "default"
    stands_in = run.planned.group == DEFAULT.name and is_default and (table / RECORD).exists()
    return table if stands_in and not (folder / RECORD).exists() else folder


def _is_trained(options: AuditOptions, run: AuditRun) -> bool:
    """Return whether the run has a published record, or this machine has its model's default run."""
    if run.planned.published and (run.planned.published / RECORD).exists():
        return True
    default = DEFAULT.plan(run.model, DATASET, run.planned.seed)
    try:
        return compose_run((*default.overrides, *options.overrides), Path(options.runs)).record is not None
    except (UsageError, DataError):
        return False


@dataclass(frozen=True)
class AuditRecord:
    """The record of a run, and its place in the tables."""

    dataset: str
    factor: str
    model: str
    record: Record


def load_audit(runs: Sequence[AuditRun], found: Mapping[PlannedRun, FoundRun]) -> list[AuditRecord]:
    """Read the records that were found, by seed."""
    ready = [run for run in runs if run.planned in found]
    return [
        AuditRecord(run.planned.dataset, run.planned.group, run.model, _load_counted(found[run.planned]))
        for run in sorted(ready, key=lambda run: run.planned.seed)
    ]


def _load_counted(found: FoundRun) -> Record:
    """Return a record with its counts of ties, which early ones lack."""
    record = found.record
    if record.ties is None:
        counts = count_ties(read_ranks(found.folder / RANKS)[1])
        record = record.model_copy(update={"ties": TieCounts.model_validate(counts)})
    return record


def select_records(records: Sequence[AuditRecord], dataset: str, factor: str, model: str) -> list[Record]:
    """Return the records of one cell, by seed."""
    cell = (dataset, factor, model)
    return [one.record for one in records if (one.dataset, one.factor, one.model) == cell]


def build_frame(records: Sequence[AuditRecord]) -> pd.DataFrame:
    """Return a row for each run, metric and tie policy."""
    rows = [
        (
            *(one.dataset, one.factor, one.model, one.record.config["seed"], metric, policy, value),
            *(format_deviations(one.record.deviations), one.record.environment.commit or ""),
        )
        for one in records
        for metric in METRICS
        for policy, value in one.record.metrics()[metric].items()
    ]
    return pd.DataFrame(rows, columns=[*CELL[:3], "seed", *CELL[3:], "value", "deviations", "commit"])


def summarize_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Return mean, sample standard deviation and number of seeds of each cell, which is the index."""
    values = {"mean": ("value", "mean"), "spread": ("value", "std"), "seeds": ("value", "count")}
    texts = {"deviations": ("deviations", "first"), "commit": ("commit", lambda one: ", ".join(sorted(set(one))))}
    return frame.groupby(CELL, sort=False).agg(**values, **texts)
