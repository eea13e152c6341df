"""Anyone's own interactions: a table with a header, such as a csv file or RecBole's atomic `.inter` file."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.datasets.filters import Order, check_order, core, in_file_order
from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.parsing import DataError, Layout, as_interactions, drop_duplicates, open_raw, read_columns


def csv_file(
    path: str,
    user: str = "user",
    item: str = "item",
    time: str | None = None,
    basket: str | None = None,
    separator: str = ",",
    order: Order = "random",
    least: int = 1,
    iterated: bool = False,
) -> Interactions:
    """The rows of a file with a header line, each one interaction; columns are named by that line.

    `time` is a number or an ISO 8601 date; without it `order` says whether histories are shuffled when they are split,
    or the file's order is taken for time. `basket` tells a user's transactions apart (two users' baskets of one name
    are two), and is in the order of the file, whatever the times. Rows that repeat an earlier pair of user (or basket)
    and item are dropped and counted. `least` and `iterated`: see `filters.core`. A file whose name ends in .gz, .bz2 or
    .zip is unpacked.

    Raises DataError at the first line that does not fit, ValueError for an unknown order, a separator of several
    characters, and for order="file" with a time or a basket, where it has no effect.
    """
    check_order(order)
    separator = "\t" if separator == r"\t" else separator
    if len(separator) != 1:
        raise ValueError(rf"separator={separator} for {path}: expected one character, or \t")
    if order == "file" and basket is not None:
        raise ValueError(f"order=file has no effect on {path}: the baskets in {basket!r} keep the file's order anyway")
    if order == "file" and time is not None:
        raise ValueError(f"order=file has no effect on {path}: the time in {time!r} orders the interactions")
    file = Path(path)
    wanted = {"user": user, "item": item} | {
        kind: name for kind, name in (("time", time), ("basket", basket)) if name is not None
    }
    columns = _header(file, separator)
    for name in wanted.values():
        if name not in columns:
            raise DataError(f"{file}, line 1: found no column {name!r}, expected it among {', '.join(columns)}")
    optional = tuple(name for name in columns if name not in wanted.values())
    layout = Layout(dict.fromkeys(columns, str), separator, header=True, quoted=True, optional=optional)
    fields = read_columns(file, layout, list(dict.fromkeys(wanted.values())))
    rows = pd.DataFrame({kind: fields[name] for kind, name in wanted.items()})  # a day may be both time and basket
    if time is not None:
        rows["time"] = _times(file, rows["time"])
    if basket is not None:
        rows["basket"] = rows.groupby(["user", "basket"]).ngroup()
    rows = drop_duplicates(file, rows, ["user" if basket is None else "basket", "item"])
    kept = core(as_interactions(rows), least, iterated)
    return in_file_order(kept) if order == "file" else kept


def inter_file(path: str, order: Order = "random", least: int = 1, iterated: bool = False) -> Interactions:
    """RecBole's atomic file of interactions, with its columns user_id, item_id and, if it is there, timestamp.

    Settings and errors as in `csv_file`.
    """
    time = "timestamp:float"
    return csv_file(
        path,
        user="user_id:token",
        item="item_id:token",
        time=time if time in _header(Path(path), "\t") else None,
        separator="\t",
        order=order,
        least=least,
        iterated=iterated,
    )


def _header(path: Path, separator: str) -> list[str]:
    """The names in the first line."""
    try:
        with open_raw(path) as raw:
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
            columns = next(csv.reader(text, delimiter=separator), [])
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not columns or len(set(columns)) < len(columns):
        raise DataError(f"{path}, line 1: found {columns}, expected the columns' names, each once")
    return columns


def _times(path: Path, times: pd.Series[str]) -> IntArray:
    """[rows] the place of each time among all times, equal for equal times: that is all a split asks of them."""
    values = pd.to_numeric(times, errors="coerce")
    if values.isna().any():
        values = pd.to_datetime(times, format="ISO8601", errors="coerce", utc=True)
        if values.isna().any():
            row = int(values.isna().to_numpy().argmax())
            raise DataError(
                f"{path}, line {row + 2}: the time is {times.iloc[row]!r}, expected numbers or ISO 8601 dates"
            )
    return np.unique(values.to_numpy(), return_inverse=True)[1]
