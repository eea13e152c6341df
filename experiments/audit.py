"""Change one choice of the released code at a time, and test the paper's claims: `sdmr audit seeds=3 factors=[default]`.

Each row of the tables is a factor: the default protocol with one choice made in another way
(`experiments/report/factors.py`). Missing runs are made first. `publish=true` copies their records to
`results/records/audit/`, and writes `results/audit.csv` and `results/audit.md`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core import cli
from sdmr.experiments.core.options import Names, RunOptions, UsageError
from sdmr.experiments.core.plan import FoundRun, PlannedRun, find_or_train, report_missing
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.store import RECORD, published_folder
from sdmr.experiments.report.audit import format_report, summarize
from sdmr.experiments.report.audit_runs import AuditPlan, AuditRun, build_frame, load_audit
from sdmr.experiments.report.factors import FACTOR_NAMES


class Options(RunOptions):
    seeds: int = Field(1, ge=1, description="seeds 0 to n - 1 of each stochastic model")
    factors: Names | None = Field(None, description=f"rows; null: all ({', '.join(FACTOR_NAMES)})")
    models: Names = Field(["sdp", "sdm", "sdmr", "item-knn", "popularity", "mf-bpr"], description="columns")
    order_models: Names = Field(
        ["popularity", "item-knn", "mf-bpr", "prme", "sdp", "sdm"], description="models of the factors file and random"
    )
    train: bool = Field(True, description="make missing runs; false: show what exists")
    publish: bool = Field(False, description="write records and tables into the results")
    plots: str = Field("plots", description="folder of Figure 5's correlations")


def main(options: Options) -> int:
    check_options(options)
    results, runs = Path(options.results), Path(options.runs)
    plan = AuditPlan(
        options.factors or FACTOR_NAMES,
        options.models,
        options.order_models,
        options.seeds,
        runs,
        results,
        options.overrides,
    ).list_runs()
    found = find_or_train([run.planned for run in plan], runs, options.workers, options.train).runs
    records = load_audit(plan, found)
    text = format_report(records, results, Path(options.plots), options.overrides)
    print(text)
    if options.publish:
        publish_records(plan, found, results)
        write_atomic(results / "audit.csv", summarize(build_frame(records)).encode())
        write_atomic(results / "audit.md", text.encode())
    return 1 if options.train and len(found) < len(plan) else 0
