"""Say in short what came out: bullets, and a table of the paper's claims."""

import re
import textwrap
from collections.abc import Collection, Iterable, Sequence
from itertools import product
from pathlib import Path

import pandas as pd

from sdmr.experiments.core.registry import GRID, PAPER_MODELS, PAPER_ROWS, get_model
from sdmr.experiments.core.tuned import ENOUGH_TRIALS
from sdmr.experiments.report import summary_tables
from sdmr.experiments.report.averages import ALL, list_rows
from sdmr.experiments.report.claims import SDMR_VALUES, SEQUENTIAL
from sdmr.experiments.report.claims_answers import BRIEF, OLDER, Direction
from sdmr.experiments.report.claims_evidence import REACHING
from sdmr.experiments.report.comparability import FEW_TRIALS, ONE_SEED, Mark
from sdmr.experiments.report.dataset_statistics import REASONS
from sdmr.experiments.report.printed import METRICS
from sdmr.experiments.report.summary_tables import DAGGER, KEYS, MAIN, NAMES, NDCG, PAPER_NAMES, Cells, RowNames
from sdmr.experiments.report.writers import NOTHING, make_markdown

WIDTH = 120
DOUBLE_DAGGER = "‡"  # behind a claim with a row whose search was short
FRONT = ("The claims.", "What to use.", "How sure.")  # of the README
BASELINES = {row for row in PAPER_ROWS if row not in PAPER_MODELS}
ORDERED = [*SEQUENTIAL, "sdm", "sdmr", "gru4rec", "sasrec", "bert4rec"]  # models that read the latest items
LEGEND = (
    "Significant differences (two models, one metric): + for the claim, − against it. **Bold**: it holds. "
    f"{DAGGER}: a row of older code, {DOUBLE_DAGGER}: of fewer than {ENOUGH_TRIALS} trials. "
    "SDP, SDM, SDMR: the row inside the paper's grid, if there is one. Empty: not claimed."
)
GROUPS = {  # of claims that compare models, by what is compared
    "SDM and SDMR against the general baselines": "SDMR? is better than Item-KNN|SDM is better than (?:CMN|MF-BPR)",
    "SDM and SDMR against the sequential ones": "SDM and SDMR are",
    "SDMR against SDM": "SDMR is better than SDM",
    "SDP against MF-BPR and CML": "SDP is",
}
COMPARED = "Each compares two models by a metric among 100 items; better and worse are significant."
COMPARED_AMONG_ALL = "The same comparisons, if each row of a claim has that ranking."
QUESTION = "Is the paper's value inside our interval for one new run?"
UNTIMED = "epinions"  # the authors' test items follow the order of ids there, and histories have no order
SIDES = {"inside": "yes", "paper lower": "ours is higher", "paper higher": "ours is lower"}  # answers, by verdict
CHEAP = "In the best row's interval, at half its training time or less"
SOUND = "This version's code, several seeds"
PROVISIONAL = "Provisional, with older code"


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
    signs = {OLDER: DAGGER, BRIEF: DOUBLE_DAGGER}
    notes = claims["note"].str.partition(" (tuned: ")[0]
    marks = notes.map(lambda note: "".join(f" {sign}" for text, sign in signs.items() if text in note))
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
        "The claims.": [_describe_claims(claims, "counts", COMPARED)],
        "Among all items.": [_describe_claims(claims, "counts_all", COMPARED_AMONG_ALL)],
        "Printed values.": _describe_values(cells, claims),
        "What to use.": _describe_choice(results, cells, marks),
        "A simple baseline.": [_describe_simple(cells, older)],
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


def _describe_claims(claims: pd.DataFrame, column: str, heading: str) -> str:
    """Return in how many comparisons the paper's models are better, or worse, by data set.

    `column` is that of the counts.
    """
    counted = claims[claims["dataset"].isin(MAIN) & (claims[column] != "")]
    texts = []
    for group, pattern in GROUPS.items():
        parts: dict[str, list[str]] = {"better": [], "worse": []}
        compared = counted[counted["claim"].str.match(pattern)]
        for dataset in filter(set(compared["dataset"]).__contains__, MAIN):
            counts = compared.loc[compared["dataset"] == dataset, column]
            for word, sign in zip(parts, "+−", strict=True):
                if number := _add_up(counts, re.escape(sign)):
                    parts[word].append(f"{number} of {_add_up(counts, 'of ')} on {NAMES[dataset]}")
        sides = [f"{word} in {_join(names)}" for word, names in parts.items() if names]
        if not compared.empty:
            texts.append(f"{group}: {', '.join(sides) or 'no significant difference'}.")
    return " ".join([heading, *texts]) if texts else ""


