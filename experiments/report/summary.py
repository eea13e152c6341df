"""Fill the generated blocks of README.md and docs/ from the published results.

A block lies between `<!-- generated: NAME -->` and `<!-- end -->`; `make_blocks` lists the names. So new records change
the pages by the command that publishes them, and no sentence outside a block states what came out.
"""

import re
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import write_atomic
from sdmr.experiments.core.paths import CHECKOUT, IS_CHECKOUT
from sdmr.experiments.core.registry import get_model
from sdmr.experiments.report import cost_tables, split_tables, summary_tables
from sdmr.experiments.report.audit import tabulate_literature
from sdmr.experiments.report.audit_runs import read_published_audit
from sdmr.experiments.report.averages import ALL
from sdmr.experiments.report.claims import CLAIMED_FACTORS, SEQUENTIAL, judge_claims, tabulate_claims
from sdmr.experiments.report.claims_differences import MIXED, Direction
from sdmr.experiments.report.comparability import OLDER_ROW, ONE_SEED, UNCOUNTED, Mark, collect_marks
from sdmr.experiments.report.documents import is_paper_outside
from sdmr.experiments.report.factors import LITERATURE
from sdmr.experiments.report.printed import DATASETS, METRICS
from sdmr.experiments.report.summary_tables import MAIN, NAMES, NDCG, Cells
from sdmr.experiments.report.writers import NOTHING, format_metric, make_markdown, write_csv

