"""The Netflix Prize's training set, and a sample of it without dates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.datasets import parsing
from sdmr.datasets.filters import Order, check_order, core, in_file_order
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.parsing import (
    DataError,
    Layout,
    as_interactions,
    note_read,
    open_raw,
    read_columns,
    refuse_duplicates,
)
from sdmr.datasets.sources import RawFile, data_folder, find, verify

_PATTERNS = ("netflix/training_set/mv_*.txt", "netflix/combined_data_*.txt")
_SAMPLE = RawFile(
    name="netflix/subset_3000x3000_user_item_rating.csv.gz",
    sha256="e1682a5e04137ea8749fb4b26e570d723aed0a20e6974d313d656fed42fcbd98",
)
_SAMPLE_LAYOUT = Layout({"user": int, "item": int, "rating": int}, separator=",")


def netflix(month: str, least: int = 5, iterated: bool = True) -> Interactions:
    """The ratings of one month (such as "2005-12"), times in days, then filtered (`filters.core`).

    The paper does not name its month, nor say whether its 5-core was iterated; `sdmr.experiments.tables.netflix_months`
    tells which month comes nearest to its Table 1 (1,888 users, 3,724 items, 103,254 interactions). Reads the Prize's
    own files in the folder named by SDMR_DATA: netflix/training_set/mv_*.txt or netflix/combined_data_*.txt. They go
    movie by movie, so that file order, which orders equal days (`last_tie: file`), is that of the item ids: the last
    item of a user's last day is the one of the largest id, which gives it away.

    Raises DataError if they are not there, at the first line that does not fit, or for a month without ratings.
    """
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise ValueError(f"the month is {month!r}, expected one such as 2005-12")
    days = pd.Period(month)
    rows = pd.concat([part[part["date"].between(days.start_time, days.end_time)] for part in ratings()])
    if rows.empty:
        raise DataError(f"netflix: no rating is of {month}, expected a month of 1999-11 to 2005-12")
    if rows.duplicated(["user", "item"]).any():
        raise DataError(f"netflix: a user rated a movie twice in {month}, expected no duplicates")
    rows["time"] = rows["date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    return core(as_interactions(rows), least, iterated)


def netflix_sample(least: int = 5, iterated: bool = True, order: Order = "random") -> Interactions:
    """3,000 users by 3,000 movies at random, 102,650 ratings without dates, then filtered (`filters.core`).

    Not the paper's data, but as the files that can be had go, nearest to it in size: 2,496 users, 1,342 items and
    99,272 interactions by the defaults. Raises DataError if the file cannot be found, or is not the known one,
    ValueError for an unknown order.
    """
    check_order(order)
    path = find(_SAMPLE)
    rows = read_columns(path, _SAMPLE_LAYOUT, ["user", "item"])
    refuse_duplicates(path, rows, ["user", "item"])
    verify(path, _SAMPLE)
    kept = core(as_interactions(rows), least, iterated)
    return in_file_order(kept) if order == "file" else kept


def ratings() -> Iterator[pd.DataFrame]:
    """All ratings of the Prize's own files, in parts: columns user, item (the movie) and date.

    Raises DataError if there are no such files, or at the first line that does not fit.
    """
    folder = data_folder()
    found = [sorted(folder.glob(pattern)) for pattern in _PATTERNS] if folder is not None else []
    files = next((files for files in found if files), [])
    if not files:
        raise DataError(
            f"the Netflix Prize's files cannot be found: expected {' or '.join(_PATTERNS)} in the folder that "
            f"SDMR_DATA names ({folder or 'not set'}); no route fetches them"
        )
    note_read(files[0].parent)
    for file in files:
        yield from _ratings_of(file)


def _ratings_of(path: Path) -> Iterator[pd.DataFrame]:
    """Lines of `user,rating,YYYY-MM-DD`, each movie's under a line of the movie's number and a colon."""
    movie = np.nan
    with open_raw(path) as raw:
        try:
            for part in pd.read_csv(
                raw, header=None, names=["user", "rating", "date"], dtype=str, chunksize=parsing.ROWS_AT_ONCE
            ):
                is_movie = part["user"].str.fullmatch(r"\d+:") & part["rating"].isna() & part["date"].isna()
                movies = pd.to_numeric(part["user"].where(is_movie).str.removesuffix(":")).ffill().fillna(movie)
                rows = pd.DataFrame(
                    {
                        "user": pd.to_numeric(part["user"], errors="coerce"),
                        "item": movies,
                        "date": pd.to_datetime(part["date"], format="%Y-%m-%d", errors="coerce"),
                    }
                )[~is_movie]
                faulty = rows.isna().any(axis=1) | ~part["rating"][~is_movie].isin(list("12345"))
                if faulty.any():
                    line = rows.index.to_numpy()[faulty.to_numpy().argmax()] + 1
                    raise DataError(f"{path}, line {line}: expected user,rating,date under a movie's number")
                movie = movies.iloc[-1]
                yield rows.astype({"user": np.int64, "item": np.int64})
        except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
            raise DataError(f"{path}: {error}, expected user,rating,date under a movie's number") from error
