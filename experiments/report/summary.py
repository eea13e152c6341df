"""Fill the generated blocks of README.md and docs/ from the published results.

A block lies between `<!-- generated: NAME -->` and `<!-- end -->`; `make_blocks` lists the names. So new records change
the pages by the command that publishes them, and no sentence outside a block states what came out.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

import pandas as pd

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import write_atomic
from sdmr.experiments.core.paths import CHECKOUT, IS_CHECKOUT
from sdmr.experiments.report import cost_tables, coverage, findings, split_tables, summary_tables
from sdmr.experiments.report.audit import tabulate_literature
from sdmr.experiments.report.audit_runs import read_published_audit
from sdmr.experiments.report.claims import CLAIMED_FACTORS, judge_claims, tabulate_claims
from sdmr.experiments.report.comparability import collect_marks
from sdmr.experiments.report.factors import LITERATURE
from sdmr.experiments.report.printed import DATASETS
from sdmr.experiments.report.writers import write_csv

BLOCK = re.compile(r"(?<=<!-- generated: )([\w-]+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
CLAIMS = "claims.csv"  # in the results
PAGES = ("README.md", "docs/*.md")


def update_pages(results: Path) -> None:
    """Judge the claims anew, and fill the pages' blocks, in a checkout."""
    if not IS_CHECKOUT or results.resolve() != CHECKOUT / "results":
        return
    claims = judge_claims(results, CHECKOUT / "plots", read_published_audit(results, CLAIMED_FACTORS))
    write_csv(results / CLAIMS, tabulate_claims(claims))
    blocks = make_blocks(results)
    for path in (path for pattern in PAGES for path in sorted(CHECKOUT.glob(pattern))):
        text = path.read_text(encoding="utf-8")
        if (filled := fill_blocks(text, blocks)) != text:
            write_atomic(path, filled.encode())
            print(f"{path.relative_to(CHECKOUT)} has new numbers")


def fill_blocks(text: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """Return a page with the content of its blocks made anew. Raises DataError for an unknown block."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name not in blocks:
            raise DataError(f"<!-- generated: {name} -->: there is no such block; there are {', '.join(blocks)}")
        return f"{name}{match[2]}{blocks[name]()}\n"

    return BLOCK.sub(fill, text)


def make_blocks(results: Path) -> dict[str, Callable[[], str]]:
    """Return what makes each block, from the tables and records of the results."""
    cells = summary_tables.read_cells(results)
    claims = pd.read_csv(results / CLAIMS, keep_default_na=False)
    marks = [mark for number in DATASETS for mark in collect_marks(number, results)]
    older = findings.list_older_rows(marks)
    format_findings = partial(findings.format_findings, results, cells, claims, marks)
    front = cache(lambda: format_findings(findings.FRONT))  # on two pages
    return {
        "front-findings": front,
        "findings": format_findings,
        "front-table": lambda: summary_tables.format_front_table(cells),
        "claims": lambda: findings.format_answers(claims),
        "choice": lambda: summary_tables.format_choice(results, cells),
        "tables": lambda: summary_tables.format_tables(cells, older),
        "coverage": lambda: coverage.format_coverage(results, cells),
        "authors": lambda: summary_tables.format_authors(results, cells),
        "literature": lambda: tabulate_literature(read_published_audit(results, [LITERATURE.name])),
        "time-gaps": lambda: split_tables.format_time_gaps(results),
        "splits": lambda: split_tables.format_splits(results),
        "global-time": lambda: split_tables.format_global_time(results),
        "ranking-costs": lambda: cost_tables.format_ranking_costs(results),
        "costs": lambda: cost_tables.format_costs(results),
    }