BLOCK = re.compile(r"(?<=<!-- generated: )([\w-]+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
CLAIMS = "claims.csv"  # in the results
PAGES = ("README.md", "docs/*.md")
WIDTH = 120
FRONT = ("Claims.", "What to use.", "How sure.")  # of the README
ORDERED = [*SEQUENTIAL, "sdm", "sdmr", "gru4rec", "sasrec", "bert4rec"]  # models that read the latest items
DAGGER = "†"
LEGEND = (
    "*Yes*: every difference is significant; *in part*: some are; *mixed*: some in each direction; *opposite*: some, "
    f"all in the other direction; *not shown*: none. {DAGGER}: rows of different versions of the code. {NOTHING}: not "
    "tested."
)
OLDER = "older code"  # behind a row that this version's code has not made
Rows = Collection[tuple[str, str]]  # data sets and printed models


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
    front = cache(lambda: format_findings(results, cells, claims, FRONT))  # on two pages
    return {
        "front-findings": front,
        "findings": lambda: format_findings(results, cells, claims),
        "front-table": lambda: summary_tables.format_front_table(cells),
        "claims": lambda: format_answers(claims),
        "choice": lambda: summary_tables.format_choice(results, cells),
        "tables": lambda: summary_tables.format_tables(cells),
        "coverage": lambda: summary_tables.format_coverage(results, cells),
        "authors": lambda: summary_tables.format_authors(results, cells),
        "literature": lambda: tabulate_literature(read_published_audit(results, [LITERATURE.name])),
        "time-gaps": lambda: split_tables.format_time_gaps(results),
        "splits": lambda: split_tables.format_splits(results),
        "global-time": lambda: split_tables.format_global_time(results),
        "ranking-costs": lambda: cost_tables.format_ranking_costs(results),
        "costs": lambda: cost_tables.format_costs(results),
    }


def format_answers(claims: pd.DataFrame) -> str:
    """Return the answers to each claim, and how sure they are, by data set."""
    sure = claims["sure"].map(lambda sure: f"; {sure}" if sure else "")
    return _tabulate_claims(claims.assign(text=claims["answer"] + sure + claims["note"]))


def _format_directions(claims: pd.DataFrame) -> str:
    """Return by data set, in a word, whether the claims that compare models hold."""
    compared = _select_comparisons(claims)
    marks = compared["note"].map(lambda note: f" {DAGGER}" if MIXED in note else "")
    return _tabulate_claims(compared.assign(text=compared["direction"] + marks))


def _tabulate_claims(claims: pd.DataFrame) -> str:
    """Return the texts of tested claims, one column for each data set."""
    tested = claims[claims["direction"] != Direction.NOT_TESTED]
    table = tested.pivot(index="claim", columns="dataset", values="text")
    names = {dataset: name for dataset, name in NAMES.items() if dataset in table}
    table = table.reindex(claims["claim"].unique())[list(names)].fillna(NOTHING).rename(columns=names)
    return make_markdown(table.rename_axis("claim").reset_index())


def _select_comparisons(claims: pd.DataFrame) -> pd.DataFrame:
    """Return the claims that compare models, on data sets as in the paper."""
    return claims[claims["claim"].str.contains(" better than ") & claims["dataset"].isin(MAIN)]


def format_findings(results: Path, cells: Cells, claims: pd.DataFrame, titles: Collection[str] = ()) -> str:
    """Return the main findings, then whether each claim holds.

    `titles` are those of the bullets that are asked for, by default all.
    """
    marks = [mark for number in DATASETS for mark in collect_marks(number, results) if mark.dataset in MAIN]
    older = {(mark.dataset, mark.row) for mark in marks if mark.detail.startswith(OLDER_ROW)}
    items = {
        "Claims.": [_count_claims(claims)],
        "Printed values.": [_describe_values(cells, "SDM", METRICS), _describe_values(cells, "SDMR", [NDCG])],
        "What to use.": _describe_choice(results, cells, older),
        "The floor.": [_describe_floor(cells, older)],
        "How sure.": [_describe_doubts(marks, older)],
    }
    bullets = [
        f"- **{title}** {' '.join(filter(None, texts))}"
        for title, texts in items.items()
        if any(texts) and title in (titles or items)
    ]
    lines = [textwrap.fill(one, WIDTH, subsequent_indent="  ", break_on_hyphens=False) for one in bullets]
    return "\n".join([*lines, "", _format_directions(claims), "", textwrap.fill(LEGEND, WIDTH)])


def _count_claims(claims: pd.DataFrame) -> str:
    """Count the claims that hold on each data set, of those that compare models."""
    compared = _select_comparisons(claims)
    compared = compared[compared["direction"] != Direction.NOT_TESTED]
    holds = compared["direction"].eq(Direction.YES).groupby(compared["dataset"]).agg(["sum", "count"])
    texts = [f"{holds['sum'][one]} of {holds['count'][one]} on {NAMES[one]}" for one in MAIN if one in holds.index]
    text = " hold on ".join(", ".join(texts).split(" on ", 1))
    return f"Of the paper's claims that one model is better than others, {text}." if texts else ""


def _describe_values(cells: Cells, model: str, metrics: Sequence[str]) -> str:
    """Return on which data sets a model's printed values lie inside our intervals."""
    sides: dict[str, list[str]] = {"inside": [], "outside": []}
    for dataset in filter(cells.__contains__, MAIN):
        row = cells[dataset].get(f"{model} (paper's grid)", cells[dataset].get(model))
        if row is None or pd.isna(row[NDCG].paper):
            continue
        side = "outside" if any(is_paper_outside(row[metric]) for metric in metrics) else "inside"
        printed, ours = ("/".join(_format(getattr(row[m], one)) for m in metrics) for one in ("paper", "ours"))
        values = f" ({printed}, ours {ours})" if dataset == MAIN[0] else ""
        sides[side].append(f"{NAMES[dataset]}{values}")
    text = "; ".join(f"{side} on {', '.join(names)}" for side, names in sides.items() if names)
    return f"{model}'s printed {'/'.join(metrics)}, against our interval for one new run: {text}." if text else ""


def _format(value: float) -> str:
    return format_metric(value).removeprefix("0")


def _describe_choice(results: Path, cells: Cells, older: Rows) -> list[str]:
    """Return the best rows by sampled and by full NDCG@10, and the much cheaper ones."""
    labels = {NDCG: "The highest NDCG@10", NDCG + ALL: "Among all items"}
    cheap = "In the interval of the best, for at most half the training time"
    texts: dict[str, list[str]] = {label: [] for label in (*labels.values(), cheap)}
    main = {dataset: models for dataset, models in cells.items() if dataset in MAIN}
    for (dataset, metric), names in summary_tables.select_all_rows(results, main).items():
        best, cheapest = (f"{name} on {NAMES[dataset]}" + f" ({OLDER})" * ((dataset, name) in older) for name in names)
        texts[labels[metric]].append(best)
        minutes = [summary_tables.measure_training(results, dataset, name) for name in names]
        if metric == NDCG and 2 * minutes[1] <= minutes[0]:
            texts[cheap].append(cheapest)
    return [f"{label}: {', '.join(rows)}." for label, rows in texts.items() if rows]


def _describe_floor(cells: Cells, older: Rows) -> str:
    """Return which models that read the order of items are below transition counts."""
    floor, *names = (get_model(one).name for one in ("transitions", *ORDERED))
    below = []
    for dataset in MAIN:
        values = {name: metrics[NDCG].ours for name, metrics in cells.get(dataset, {}).items()}
        if low := [name for name in names if values.get(name, 1.0) < values.get(floor, 0.0)]:
            texts = [name + f" ({OLDER})" * ((dataset, name) in older) for name in low]
            below.append(f"{', '.join(texts)} on {NAMES[dataset]}")
    return f"Transition counts, which learn nothing, have a higher NDCG@10 than {'; '.join(below)}." if below else ""


def _describe_doubts(marks: Sequence[Mark], older: Rows) -> str:
    """Count the rows with one seed, older code, or a search of unknown trials."""
    counts = {title: sum(mark.title == title for mark in marks) for title in (ONE_SEED, UNCOUNTED)}
    texts = [f"{counts[ONE_SEED]} rows of trained models have one seed"] if counts[ONE_SEED] else []
    texts += [f"the searches of {counts[UNCOUNTED]} rows did not count their trials"] if counts[UNCOUNTED] else []
    texts += [f"older code made {len(older)} rows"] if older else []
    text = ", and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))
    return f"These findings may change: {text}." if text else ""