def _add_up(texts: Iterable[str], before: str) -> int:
    """Return the sum of the numbers that follow a pattern in texts."""
    return sum(int(match[1]) for text in texts if (match := re.search(rf"{before}(\d+)", text)))


def _describe_values(cells: Cells, claims: pd.DataFrame) -> list[str]:
    """Return on which data sets printed values lie inside our intervals, and what ties do."""
    texts = []
    for model, metric in (("SDM", METRICS[0]), ("SDM", NDCG), ("SDMR", NDCG)):
        names: dict[str, list[str]] = {side: [] for side in SIDES.values()}
        for dataset in (one for one in MAIN if one in cells and one != UNTIMED):
            row = cells[dataset].get(f"{model} (paper's grid)", cells[dataset].get(model))
            if row is not None and row[metric].verdict in SIDES:
                names[SIDES[row[metric].verdict]].append(NAMES[dataset])
        if text := "; ".join(f"{side} on {_join(one)}" for side, one in names.items() if one):
            texts.append(f"{model}'s {metric}: {text}.")
    return [QUESTION, *texts, describe_ties(claims), _count_higher(cells)] if texts else []


def _count_higher(cells: Cells) -> str:
    """Return how many baselines have an interval above the value that the paper prints."""
    compared = (cells.get(dataset, {}) for dataset in MAIN if dataset != UNTIMED)
    rows = [one[NDCG] for models in compared for name, one in models.items() if KEYS[name] in BASELINES]
    printed = [row.verdict for row in rows if row.verdict in SIDES]
    count = printed.count("paper lower")
    text = f"Of the baselines' {len(printed)} values of NDCG@10, {count} have an interval above the printed value."
    return text if printed else ""


def describe_ties(claims: pd.DataFrame) -> str:
    """Return where the authors' code reaches SDMR's value only if ties favor the target."""
    is_answer = claims["claim"].eq(SDMR_VALUES) & claims["answer"].str.startswith(f"{REACHING}optimistic;")
    answers = list_rows(claims[is_answer])
    if not answers:
        return ""
    names = _join([NAMES[one.dataset] + one.note for one in answers])
    never = ", and never with the printed hit@10" if all(one.answer.endswith("none") for one in answers) else ""
    return f"The authors' model reaches this value on {names} only if every tie counts as a win{never}."


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


def _describe_simple(cells: Cells, older: RowNames) -> str:
    """Return which models that read a context are below transition counts."""
    simple, *names = (get_model(one).name for one in ("transitions", *ORDERED))
    below: dict[str, list[str]] = {NDCG: [], NDCG + ALL: []}
    for dataset, metric in product((one for one in MAIN if one != UNTIMED), below):
        models = cells.get(dataset, {})
        values = {name: metrics[metric].ours for name, metrics in models.items() if metric in metrics}
        if low := [name for name in names if values.get(name, 1.0) < values.get(simple, 0.0)]:
            texts = [name + f" ({OLDER})" * ((dataset, name) in older) for name in low]
            below[metric].append(f"{', '.join(texts)} on {NAMES[dataset]}")
    labels = {NDCG: "Among 100 items", NDCG + ALL: "Among all items"}
    texts = [f"{labels[metric]}: {'; '.join(rows)}." for metric, rows in below.items() if rows]
    text = "counts which item follows which. These models read recent items or a basket, and have a lower mean NDCG@10"
    untimed = [f"Not compared on {NAMES[UNTIMED]}, whose histories have no order."] if UNTIMED in cells else []
    return " ".join([f"{simple} {text} (not tested).", *texts, *untimed]) if texts else ""


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
            one_seed = [row for row in one_seed if row in cells[dataset]]
            others = f"; {len(one_seed)} with one seed" if one_seed else ""
            texts[PROVISIONAL].append(f"{NAMES[dataset]} ({count} of {len(cells[dataset])} rows{others})")
        elif one_seed:
            texts[ONE_SEED].append(f"{_join(one_seed)} on {NAMES[dataset]}")
        else:
            texts[SOUND].append(NAMES[dataset])
        if few_trials:
            texts[FEW_TRIALS].append(f"{_join(few_trials)} on {NAMES[dataset]}")
    return [f"{label}: {'; '.join(names)}." for label, names in texts.items() if names]
