"""Change one choice of protocol or model at a time, and test the paper's claims: `sdmr audit seeds=3`.

Each row of the tables is a factor: the default protocol with one choice made in another way. Missing runs are made
first. `publish=true` copies their records to `results/records/audit/`, and writes `results/audit.csv` and
`results/audit.md`. Example: `sdmr audit factors=[default,released] models=[sdp,sdm]`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core import cli
from sdmr.experiments.core.options import Names, RunOptions, UsageError
from sdmr.experiments.core.plan import FoundRun, PlannedRun, check_overrides, find_or_train, report_missing
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.store import RECORD, published_folder
from sdmr.experiments.report.audit import format_report, format_summary
from sdmr.experiments.report.audit_runs import AuditPlan, AuditRun, load_audit
from sdmr.experiments.report.factors import FACTOR_NAMES
from sdmr.experiments.report.writers import write_csv


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
        factors=options.factors or FACTOR_NAMES,
        models=options.models,
        order_models=options.order_models,
        seeds=options.seeds,
        runs=runs,
        results=results,
        overrides=options.overrides,
    ).list_runs()
    planned = [run.planned for run in plan]
    findings = find_or_train(planned, runs, options.workers, options.train)
    report_missing(planned, findings)
    records = load_audit(plan, findings.runs)
    text = format_report(records, results, Path(options.plots), options.overrides)
    print(text)
    if options.publish:
        publish_records(plan, findings.runs, results)
        write_csv(results / "audit.csv", format_summary(records))
        write_atomic(results / "audit.md", text.encode())
    return int(options.train and len(findings.runs) < len(planned))


def check_options(options: Options) -> None:
    """Raise UsageError for a name that does not exist, and for settings that the rows or the captions contradict."""
    for key, names, allowed in (
        ("factors", options.factors or [], FACTOR_NAMES),
        ("models", options.models, tuple(MODELS)),
        ("order_models", options.order_models, tuple(MODELS)),
    ):
        if unknown := [name for name in names if name not in allowed]:
            raise UsageError(f"{key}={unknown[0]}: there is no such name; there are {', '.join(allowed)}")
    check_overrides(options.overrides)
    for override in options.overrides:
        if override.lstrip("+").startswith("protocol."):
            raise UsageError(f"{override}: the rows differ in this; choose rows with factors=[...]")
    if options.publish and options.overrides:
        raise UsageError(f"publish=true: not with other settings ({' '.join(options.overrides)})")


def publish_records(plan: Sequence[AuditRun], found: Mapping[PlannedRun, FoundRun], results: Path) -> None:
    """Copy this machine's records into the results. The ranks stay here, since the tables need none."""
    for run in plan:
        source = found.get(run.planned)
        if source is not None and not source.is_published:
            folder = published_folder(results, "audit", run.planned.dataset, run.folder_name)
            write_atomic(folder / RECORD, (source.folder / RECORD).read_bytes())


if __name__ == "__main__":
    sys.exit(cli.main(["audit", *sys.argv[1:]]))
