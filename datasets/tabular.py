"""The user's data: tables such as CSV, JSON lines, parquet or RecBole files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from sdmr.datasets.cleaning import Column, Selection
from sdmr.datasets.errors import DataError, quote, quote_name
from sdmr.datasets.interactions import Interactions, Order
from sdmr.datasets.parsing import check_values
from sdmr.datasets.table_file import Format, Quoting, TableFile


def load_csv(
    path: str,
    user: Column = "user",
    item: Column = "item",
    time: Column | None = None,
    basket: Column | None = None,
    rating: Column | None = None,
    min_rating: float | None = None,
    filter: str | None = None,
    format: Format = "auto",
    separator: str | None = None,
    header: bool = True,
    encoding: str = "utf-8",
    quoting: Quoting = "auto",
    member: str | None = None,
    time_format: str | None = None,
    missing_ids: Literal["error", "drop", "text"] = "error",
    na_values: Sequence[str | int] = (),
    keep: Literal["first", "last"] = "first",
    order: Order = "random",
    min_count: int = 1,
    iterative: bool = False,
) -> Interactions:
    """Load a table in which each row is an interaction.

    Dropped rows are counted in `Interactions.dropped`.

    Args:
        path: The file, which may be packed; see `sdmr.datasets.raw.open_raw`.
        user: Column of users, by name; without header by number, from 0.
        item: Column of items, by name; without header by number, from 0.
        time: Column of numbers or dates.
        basket: Column that identifies the baskets of a user. Two users' baskets of one name are two baskets. Within a
            basket the order of the file holds, whatever the times.
        rating: Column of numbers that `min_rating` is compared with.
        min_rating: Rows of a lower rating are dropped.
        filter: Rows to keep, such as "event==purchase".
        format: How the file is written: csv, tsv, jsonl, parquet or inter; "auto" goes by its suffix.
        separator: Any characters between the fields; None for comma or tab.
        header: Whether the first line names the columns.
        encoding: Encoding of the text, such as latin-1.
        quoting: Whether fields may be in double quotes: auto, none, or multiline.
        member: The file to read in an archive of several.
        time_format: How times are written, as in Python's strptime: "%d.%m.%Y".
        missing_ids: What to do with empty ids and words such as NA: error, drop, or text to take them as ids.
        na_values: Further words for a missing id, such as unknown.
        keep: Of rows with the same user and item, the first or the last by time.
        order: Without times, "random" shuffles each history; "file" takes the order of the file for time.
        min_count: Users and items with fewer interactions are dropped.
        iterative: Whether to repeat min_count until nothing is dropped.

    Raises:
        DataError: The file cannot be read, or a line does not fit.
        ValueError: A setting is unknown or has no effect, such as order "file" where time or basket set the order.
    """
    selection = Selection(
        *(user, item, time, basket, rating, min_rating, filter),
        *(time_format, missing_ids, na_values, keep, order, min_count, iterative),
    )
    file = TableFile(Path(path).expanduser(), format, separator, header, encoding, quoting, member)
    return selection.build_interactions(file.path, read_rows(file, selection.roles), file.first_line)


def load_inter(
    path: str,
    rating: Column | None = None,
    min_rating: float | None = None,
    filter: str | None = None,
    encoding: str = "utf-8",
    missing_ids: Literal["error", "drop", "text"] = "error",
    na_values: Sequence[str | int] = (),
    keep: Literal["first", "last"] = "first",
    order: Order = "random",
    min_count: int = 1,
    iterative: bool = False,
) -> Interactions:
    """Load RecBole's atomic file of interactions.

    Its columns are user_id:token, item_id:token and optionally timestamp:float. Errors are those of `load_csv`.

    Args:
        path: RecBole's file, NAME.inter.
        rating: Column of numbers that `min_rating` is compared with.
        min_rating: Rows of a lower rating are dropped.
        filter: Rows to keep, such as "rating:float>3".
        encoding: Encoding of the text, such as latin-1.
        missing_ids: What to do with empty ids and words such as NA: error, drop, or text to take them as ids.
        na_values: Further words for a missing id, such as unknown.
        keep: Of rows with the same user and item, the first or the last by time.
        order: Without times, "random" shuffles each history; "file" takes the order of the file for time.
        min_count: Users and items with fewer interactions are dropped.
        iterative: Whether to repeat min_count until nothing is dropped.
    """
    settings = {name: value for name, value in locals().items() if name != "path"}
    names = TableFile(Path(path).expanduser(), "inter", encoding=encoding).names
    time = "timestamp:float" if "timestamp:float" in names else None
    return load_csv(path, "user_id:token", "item_id:token", time, format="inter", **settings)


def load_frame(
    frame: pd.DataFrame | pa.Table, user: Column = "user", item: Column = "item", **settings: Any
) -> Interactions:
    """Take a pandas DataFrame or an Arrow table; each row is an interaction.

    Args:
        frame: The table. Messages number its rows from 0, and call them lines.
        user, item: Its columns.
        settings: time, basket, rating, min_rating, filter, time_format, missing_ids, na_values, keep, order,
            min_count and iterative, as in `load_csv`.

    Raises:
        DataError: The table lacks a column, or a value does not fit.
        ValueError: A setting is unknown or has no effect.
    """
    if not isinstance(frame, pd.DataFrame | pa.Table):
        raise DataError(f"the table is a {type(frame).__name__}, expected a pandas DataFrame or an Arrow table")
    names = list(Selection.__dataclass_fields__)
    if unknown := [name for name in settings if name not in names]:
        raise ValueError(f"load_frame has no setting {unknown[0]!r}, expected one of {', '.join(names)}")
    selection = Selection(user, item, **settings)
    columns = list(frame.columns if isinstance(frame, pd.DataFrame) else frame.column_names)
    for name in selection.roles.values():
        if (number := columns.count(name)) != 1:
            listed = quote(", ".join(map(quote_name, columns)), 200)
            fault = f"{number} columns" if number else "no column"
            is_index = isinstance(frame, pd.DataFrame) and name in frame.index.names
            hint = "; it is the index, which frame.reset_index() makes a column" if is_index else ""
            raise DataError(f"the table has {fault} {name!r}, expected one; it has {listed}{hint}")
    if not len(frame):
        raise DataError("the table has no rows")
    table = pa.table({role: _convert(name, frame[name]) for role, name in selection.roles.items()})
    return selection.build_interactions(Path("the table"), _encode_ids(Path("the table"), table).to_pandas())


def _convert(name: Column, values: Any) -> pa.Array | pa.ChunkedArray:
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError) as error:
        expected = "expected values of one type, and integers of at most 64 bits"
        raise DataError(f"the table, column {name!r}: {quote(error, 200)}, {expected}") from error


def _encode_ids(path: Path, table: pa.Table) -> pa.Table:
    """Encode all columns but times and ratings as categories, which need little memory."""
    return pa.table({role: _encode(path, role, table[role]) for role in table.column_names})


def _encode(path: Path, role: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    is_encoded = pa.types.is_dictionary(column.type)
    values = column.type.value_type if is_encoded else column.type
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    try:
        if any(test(values) for test in tests):
            column, is_encoded = column.cast(values).cast(pa.string()), False
        if role in ("time", "rating") or is_encoded:
            return column
        if pa.types.is_float16(values):
            raise DataError(f"{path}: the {role} column holds float16, which loses digits: expected integers or text")
        return column.dictionary_encode()
    except pa.ArrowException as error:
        expected = "expected numbers or text in UTF-8"
        raise DataError(f"{path}: the {role} column holds {values}, no ids: {expected}") from error


def read_rows(file: TableFile, roles: Mapping[str, Column]) -> pd.DataFrame:
    """Read the columns of some roles, named by role."""
    columns = {role: file.find_column(column) for role, column in roles.items()}
    chunks = []
    for table in file.read(list(dict.fromkeys(columns.values()))):
        chunks.append(_encode_ids(file.path, pa.table({role: table[name] for role, name in columns.items()})))
    rows = pa.concat_tables(chunks).unify_dictionaries().to_pandas()
    if file.first_line == 2:  # files with a header that were put together
        names = {role: (columns[role], f"\ufeff{columns[role]}") for role in ("user", "item")}  # also after a byte mark
        is_header = rows["user"].isin(names["user"]) & rows["item"].isin(names["item"])
        check_values(file.path, rows["user"], ~is_header, "an id: the header is repeated, remove this line", 2)
    return rows
