"""Fast parsing of raw files, with errors that name the wrong line."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import logging
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
import pandas as pd

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import Interactions

log = logging.getLogger(__name__)

CHUNK_ROWS = 1_000_000  # rows of a large file that are in memory at once


@dataclass(frozen=True)
class Layout:
    """Describe the lines of a file."""

    columns: dict[str, type[int] | type[float] | type[str]]  # name and type of every field of a line, in order
    separator: str = "\t"
    header: bool = False  # True if the first line names the columns
    quoted: bool = False  # True if fields may be in double quotes
    optional: tuple[str, ...] = ()  # columns whose fields may be empty

    def describe(self) -> str:
        """Describe an expected line, for error messages."""
        fields = ", ".join(f"{name} ({dtype.__name__})" for name, dtype in self.columns.items())
        return f"{len(self.columns)} fields separated by {self.separator!r}: {fields}"


_tracked_reads: ContextVar[set[Path] | None] = ContextVar("tracked_reads", default=None)


@contextmanager
def track_reads() -> Iterator[set[Path]]:
    """Collect in a set every raw file that is opened within the context (see `open_raw`)."""
    files: set[Path] = set()
    token = _tracked_reads.set(files)
    try:
        yield files
    finally:
        _tracked_reads.reset(token)


def record_read(path: Path) -> None:
    """Record that the data depends on this file, or on the contents of this folder."""
    if (files := _tracked_reads.get()) is not None:
        files.add(path)


def open_raw(path: Path) -> IO[bytes]:
    """Open a raw file, unpacked if its name ends in .gz, .bz2 or .zip.

    Raises:
        DataError: The file does not exist, is no such archive, or is a zip archive of several files.
    """
    record_read(path)
    try:
        if path.suffix == ".gz":
            return cast(IO[bytes], gzip.open(path))
        if path.suffix == ".bz2":
            return cast(IO[bytes], bz2.open(path))
        if path.suffix == ".zip":
            archive = zipfile.ZipFile(path)
            members = archive.namelist()
            if len(members) != 1:
                raise DataError(f"{path}: expected an archive of one file, found {len(members)}")
            return archive.open(members[0])
        return path.open("rb")
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def read_columns(path: Path, layout: Layout, columns: list[str]) -> pd.DataFrame:
    """Read some columns of a file, each as int64, float64 or str.

    Raises:
        DataError: A line does not fit the layout. The message names file, line and what was expected.
    """
    return pd.concat(list(read_chunks(path, layout, columns)))


def read_chunks(path: Path, layout: Layout, columns: list[str]) -> Iterator[pd.DataFrame]:
    """Read some columns in chunks of `CHUNK_ROWS` rows, for files too large for the memory.

    Raises:
        DataError: A line does not fit the layout, as in `read_columns`.
    """
    names = list(layout.columns)
    required = [name for name in names if name not in layout.optional]
    try:
        if names[-1] in layout.optional:
            _check_lines(path, layout)  # because pandas does not distinguish an empty last field from a missing one
        with open_raw(path) as raw:
            chunks = pd.read_csv(
                _shorten_separator(raw, layout),
                sep=layout.separator[0],
                header=None,
                names=names,
                skiprows=1 if layout.header else 0,
                dtype={name: layout.columns[name] for name in names},
                keep_default_na=False,
                na_values=[""],
                skip_blank_lines=False,
                quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
                encoding="utf-8-sig",
                chunksize=CHUNK_ROWS,
            )
            for chunk in chunks:
                # pandas reads extra fields of a first line as row labels, and fills missing fields with NaN.
                has_row_labels = not isinstance(chunk.index, pd.RangeIndex)
                if has_row_labels or chunk[required].isna().to_numpy().any() or chunk.empty:
                    raise ValueError("a line does not fit")
                yield chunk[columns]
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:  # bz2 raises OSError for a damaged archive
        raise DataError(f"{path} cannot be read: {error}") from error
    except DataError:
        raise
    except (ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors
        _check_lines(path, layout)
        raise DataError(f"{path}: {error}; expected {layout.describe()}") from error


def _shorten_separator(raw: IO[bytes], layout: Layout) -> IO[bytes]:
    """Shorten a separator such as "::" to one character, which pandas reads fast."""
    if len(layout.separator) == 1:
        return raw
    separator = layout.separator.encode()
    return io.BytesIO(raw.read().replace(separator, separator[:1]))


def _check_lines(path: Path, layout: Layout) -> None:
    """Raise DataError at the first line that does not fit the layout."""
    number = 0
    with open_raw(path) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
        rows: Iterable[list[str]] = (line.rstrip("\r\n").split(layout.separator) for line in text)
        if layout.quoted:
            rows = csv.reader(text, delimiter=layout.separator)
        try:
            for number, fields in enumerate(rows, start=1):
                if number > layout.header and (fault := _find_fault(fields, layout)):
                    raise DataError(f"{path}, line {number}: {fault}")
        except csv.Error as error:
            raise DataError(f"{path}, line {number + 1}: {error}, expected {layout.describe()}") from error
    if number <= layout.header:
        raise DataError(f"{path} is empty, expected lines of {layout.describe()}")


def _find_fault(fields: list[str], layout: Layout) -> str:
    """Describe what is wrong with a line's fields; return "" if nothing is."""
    if len(fields) != len(layout.columns):
        return f"found {len(fields)} fields, expected {layout.describe()}"
    for field, (name, dtype) in zip(fields, layout.columns.items(), strict=True):
        if not field and name in layout.optional:
            continue
        if not field.isascii() and not field.isprintable() and any("\udc80" <= letter <= "\udcff" for letter in field):
            return f"{name} is {field!r}, expected text in UTF-8"
        try:
            np.dtype(dtype).type(field)
        except (ValueError, OverflowError):
            return f"{name} is {field!r}, expected {'a whole number' if dtype is int else 'a number'}"
        if not field:
            return f"{name} is empty, expected {layout.describe()}"
    return ""


