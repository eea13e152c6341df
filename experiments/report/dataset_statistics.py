"""Tables 1 and 2: the statistics of the data sets as loaded, beside the paper's."""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from sdmr.datasets.errors import DataError, quote
from sdmr.datasets.interactions import Interactions, k_core
from sdmr.datasets.netflix import read_ratings
from sdmr.datasets.readers import bind_reader
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.report.printed import PAPER
from sdmr.experiments.report.writers import NOTHING, make_markdown

KEY = ["dataset", "statistic"]
SIDES = ["paper", "ours", "difference"]
# The data set read for one of the paper's, where it is not the one of the same name, and why the two differ.
STAND_INS = {"netflix": "netflix-sample"}
REASONS = {
    "netflix": (
        "The paper's month is not named and the Prize's files are no longer given out. Read instead: 3,000 users by "
        "3,000 movies at random, without dates, iterated 5-core."
    ),
    "ijcai-15": (
        "The paper's random sample of 20,000 transactions is not public. Ours is drawn from the log if it is present, "
        "else from a published extract of purchases in sessions of two items or more, which holds larger baskets."
    ),
}
LABELS = {"avg_items_per_transaction": "items per transaction", "density_percent": "density (%)"}


def describe_substitute(dataset: str) -> list[str]:
    """Return why a data set is not the paper's own, if it is not."""
    return [f"{dataset} is a substitute. {REASONS[dataset]}"] if dataset in REASONS else []


def compute_statistics(data: Interactions) -> dict[str, float]:
    """Return the statistics that the paper prints. An instance is an item with the rest of its basket."""
    rows = len(data)
    statistics = {"users": data.n_users, "items": data.n_items, "interactions": rows, "instances": rows}
    densities = {"density_percent": 100 * rows / (data.n_users * data.n_items)}
    if data.baskets is not None:
        densities["avg_items_per_transaction"] = rows / data.n_baskets
    return statistics | densities


def load_statistics(dataset: str) -> dict[str, float] | None:
    """Return the statistics of a data set; print why and return None without data."""
    settings = compose_config([f"dataset={dataset}", "model=popularity"]).settings["dataset"]
    try:  # not `instantiate`, which hides the error behind its own
        return compute_statistics(bind_reader(settings)())
    except DataError as error:
        print(f"{dataset}: {error}", file=sys.stderr)
        return None


def collect_statistics(number: int) -> pd.DataFrame:
    """Return Table 1 or 2 as text: dataset, statistic, paper, ours and their difference.

    Ours has the paper's decimals; it is empty for a data set that cannot be read.
    """
    rows = []
    for dataset, printed in pd.read_csv(PAPER / f"table{number}.csv", dtype=str, index_col="dataset").iterrows():
        ours = load_statistics(STAND_INS.get(str(dataset), str(dataset))) or {}
        for statistic, paper in printed.items():
            rows.append((dataset, statistic, paper, *_compare_with_paper(ours.get(str(statistic)), paper)))
    return pd.DataFrame(rows, columns=[*KEY, *SIDES])


def _compare_with_paper(value: float | None, paper: str) -> tuple[str, str]:
    """Return a value with the paper's decimals, and its difference from the paper's."""
    if value is None:
        return "", ""
    decimals = len(paper.partition(".")[2])
    ours = f"{value:.{decimals}f}"
    difference = float(ours) - float(paper)
    return ours, f"{difference:+.{decimals}f}" if difference else "0"


def read_published_statistics(path: Path) -> pd.DataFrame:
    """Read the published table, if it exists. Raises DataError if it is damaged."""
    if not path.exists():
        return pd.DataFrame(columns=[*KEY, *SIDES]).set_index(KEY)
    try:
        published = pd.read_csv(path, dtype=str, keep_default_na=False).set_index(KEY)[SIDES]
        if published.index.has_duplicates:
            raise ValueError("a row is repeated")
    except (ValueError, KeyError) as error:  # pandas' errors of parsing are ValueErrors
        raise DataError(f"{path} is damaged ({quote(error)}): restore it, or remove it") from error
    return published


def keep_published(published: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells, with the published ones of data sets that cannot be read."""
    indexed = cells.set_index(KEY)
    absent = indexed.index[indexed["ours"] == ""].intersection(published.index, sort=False)
    indexed.loc[absent, SIDES] = published.loc[absent, SIDES]
    return indexed.reset_index()


def format_statistics(number: int, cells: pd.DataFrame) -> str:
    """Return the table for reading: three rows a data set, then why they differ."""
    rows, notes = [], []
    for dataset, block in cells.groupby("dataset", sort=False):
        labels = block["statistic"].replace(LABELS)
        for side in SIDES:
            values = dict(zip(labels, block[side].map(_group_digits), strict=True))
            rows.append({"data set": dataset if side == "paper" else "", "": side, **values})
        if (block["ours"] == "").any():
            notes.append(f"- {dataset}: not found on the machine that made this table.")
        elif (block["difference"] != "0").any():
            notes.append(f"- {dataset}: {REASONS.get(str(dataset), 'differs from the paper.')}")
    blocks = [f"# Table {number}: statistics of the data sets", make_markdown(rows, right=list(rows[0])[2:])]
    return "\n\n".join([*blocks, "\n".join(notes)] if notes else blocks) + "\n"


def _group_digits(number: str) -> str:
    """Return a number with thousands parted by commas; a dash for nothing."""
    integer, point, decimals = number.partition(".")
    sign = integer[:1] if integer[:1] in "+-" else ""
    return f"{sign}{int(integer.lstrip('+-')):,}{point}{decimals}" if number else NOTHING


def rank_netflix_months(min_count: int = 5) -> pd.DataFrame:
    """Return each month's counts after the 5-core, in one pass and iterated.

    The nearest month comes first. The distance to the paper's counts is the sum of the three |log(ours / paper)|.

    Raises DataError if the Prize's files cannot be found (see `sdmr.datasets.netflix`).
    """
    counted = ["users", "items", "interactions"]
    paper = pd.read_csv(PAPER / "table1.csv", index_col="dataset").loc["netflix", counted].to_numpy(float)
    chunks = defaultdict(list)
    for chunk in tqdm(read_ratings(), desc="reading", unit=" parts"):
        for (year, month), rows in chunk.groupby([chunk["date"].dt.year, chunk["date"].dt.month]):
            chunks[f"{year}-{month:02}"].append(rows[["user", "item"]].astype(np.int32))
    months = []
    for month in sorted(chunks):
        interactions = Interactions.from_table(pd.concat(chunks.pop(month)))
        for iterative in (False, True):
            core = k_core(interactions, min_count, iterative)
            counts = [core.n_users, core.n_items, len(core)]
            distance = np.abs(np.log(np.maximum(counts, 0.5) / paper)).sum()  # a month may be left with nothing
            months.append((month, iterative, *counts, distance))
    frame = pd.DataFrame(months, columns=["month", "iterative", *counted, "distance"])
    return frame.sort_values("distance", ignore_index=True)
