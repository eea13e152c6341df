"""Say in short what came out: bullets, and a table of the paper's claims."""

import textwrap
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from sdmr.experiments.core.registry import GRID, PAPER_MODELS, get_model
from sdmr.experiments.report import summary_tables
from sdmr.experiments.report.averages import ALL, list_rows
from sdmr.experiments.report.claims import SDMR_VALUES, SEQUENTIAL
from sdmr.experiments.report.claims_answers import OLDER, Direction
from sdmr.experiments.report.claims_evidence import REACHING
from sdmr.experiments.report.comparability import FEW_TRIALS, ONE_SEED, Mark
from sdmr.experiments.report.dataset_statistics import REASONS
from sdmr.experiments.report.printed import METRICS
from sdmr.experiments.report.summary_tables import DAGGER, MAIN, NAMES, NDCG, Cells, RowNames
from sdmr.experiments.report.writers import NOTHING, make_markdown

WIDTH = 120
FRONT = ("Printed values.", "What to use.", "How sure.")  # of the README
PAPER_NAMES = [get_model(one).name for one in PAPER_MODELS]
ORDERED = [*SEQUENTIAL, "sdm", "sdmr", "gru4rec", "sasrec", "bert4rec"]  # models that read the latest items
LEGEND = (
    "Counts of significant differences (two models, one metric): + for the claim, − against it. **Bold**: the claim "
    f"holds. {DAGGER}: a row is of older code. SDP, SDM and SDMR: rows inside the paper's grid where there are any. "
    "Empty: not claimed."
)
QUESTION = "Is the paper's value inside our interval for one new run?"
SIDES = {"inside": "yes", "paper lower": "ours is higher", "paper higher": "ours is lower"}  # answers, by verdict
CHEAP = "In the best row's interval at half its training time or less"
SOUND = "This version's code, several seeds"
PROVISIONAL = "Provisional, with rows of older code"


def format_answers(claims: pd.DataFrame) -> str:
    """Return the answers to each claim, and how sure they are, by data set. Substitutes are left out."""
    claims = claims[~claims["dataset"].isin(REASONS)]
    sure = claims["sure"].map(lambda sure: f"; {sure}" if sure else "")
    return _tabulate_claims(claims.assign(text=claims["answer"] + sure + claims["note"]))


def _format_counts(claims: pd.DataFrame) -> str:
    """Return how many differences of the claims that compare models are significant."""
    compared = claims[claims["claim"].str.contains(" better than ")]
    return _mark_claims(compared, compared["counts"])


def _format_verdicts(claims: pd.DataFrame) -> str:
    """Return the verdict on each claim, with the counts. A bullet has SDMR's printed values."""
    judged = claims[claims["claim"] != SDMR_VALUES]
    verdicts = judged["direction"].where(judged["direction"] != "", judged["answer"])  # single values have a size
    return _mark_claims(judged, verdicts + judged["counts"].map(lambda counts: f": {counts}" if counts else ""))


def _mark_claims(claims: pd.DataFrame, texts: pd.Series) -> str:
    """Return texts on claims by data set, as `LEGEND` explains."""
    bold = claims["direction"].eq(Direction.YES).map({True: "**", False: ""})
    marks = claims["note"].map(lambda note: f" {DAGGER}" if OLDER in note else "")
    marked = claims.assign(text=bold + texts + bold + marks)
    return _tabulate_claims(marked[marked["dataset"].isin(MAIN)])


def _tabulate_claims(claims: pd.DataFrame) -> str:
    """Return the texts of claims by data set, blank where the paper makes none."""
    is_tested = claims["direction"] != Direction.NOT_TESTED
    tested = claims[is_tested]
    texts = claims.assign(text=claims["text"].where(is_tested, NOTHING))
    table = texts.pivot(index="claim", columns="dataset", values="text").reindex(tested["claim"].unique())
    names = {dataset: name for dataset, name in NAMES.items() if dataset in set(tested["dataset"])}
    return make_markdown(table[list(names)].fillna("").rename(columns=names).rename_axis("claim").reset_index())


def list_older_rows(marks: Sequence[Mark]) -> RowNames:
    """Return the rows that other code than this version's has made."""
    return {(mark.dataset, mark.row) for mark in marks if mark.is_of_other_code}


def format_findings(
    results: Path, cells: Cells, claims: pd.DataFrame, marks: Sequence[Mark], titles: Collection[str] = ()
) -> str:
    """Return the main findings, then whether each claim holds.

    `titles` are those of the bullets that are asked for, of a short version. By default, all follow, with verdicts.
    """
    older = list_older_rows(marks)
    items = {
        "Printed values.": _describe_values(cells, claims),
        "What to use.": _describe_choice(results, cells, marks),
        "The floor.": [_describe_floor(cells, older)],
        "How sure.": _describe_certainty(cells, marks, older),
    }
    bullets = [
        f"- **{title}** {' '.join(filter(None, texts))}"
        for title, texts in items.items()
        if any(texts) and title in (titles or items)
    ]
    lines = [textwrap.fill(one, WIDTH, subsequent_indent="  ", break_on_hyphens=False) for one in bullets]
    table = _format_counts(claims) if titles else _format_verdicts(claims)
    return "\n".join([*lines, "", table, "", textwrap.fill(LEGEND, WIDTH)])


