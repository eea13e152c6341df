"""The runs of the audit: planned factor by factor, and their records."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from pydantic import Field

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.deviations import format_deviations
from sdmr.experiments.core.options import Names, RunOptions
from sdmr.experiments.core.plan import FoundRun, PlannedRun, is_stochastic
from sdmr.experiments.core.record import Record, TieCounts, load_record
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.run_files import RANKS, RECORD
from sdmr.experiments.core.store import get_published_folder, get_published_settings
from sdmr.experiments.report import factors
from sdmr.experiments.report.factors import DATASET, DEFAULT, FACTOR_NAMES, LITERATURE, Factor
from sdmr.experiments.report.id_order import RULES
from sdmr.experiments.report.printed import METRICS
from sdmr.harness.metrics import count_ties
from sdmr.harness.records import read_ranks

CELL = ["dataset", "factor", "model", "metric", "tie_policy"]
# By data set, factor and model: a name of MODELS, also where a variant of it was run, or a rule of IdOrder.
Records = Mapping[tuple[str, str, str], Sequence[Record]]


@dataclass(frozen=True)
class AuditRun:
    """A run of the audit, and the column of its result."""

    model: str  # a name of MODELS, also where a variant of it is run, or a rule of IdOrder
    planned: PlannedRun  # its group is the factor

    def locate(self, results: Path) -> Path:
        """Return the folder of its record among those that the audit publishes."""
        name = f"{self.planned.group}-{self.model}-{self.planned.seed}"
        return get_published_folder(results, "audit", self.planned.dataset, name)


class AuditOptions(RunOptions):
    """The options of the audit."""

    seeds: int = Field(1, ge=1, description="seeds 0 to n − 1 of each model that draws random numbers")
    factors: Names = Field(
        list(factors.DEFAULT_NAMES), description=f"rows; {factors.README.name}, which takes hours, only if named"
    )
    models: Names = Field(["sdp", "sdm", "sdmr", "item-knn", "popularity", "mf-bpr"], description="columns")
    order_models: Names = Field(
        ["popularity", "item-knn", "mf-bpr", "prme", "sdp", "sdm"], description="models of the factors file and random"
    )


def plan_audit(options: AuditOptions) -> list[AuditRun]:
    """Plan the runs, factor by factor and seed by seed."""
    runs = [run for one in factors.FACTORS if one.name in options.factors for run in _plan_factor(options, one)]
    if "released" in options.factors and "sdmr" in options.models:
        runs += [_plan(options, one, "sdmr", dataset) for dataset, one in factors.TIES.items() if dataset != DATASET]
    if LITERATURE.name in options.factors and "sasrec" in options.models:
        runs.append(_plan(options, LITERATURE, "sasrec", factors.LITERATURE_DATASET))
    if factors.README.name in options.factors:
        runs += _plan_readme(options)
    return runs + [run for one in factors.ORDERS if one.name in options.factors for run in _plan_order(options, one)]


def _plan_factor(options: AuditOptions, factor: Factor) -> Iterator[AuditRun]:
    """Plan a factor on ML-100k."""
    models = [model for model in MODELS if model in options.models and model in (factor.models or MODELS)]
    for seed in range(options.seeds):
        yield from (_plan(options, factor, model, seed=seed) for model in models if not seed or is_stochastic(model))


def _plan_readme(options: AuditOptions) -> Iterator[AuditRun]:
    """Plan the released models on the other data sets of the authors' README."""
    for dataset in factors.README_HOPS:
        factor = factors.choose_readme(dataset)
        for model in factor.variants:
            if model in options.models:
                yield from (_plan(options, factor, model, dataset, seed) for seed in range(options.seeds))


def _plan_order(options: AuditOptions, order: Factor) -> list[AuditRun]:
    """Plan an order of Epinions: the rules, and models that are trained shortly."""
    brief = {m: factors.Variant(m, factors.SHORT_TRAINING) for m in options.order_models if is_stochastic(m)}
    order = replace(order, variants={**order.variants, **brief})
    return [_plan(options, order, model, factors.ORDER_DATASET) for model in (*RULES, *options.order_models)]


