"""The user's data: tables with a header line, such as CSV or RecBole files."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.datasets.errors import DataError, check_choice
from sdmr.datasets.interactions import IntArray, Interactions, Order, k_core, use_file_order
from sdmr.datasets.parsing import Layout, check_values, drop_duplicates, open_raw, read_columns


def load_csv(
    path: str,
    user: str = "user",
    item: str = "item",
    time: str | None = None,
    basket: str | None = None,
    separator: str = ",",
    order: Order = "random",
    min_count: int = 1,
    iterative: bool = False,
) -> Interactions:
    """Load a table with a header line; each row is an interaction.

    Rows that repeat an earlier pair of user (or basket) and item are dropped, and their number is logged.

    Args:
        path: The file; unpacked if its name ends in .gz, .bz2 or .zip.
        user, item: Names of columns, as in the header.
        time: Column of numbers or ISO 8601 dates.
        basket: Column that identifies the baskets of a user. Two users' baskets of one name are two baskets. Within a
            basket the order of the file holds, whatever the times.
        separator: One character, or `\\t`.
        order: Without times, "random" shuffles each history, and "file" takes the order of the file as the order of
            time.
        min_count, iterative: See `sdmr.datasets.interactions.k_core`.

    Raises:
        DataError: The file cannot be read, or a line does not fit.
        ValueError: The order is unknown, or "file" where time or basket set the order. The separator is too long.
    """
    check_choice("order", order, "random", "file")
    separator = "\t" if separator == r"\t" else separator
    if len(separator) != 1:
        raise ValueError(rf"separator={separator} for {path}: expected one character, or \t")
    if order == "file" and (time is not None or basket is not None):
        raise ValueError(f"order=file has no effect on {path}: time={time!r} and basket={basket!r} set the order")
    file = Path(path)
    columns = {"user": user, "item": item, "time": time, "basket": basket}
    names = {role: name for role, name in columns.items() if name is not None}
    header = _read_header(file, separator)
    for name in names.values():
        if name not in header:
            raise DataError(f"{file}, line 1: found no column {name!r}, expected it among {', '.join(header)}")
    optional = tuple(name for name in header if name not in names.values())
    layout = Layout(dict.fromkeys(header, str), separator, header=True, quoted=True, optional=optional)
    fields = read_columns(file, layout, list(dict.fromkeys(names.values())))
    rows = pd.DataFrame({role: fields[name] for role, name in names.items()})  # one column may be time and basket
    if time is not None:
        rows["time"] = _rank_times(file, rows["time"])
    if basket is not None:
        rows["basket"] = rows.groupby(["user", "basket"]).ngroup()
    rows = drop_duplicates(file, rows, ["user" if basket is None else "basket", "item"])
    interactions = k_core(Interactions.from_table(rows), min_count, iterative)
    return use_file_order(interactions) if order == "file" else interactions


def load_inter(path: str, order: Order = "random", min_count: int = 1, iterative: bool = False) -> Interactions:
    """Load RecBole's atomic file of interactions.

    Its columns are user_id:token, item_id:token and optionally timestamp:float. Arguments and errors as in `load_csv`.
    """
    time = "timestamp:float" if "timestamp:float" in _read_header(Path(path), "\t") else None
    return load_csv(
        path, "user_id:token", "item_id:token", time, None, "\t", order, min_count=min_count, iterative=iterative
    )


def _read_header(path: Path, separator: str) -> list[str]:
    """Read the column names in the first line."""
    with open_raw(path) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
        try:
            names = next(csv.reader(text, delimiter=separator), [])
        except csv.Error as error:
            raise DataError(f"{path} cannot be read: {error}") from error
    if not names or len(set(names)) < len(names):
        raise DataError(f"{path}, line 1: found {names}, expected the columns' names, each once")
    return names


def _rank_times(path: Path, times: pd.Series) -> IntArray:
    """Replace times [n] by their ranks, equal for equal times; a split needs no more."""
    values = pd.to_numeric(times, errors="coerce")
    if values.isna().any():
        values = pd.to_datetime(times, format="ISO8601", errors="coerce", utc=True)
        check_values(path, times, values.notna(), "numbers or ISO 8601 dates", first_line=2)
    return np.unique(values.to_numpy(), return_inverse=True)[1]
