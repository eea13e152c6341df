"""The runs of the audit: planned factor by factor, and their records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.deviations import format_deviations
from sdmr.experiments.core.options import UsageError
from sdmr.experiments.core.plan import FoundRun, PlannedRun, is_stochastic
from sdmr.experiments.core.record import Record, TieCounts
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.run import compose_run
from sdmr.experiments.core.store import RANKS, RECORD, published_folder, published_settings
from sdmr.experiments.report.factors import (
    ALL_ITEMS,
    DATASET,
    DEFAULT,
    FACTORS,
    ORDER_DATASET,
    ORDERS,
    SHORT_TRAINING,
    TIES,
    Factor,
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

    @property
    def folder_name(self) -> str:
        """The name of its published folder, below results/records/audit/DATASET/."""
        return f"{self.planned.group}-{self.model}-{self.planned.seed}"


@dataclass(frozen=True)
class AuditPlan:
    """What the audit is asked for."""

    factors: Sequence[str]
    models: Sequence[str]
    order_models: Sequence[str]  # of the factors of ORDERS
    seeds: int
    runs: Path
    results: Path
    overrides: Sequence[str] = ()

    def list_runs(self) -> list[AuditRun]:
        """Return the runs in the order in which they are made: factor by factor, seed by seed."""
        runs = [run for factor in FACTORS if factor.name in self.factors for run in self._plan_factor(factor)]
        if "released" in self.factors and "sdmr" in self.models:
            runs += [self._plan(factor, "sdmr", dataset) for dataset, factor in TIES.items() if dataset != DATASET]
        return runs + [run for order in ORDERS if order.name in self.factors for run in self._plan_order(order)]

    def _plan_factor(self, factor: Factor) -> Iterator[AuditRun]:
        """Plan a factor on ML-100k. Where models are ordered, those that are trained already take part."""
        for seed in range(self.seeds):
            for model in MODELS:
                if model not in (factor.models or MODELS) or (seed and not is_stochastic(model)):
                    continue
                run = self._plan(factor, model, seed=seed)
                if model in self.models or (factor in (DEFAULT, ALL_ITEMS) and self._is_trained(run)):
                    yield run

    def _plan_order(self, order: Factor) -> Iterator[AuditRun]:
        yield from (self._plan(order, rule, ORDER_DATASET) for rule in RULES)
        for model in self.order_models:
            yield self._plan(order, model, ORDER_DATASET, settings=SHORT_TRAINING if is_stochastic(model) else ())

    def _plan(
        self, factor: Factor, model: str, dataset: str = DATASET, seed: int = 0, settings: Sequence[str] = ()
    ) -> AuditRun:
        """Plan one run, with the settings of every run and the place of its published record."""
        planned = factor.plan(model, dataset, seed)
        run = AuditRun(model, replace(planned, settings=(*planned.settings, *settings, *self.overrides)))
        return run if self.overrides else replace(run, planned=replace(run.planned, published=self._published(run)))

    def _published(self, run: AuditRun) -> Path:
        """Return the folder of a run's published record: the audit's or, of the default row, else Table 3's."""
        planned = run.planned
        folder = published_folder(self.results, "audit", planned.dataset, run.folder_name)
        table = published_folder(self.results, "table3", planned.dataset, f"{run.model}-{planned.seed}")
        if planned.group != DEFAULT.name or (folder / RECORD).exists() or not (table / RECORD).exists():
            return folder
        settings = published_settings(self.results, "table3", planned.dataset, run.model)
        return table if settings == "default" else folder

    def _is_trained(self, run: AuditRun) -> bool:
        """Return whether the run has a published record, or this machine has trained its model."""
        published = run.planned.published
        return (published is not None and (published / RECORD).exists()) or self._has_run(run.model, run.planned.seed)

    def _has_run(self, model: str, seed: int) -> bool:
        """Return whether this machine has the default run of a model."""
        try:
            run = compose_run((*DEFAULT.plan(model, DATASET, seed).overrides, *self.overrides), self.runs)
        except (UsageError, DataError):
            return False
        return run.record is not None


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
