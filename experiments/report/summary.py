"""Fill the generated blocks of README.md and docs/ from the published results.

A block lies between `<!-- generated: NAME -->` and `<!-- end -->`; `make_blocks` lists the names. So new records change
the pages by the command that publishes them, and no sentence outside a block states what came out.
"""

import re
import textwrap
from collections import defaultdict
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
from sdmr.experiments.report.averages import ALL, list_rows
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
FRONT = ("Claims that hold.", "Claims that do not.", "What to use.", "How sure.")  # of the README
ORDERED = [*SEQUENTIAL, "sdm", "sdmr", "gru4rec", "sasrec", "bert4rec"]  # models that read the latest items
WORDS = {
    Direction.YES: "on",
    Direction.PARTLY: "in part on",
    Direction.MIXED: "better and worse on",
    Direction.OPPOSITE: "the opposite on",
    Direction.NOT_SHOWN: "not shown on",
}
OLDER = ", older code"  # behind a row that this version's code has not made
Rows = Collection[tuple[str, str]]  # data sets and printed models
Answers = Mapping[str, Mapping[str, list[str]]]  # by claim and direction: names of data sets


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
    tested = claims[claims["direction"] != Direction.NOT_TESTED]
    texts = tested["answer"] + tested["sure"].map(lambda sure: f"; {sure}" if sure else "") + tested["note"]
    table = tested.assign(text=texts).pivot(index="claim", columns="dataset", values="text")
    names = {dataset: name for dataset, name in NAMES.items() if dataset in table}
    table = table.reindex(claims["claim"].unique())[list(names)].fillna(NOTHING).rename(columns=names)
    return make_markdown(table.rename_axis("claim").reset_index())


def format_findings(results: Path, cells: Cells, claims: pd.DataFrame, titles: Collection[str] = ()) -> str:
    """Return what stands, what does not, what to use, and how sure all this is.

    `titles` are those of the findings that are asked for, by default all.
    """
    answers = _group_answers(claims)
    shown = {claim: one for claim, one in answers.items() if one[Direction.YES]}
    marks = [mark for number in DATASETS for mark in collect_marks(number, results) if mark.dataset in MAIN]
    older = {(mark.dataset, mark.row) for mark in marks if mark.detail.startswith(OLDER_ROW)}
    items = {
        "Claims that hold.": [_describe_answers(*one) for one in shown.items()],
        "Claims that do not.": [_describe_answers(*one) for one in answers.items() if one[0] not in shown],
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
    return "\n".join(textwrap.fill(one, WIDTH, subsequent_indent="  ", break_on_hyphens=False) for one in bullets)


def _group_answers(claims: pd.DataFrame) -> Answers:
    """Return the data sets of each claim that compares models, by direction."""
    answers: dict[str, dict[str, list[str]]] = {}
    for row in list_rows(claims[claims["claim"].str.contains(" better than ") & claims["dataset"].isin(MAIN)]):
        if row.direction != Direction.NOT_TESTED:
            name = NAMES[row.dataset] + f" ({MIXED})" * (MIXED in row.note)
            answers.setdefault(row.claim, defaultdict(list))[row.direction].append(name)
    return answers


def _describe_answers(claim: str, datasets: Mapping[str, list[str]]) -> str:
    """Return a claim with the data sets where it stands, and where it does not."""
    texts = [f"{word} {', '.join(datasets[direction])}" for direction, word in WORDS.items() if datasets[direction]]
    return f"“{claim}”: {'; '.join(texts)}."


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
    best: dict[str, dict[str, list[str]]] = {NDCG: defaultdict(list), NDCG + ALL: defaultdict(list)}
    cheap = []
    main = {dataset: models for dataset, models in cells.items() if dataset in MAIN}
    for (dataset, metric), names in summary_tables.select_all_rows(results, main).items():
        value = _format(cells[dataset][names[0]][metric].ours)
        best[metric][names[0]].append(f"{NAMES[dataset]} ({value}{OLDER * ((dataset, names[0]) in older)})")
        minutes = [summary_tables.measure_training(results, dataset, name) for name in names]
        if metric == NDCG and 2 * minutes[1] <= minutes[0]:
            value, times = cells[dataset][names[1]][metric].ours, map(summary_tables.format_minutes, reversed(minutes))
            name = f"{names[1]} on {NAMES[dataset]}, {_format(value)}{OLDER * ((dataset, names[1]) in older)}"
            cheap.append(f"{name} in {' instead of '.join(times)} CPU minutes")
    labels = {NDCG: "The highest NDCG@10", NDCG + ALL: "Among all items"}
    texts = {
        labels[metric]: "; ".join(f"{name} on {', '.join(datasets)}" for name, datasets in rows.items())
        for metric, rows in best.items()
    }
    texts["In the interval of the best, for at most half the training time"] = "; ".join(cheap)
    return [f"{label}: {text}." for label, text in texts.items() if text]


def _describe_floor(cells: Cells, older: Rows) -> str:
    """Return which models that read the order of items are below transition counts."""
    floor, *names = (get_model(one).name for one in ("transitions", *ORDERED))
    below = []
    for dataset in MAIN:
        values = {name: metrics[NDCG].ours for name, metrics in cells.get(dataset, {}).items()}
        if low := [name for name in names if values.get(name, 1.0) < values.get(floor, 0.0)]:
            texts = [name + f" ({OLDER[2:]})" * ((dataset, name) in older) for name in low]
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