def to_interactions(table: pd.DataFrame) -> Interactions:
    """Convert a table with columns user, item and optionally time and basket."""
    columns = [name for name in ("user", "item", "time", "basket") if name in table]
    return Interactions.from_raw(**{f"{name}s": table[name].to_numpy() for name in columns})


def check_no_duplicates(path: Path, table: pd.DataFrame, key: list[str], first_line: int = 1) -> None:
    """Raise DataError if two rows agree in the columns `key`.

    Args:
        first_line: Line number of the table's first row, for the error message.
    """
    is_duplicate = table.duplicated(key).to_numpy()
    if is_duplicate.any():
        row = int(is_duplicate.argmax())
        is_equal = (table[key] == table[key].iloc[row]).all(axis=1).to_numpy()
        values = ", ".join(f"{name} {table[name].iloc[row]}" for name in key)
        raise DataError(
            f"{path}, line {row + first_line}: {values} is already in line {int(is_equal.argmax()) + first_line}, "
            "expected no duplicates"
        )


def drop_duplicates(path: Path, table: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Drop rows that repeat an earlier `key`, and log how many."""
    is_duplicate = table.duplicated(key).to_numpy()
    if is_duplicate.any():
        n_dropped = is_duplicate.sum()
        log.warning("%s: dropped %d duplicate rows of %d (same %s)", path, n_dropped, len(table), ", ".join(key))
    return table[~is_duplicate]


def check_totals(path: Path, table: pd.DataFrame, users: int, items: int, rows: int) -> None:
    """Raise DataError unless the table has these numbers of users, items and rows."""
    actual = (table["user"].nunique(), table["item"].nunique(), len(table))
    if actual != (users, items, rows):
        raise DataError(
            f"{path}: found {actual[0]:,} users, {actual[1]:,} items and {actual[2]:,} rows, "
            f"expected {users:,}, {items:,} and {rows:,}"
        )