def _describe_values(cells: Cells, claims: pd.DataFrame) -> list[str]:
    """Return on which data sets printed values lie inside our intervals, and what ties do."""
    texts = []
    for model, metric in (("SDM", METRICS[0]), ("SDM", NDCG), ("SDMR", NDCG)):
        names: dict[str, list[str]] = {side: [] for side in SIDES.values()}
        for dataset in filter(cells.__contains__, MAIN):
            row = cells[dataset].get(f"{model} (paper's grid)", cells[dataset].get(model))
            if row is not None and row[metric].verdict in SIDES:
                names[SIDES[row[metric].verdict]].append(NAMES[dataset])
        if text := "; ".join(f"{side} on {_join(one)}" for side, one in names.items() if one):
            texts.append(f"{model}'s {metric}: {text}.")
    return [QUESTION, *texts, describe_ties(claims)] if texts else []


def describe_ties(claims: pd.DataFrame) -> str:
    """Return where the authors' code reaches SDMR's value only if ties favor the target."""
    is_answer = claims["claim"].eq(SDMR_VALUES) & claims["answer"].str.startswith(f"{REACHING}optimistic;")
    names = [NAMES[one.dataset] + one.note for one in list_rows(claims[is_answer])]
    return f"The authors' code reaches this value on {_join(names)} only if every tie counts as a win." if names else ""


def _join(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _describe_choice(results: Path, cells: Cells, marks: Sequence[Mark]) -> list[str]:
    """Return the best rows by sampled and by full NDCG@10, and the much cheaper ones."""
    notes = {(one.dataset, one.row): f"{one.detail} trials" for one in marks if one.title == FEW_TRIALS}
    notes |= dict.fromkeys(list_older_rows(marks), OLDER)
    labels = {NDCG: "Highest NDCG@10 among 100 items", NDCG + ALL: "Among all items"}
    texts: dict[str, list[str]] = {label: [] for label in (*labels.values(), CHEAP)}
    main = {dataset: models for dataset, models in cells.items() if dataset in MAIN}
    for (dataset, metric), (best, cheapest) in summary_tables.select_all_rows(results, main).items():
        equal = summary_tables.list_equal_rows(cells[dataset], metric, best)
        note = notes.get((dataset, best), "")
        texts[labels[metric]].append(f"{_join(equal)} on {NAMES[dataset]}" + f" ({note})" * bool(note))
        minutes = [summary_tables.measure_training(results, dataset, name) for name in (best, cheapest)]
        if 2 * minutes[1] <= minutes[0]:
            texts[CHEAP].append(f"{cheapest} on {NAMES[dataset]}" + " (all items)" * metric.endswith(ALL))
    return [f"{label}: {', '.join(rows)}." for label, rows in texts.items() if rows]


def _describe_floor(cells: Cells, older: RowNames) -> str:
    """Return which models that read the order of items are below transition counts."""
    floor, *names = (get_model(one).name for one in ("transitions", *ORDERED))
    below = []
    for dataset in MAIN:
        values = {name: metrics[NDCG].ours for name, metrics in cells.get(dataset, {}).items()}
        if low := [name for name in names if values.get(name, 1.0) < values.get(floor, 0.0)]:
            texts = [name + f" ({OLDER})" * ((dataset, name) in older) for name in low]
            below.append(f"{', '.join(texts)} on {NAMES[dataset]}")
    text = "counts which item follows which. These models read recent items or a basket, and have a lower NDCG@10"
    return f"{floor} only {text} among 100 items: {'; '.join(below)}." if below else ""


def _describe_certainty(cells: Cells, marks: Sequence[Mark], older: RowNames) -> list[str]:
    """Return which data sets have sound rows, and what the rows of others lack."""
    texts: dict[str, list[str]] = {SOUND: [], PROVISIONAL: [], ONE_SEED: [], FEW_TRIALS: []}
    for dataset in filter(cells.__contains__, MAIN):
        one_seed = [one.row for one in marks if one.dataset == dataset and one.title == ONE_SEED]
        few_trials = [one.row for one in marks if one.dataset == dataset and one.title == FEW_TRIALS]
        grid_rows = [get_model(f"{summary_tables.KEYS[row]}{GRID}").name for row in few_trials if row in PAPER_NAMES]
        few_trials = [row for row in few_trials if row not in grid_rows]  # not twice
        count = sum(row[0] == dataset for row in older)
        if count:
            others = ", one seed" if one_seed else ""
            texts[PROVISIONAL].append(f"{NAMES[dataset]} ({count} of {len(cells[dataset])}{others})")
        elif one_seed:
            texts[ONE_SEED].append(f"{_join(one_seed)} on {NAMES[dataset]}")
        else:
            texts[SOUND].append(NAMES[dataset])
        if few_trials:
            texts[FEW_TRIALS].append(f"{_join(few_trials)} on {NAMES[dataset]}")
    return [f"{label}: {'; '.join(names)}." for label, names in texts.items() if names]
