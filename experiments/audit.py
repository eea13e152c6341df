"""Change one choice at a time, and test the paper's claims: `sdmr audit seeds=3`.

Each row of the tables is a factor: the default, or the default with one choice of protocol or model changed. Missing
runs are made first. `publish=true` copies their records to `results/records/audit/`, and writes `results/audit.csv` and
`results/audit.md` from all that lie there. Example: `sdmr audit factors=[default,released] models=[sdp,sdm]`.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core import cli
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import check_choices
from sdmr.experiments.core.plan import Findings, FoundRun, check_overrides, find_or_train, report_missing
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.core.store import lock_results
from sdmr.experiments.report.audit import format_report, format_summary
from sdmr.experiments.report.audit_runs import (
    AuditOptions,
    AuditRun,
    Records,
    add_published,
    load_audit,
    plan_audit,
    read_published_audit,
)
from sdmr.experiments.report.factors import FACTOR_NAMES, ORDERS
from sdmr.experiments.report.summary import update_pages
from sdmr.experiments.report.writers import write_csv


class Options(AuditOptions):
    train: bool = Field(True, description="make missing runs; false: show what exists")
    publish: bool = Field(False, description="write records and tables into the results")
    plots: str = Field("plots", description="folder of Figure 5's correlations")


def main(options: Options) -> int:
    check_options(options)
    results, plan = Path(options.results), plan_audit(options)
    planned = [run.planned for run in plan]
    for model in dict.fromkeys(one.model for one in planned):
        compose_config([f"model={model}", *options.overrides])
    findings = find_or_train(planned, Path(options.runs), options.workers, options.train)
    report_missing(planned, findings)
    records = load_audit(plan, findings.runs)
    plots = Path(options.plots)
    if not options.publish:
        print(format_report(records, results, plots, options.overrides))
    else:
        with lock_results(results):
            print(publish_audit(plan, findings, records, results, plots))
    is_complete = not options.train or (len(findings.runs) == len(planned) and not findings.failures)
    return 0 if is_complete else cli.FAILED


def publish_audit(plan: Sequence[AuditRun], findings: Findings, records: Records, results: Path, plots: Path) -> str:
    """Copy the records of this machine's runs; write and return the whole report.

    A cell keeps its published seeds unless all of them are replaced, or are by the same code.
    """
    cells: dict[tuple[str, str, str], list[tuple[AuditRun, FoundRun]]] = defaultdict(list)
    for run in plan:
        if run.planned in findings.runs:
            cells[run.planned.dataset, run.planned.group, run.model].append((run, findings.runs[run.planned]))
    published, records = read_published_audit(results, FACTOR_NAMES), dict(records)
    for cell, runs in cells.items():
        if len(runs) < (count := len(published.get(cell, ()))) or len({one.record.source for _, one in runs}) > 1:
            print(f"{', '.join(cell)} keeps its {count} published seeds: not all have been made anew", file=sys.stderr)
            del records[cell]
            continue
        for run, source in runs:
            if not source.is_published:  # no ranks: the tables need none
                write_atomic(run.locate(results) / RECORD, (source.folder / RECORD).read_bytes())
    records = add_published(records, results)
    text = format_report(records, results, plots)
    write_csv(results / "audit.csv", format_summary(records))
    write_atomic(results / "audit.md", text.encode())
    update_pages(results)
    return text


def check_options(options: Options) -> None:
    """Raise UsageError for unknown names, and for settings that the rows or captions contradict."""
    for key, names in {"factors": FACTOR_NAMES, "models": MODELS, "order_models": MODELS}.items():
        check_choices(key, getattr(options, key), names)
    if "order_models" in options.model_fields_set and not {order.name for order in ORDERS} & set(options.factors):
        raise UsageError("order_models=...: these are models of the factors file and random, which are not asked for")
    check_overrides(options.overrides, options=type(options).model_fields)
    for override in options.overrides:
        if override.startswith("protocol."):
            raise UsageError(f"{override}: the rows differ in this; choose rows with factors=[...]")
    if options.publish and options.overrides:
        raise UsageError(f"publish=true: not with other settings ({' '.join(options.overrides)})")


if __name__ == "__main__":
    sys.exit(cli.main(["audit", *sys.argv[1:]]))
