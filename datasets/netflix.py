"""The Netflix Prize's training set, and a sample of it without dates."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.datasets.download import RawFile, get_data_folder, read_published
from sdmr.datasets.errors import DataError, check_choice
from sdmr.datasets.interactions import Interactions, Order, k_core, set_order
from sdmr.datasets.parsing import Layout
from sdmr.datasets.raw import open_raw
from sdmr.datasets.reads import record_read

CHUNK_ROWS = 1_000_000  # rows of a file that are in memory at once
_PATTERNS = ("netflix/training_set/mv_*.txt", "netflix/combined_data_*.txt")
_SAMPLE = RawFile(
    "netflix/subset_3000x3000_user_item_rating.csv.gz",
    "e1682a5e04137ea8749fb4b26e570d723aed0a20e6974d313d656fed42fcbd98",
    Layout({"user": int, "item": int, "rating": int}, separator=","),
)


def load_netflix(month: str, min_count: int = 5, iterative: bool = True) -> Interactions:
    """Load the ratings of one month, then filtered; times are in days.

    Reads the Prize's files in the folder that SDMR_DATA names: netflix/training_set/mv_*.txt or
    netflix/combined_data_*.txt. They list the ratings movie by movie. So with `equal_times: file`, the items of one
    day are in the order of their ids, and a model can guess a user's last item from its id.

    The paper names neither its month nor the kind of its 5-core. `sdmr table number=1 months=true` finds the
    month nearest to its Table 1 (1,888 users, 3,724 items, 103,254 interactions).

    Args:
        month: The month of the ratings, such as "2005-12".
        min_count: Users and items with fewer interactions are dropped.
        iterative: Whether to repeat min_count until nothing is dropped.

    Raises:
        DataError: The files cannot be found, a line does not fit, or the month has no ratings.
        ValueError: The month is not written as YYYY-MM.
    """
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise ValueError(f"the month is {month!r}, expected one such as 2005-12")
    days = pd.Period(month)
    rows = pd.concat([chunk[chunk["date"].between(days.start_time, days.end_time)] for chunk in read_ratings()])
    if rows.empty:
        raise DataError(f"netflix: no rating is of {month}, expected a month of 1999-11 to 2005-12")
    if rows.duplicated(["user", "item"]).any():
        raise DataError(f"netflix: a user rated a movie twice in {month}, expected no duplicates")
    rows["time"] = rows["date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    return k_core(Interactions.from_table(rows), min_count, iterative)


def load_netflix_sample(min_count: int = 5, iterative: bool = True, order: Order = "random") -> Interactions:
    """Load 102,650 ratings of 3,000 random users and 3,000 random movies, then filtered.

    This is not the paper's data, but the available file nearest to it in size. The defaults give 2,496 users, 1,342
    items and 99,272 interactions.

    Args:
        min_count: Users and items with fewer interactions are dropped.
        iterative: Whether to repeat min_count until nothing is dropped.
        order: Without times, "random" shuffles each history; "file" takes the order of the file for time.

    Raises:
        DataError: The file cannot be found, or is not the published one.
        ValueError: The order is unknown.
    """
    check_choice("order", order, "random", "file")
    return set_order(k_core(Interactions.from_table(read_published(_SAMPLE)), min_count, iterative), order)


def read_ratings() -> Iterator[pd.DataFrame]:
    """Read the Prize's ratings in chunks with columns user, item (the movie) and date.

    Raises:
        DataError: The files cannot be found, or a line does not fit.
    """
    folder = get_data_folder()
    matches = [sorted(folder.glob(pattern)) for pattern in _PATTERNS] if folder is not None else []
    files = next(filter(None, matches), None)
    if files is None:
        raise DataError(
            f"the Netflix Prize's files cannot be found: expected {' or '.join(_PATTERNS)} in the folder that "
            f"SDMR_DATA names ({folder or 'not set'}); they cannot be downloaded"
        )
    record_read(files[0].parent)
    for file in files:
        yield from _read_ratings_file(file)


def _read_ratings_file(path: Path) -> Iterator[pd.DataFrame]:
    """Read lines of `user,rating,YYYY-MM-DD`, grouped below lines of `movie:`."""
    names, movie = ["user", "rating", "date"], np.nan
    with open_raw(path) as raw:
        try:
            for lines in pd.read_csv(raw, header=None, names=names, dtype=str, chunksize=CHUNK_ROWS):
                if lines.empty:
                    raise pd.errors.EmptyDataError("the file is empty")
                is_movie = lines["user"].str.fullmatch(r"\d{1,15}:") & lines["rating"].isna() & lines["date"].isna()
                movies = pd.to_numeric(lines["user"].where(is_movie).str.removesuffix(":")).ffill().fillna(movie)
                movie = movies.iloc[-1]
                is_number = lines["user"].str.fullmatch(r"\d{1,15}")
                users = pd.to_numeric(lines["user"].where(is_number), errors="coerce")
                dates = pd.to_datetime(lines["date"], format="%Y-%m-%d", errors="coerce")
                rows = pd.DataFrame({"user": users, "item": movies, "date": dates})
                is_wrong = ~is_movie & (rows.isna().any(axis=1) | ~lines["rating"].isin(list("12345")))
                if is_wrong.any():
                    line = lines.index.to_numpy()[is_wrong.argmax()] + 1
                    raise DataError(f"{path}, line {line}: expected user,rating,date under a movie's number")
                yield rows[~is_movie].astype({"user": np.int64, "item": np.int64})
        except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
            raise DataError(f"{path}: {error}, expected user,rating,date under a movie's number") from error