def _plan(options: AuditOptions, factor: Factor, model: str, dataset: str = DATASET, seed: int = 0) -> AuditRun:
    """Plan one run, and locate its published record.

    That is the audit's or, of the default row, else Table 3's.
    """
    planned = factor.plan(model, dataset, seed, options.overrides)
    if options.overrides:
        return AuditRun(model, planned)
    results = Path(options.results)
    folder = AuditRun(model, planned).locate(results)
    table = get_published_folder(results, "table3", dataset, f"{model}-{seed}")
    is_default = factor == DEFAULT and get_published_settings(results, "table3", dataset, model) == "default"
    stands_in = is_default and (table / RECORD).exists() and not (folder / RECORD).exists()
    return AuditRun(model, replace(planned, published=table if stands_in else folder))


def load_audit(plan: Sequence[AuditRun], runs: Mapping[PlannedRun, FoundRun]) -> Records:
    """Read the records of the runs that exist, by seed. Early ones lack counts of ties, which are made here."""
    records = defaultdict(list)
    for one in sorted((one for one in plan if one.planned in runs), key=lambda one: one.planned.seed):
        run = runs[one.planned]
        record = run.record
        if record.ties is None:
            counts = count_ties(read_ranks(run.folder / RANKS)[1])
            record = record.model_copy(update={"ties": TieCounts.model_validate(counts)})
        records[one.planned.dataset, one.planned.group, one.model].append(record)
    return dict(records)


def read_published_audit(results: Path, names: Sequence[str]) -> Records:
    """Read the published records of the named factors, in the order of their folders' names. No data are read."""
    records = defaultdict(list)
    for path in sorted(results.glob(f"records/audit/*/*/{RECORD}")):
        for factor in names:
            model = path.parent.name.removeprefix(f"{factor}-").rpartition("-")[0]
            if path.parent.name.startswith(f"{factor}-") and model in (*MODELS, *RULES):
                records[path.parents[1].name, factor, model].append(load_record(path))
    return dict(records)


def add_published(records: Records, results: Path) -> Records:
    """Return the records and the published ones; of a cell, those with more seeds."""
    published = read_published_audit(results, FACTOR_NAMES)
    cells = {cell: max(records.get(cell, ()), published.get(cell, ()), key=len) for cell in {**records, **published}}
    datasets = (*factors.TIES, factors.ORDER_DATASET, *factors.README_HOPS)  # the literature's among them
    if unknown := {dataset for dataset, *_ in cells} - set(datasets):
        raise DataError(f"{results / 'records' / 'audit' / min(unknown)}: the audit is of {', '.join(datasets)}")
    orders = (datasets.index, FACTOR_NAMES.index, (*RULES, *MODELS).index)
    return dict(
        sorted(cells.items(), key=lambda cell: [find(name) for find, name in zip(orders, cell[0], strict=True)])
    )


def build_frame(records: Records) -> pd.DataFrame:
    """Return a row for each run, metric and tie policy."""
    rows = []
    for cell, runs in records.items():
        for record in runs:
            texts = (format_deviations(record.deviations), record.environment.commit or "")
            for metric in METRICS:
                values = record.metrics()[metric].items()
                rows += [(*cell, record.config["seed"], metric, policy, value, *texts) for policy, value in values]
    return pd.DataFrame(rows, columns=[*CELL[:3], "seed", *CELL[3:], "value", "deviations", "commit"])


def summarize_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Return mean, sample standard deviation and number of seeds, indexed by cell."""
    values = {"mean": ("value", "mean"), "spread": ("value", "std"), "seeds": ("value", "count")}
    texts = {"deviations": ("deviations", "first"), "commit": ("commit", lambda one: ", ".join(sorted(set(one))))}
    return frame.groupby(CELL, sort=False).agg(**values, **texts)


def average_history(records: Sequence[Record]) -> pd.DataFrame:
    """Return the mean history over the epochs that all seeds have, by epoch."""
    history = pd.concat([pd.DataFrame(record.history) for record in records]).groupby("epoch")
    return history.mean(numeric_only=True)[history.size() == len(records)]
