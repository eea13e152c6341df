"""Fast parsing of raw files, with errors that name the wrong line."""

import bz2
import csv
import gzip
import io
import logging
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
import pandas as pd

from sdmr.datasets.errors import DataError

log = logging.getLogger(__name__)

CHUNK_ROWS = 1_000_000  # rows of a large file that are in memory at once
DESCRIPTIONS = {int: "a whole number", float: "a number", str: "text in UTF-8, not empty"}


@dataclass(frozen=True)
class Layout:
    """Describe the lines of a file."""

    columns: Mapping[str, type[int] | type[float] | type[str]]  # name and type of every field of a line, in order
    separator: str = "\t"
    header: bool = False  # True if the first line names the columns
    quoted: bool = False  # True if fields may be in double quotes
    optional: tuple[str, ...] = ()  # columns whose fields may be empty
    encoding: str = "utf-8-sig"

    def describe(self) -> str:
        """Describe an expected line, for error messages."""
        fields = ", ".join(f"{name} ({dtype.__name__})" for name, dtype in self.columns.items())
        return f"{len(self.columns)} fields separated by {self.separator!r}: {fields}"


_reads: ContextVar[set[Path]] = ContextVar("reads")


@contextmanager
def track_reads() -> Iterator[set[Path]]:
    """Collect in a set every raw file that is opened within the context (see `open_raw`)."""
    files: set[Path] = set()
    token = _reads.set(files)
    try:
        yield files
    finally:
        _reads.reset(token)


def record_read(path: Path) -> None:
    """Record that the data depends on this file, or on the contents of this folder."""
    _reads.get(set()).add(path)


@contextmanager
def open_raw(path: Path) -> Iterator[IO[bytes]]:
    """Open a raw file, unpacked if its name ends in .gz, .bz2 or .zip.

    Raises:
        DataError: The file cannot be read, or is a zip archive of several files.
    """
    record_read(path)
    try:
        with _open_unpacked(path) as raw:
            yield raw
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:  # bz2 raises OSError for a damaged archive
        raise DataError(f"{path} cannot be read: {error}") from error


def _open_unpacked(path: Path) -> IO[bytes]:
    """Open a file, or the content of an archive."""
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path))
    if path.suffix == ".bz2":
        return cast(IO[bytes], bz2.open(path))
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        if len(members := archive.namelist()) != 1:
            raise DataError(f"{path}: expected an archive of one file, found {len(members)}")
        return archive.open(members[0])
    return path.open("rb")


def read_columns(path: Path, layout: Layout, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """Read some columns of a file, by default all, each as int64, float64 or str.

    Raises:
        DataError: A line does not fit the layout. The message names file, line and what was expected.
    """
    return pd.concat(list(read_chunks(path, layout, list(columns or layout.columns))))


def read_chunks(path: Path, layout: Layout, columns: list[str]) -> Iterator[pd.DataFrame]:
    """Read some columns in chunks of `CHUNK_ROWS` rows, for files too large for the memory.

    Raises:
        DataError: A line does not fit the layout, as in `read_columns`.
    """
    names = list(layout.columns)
    required = [name for name in names if name not in layout.optional]
    if names[-1] in layout.optional:
        _check_lines(path, layout)  # because pandas does not distinguish an empty last field from a missing one
    with open_raw(path) as raw:
        separator = layout.separator
        if len(separator) > 1:  # pandas reads one character fast
            raw, separator = io.BytesIO(raw.read().replace(separator.encode(), b"\x1f")), "\x1f"
        try:
            for chunk in pd.read_csv(
                raw,
                sep=separator,
                header=None,
                names=names,
                skiprows=int(layout.header),
                dtype=layout.columns,
                keep_default_na=False,
                na_values=[""],
                skip_blank_lines=False,
                quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
                encoding=layout.encoding,
                chunksize=CHUNK_ROWS,
            ):
                # pandas reads extra fields of a first line as row labels, and fills missing fields with NaN.
                has_row_labels = not isinstance(chunk.index, pd.RangeIndex)
                if has_row_labels or chunk[required].isna().to_numpy().any() or chunk.empty:
                    raise ValueError("a line does not fit")
                yield chunk[columns]
        except (ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors
            _check_lines(path, layout)
            raise DataError(f"{path}: {error}; expected {layout.describe()}") from error


def _check_lines(path: Path, layout: Layout) -> None:
    """Raise DataError at the first line that does not fit the layout."""
    number = 0
    with open_raw(path) as raw:
        text = io.TextIOWrapper(raw, encoding=layout.encoding, errors="surrogateescape", newline="")
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
        try:
            field.encode()  # fails for a byte that is no text
            np.dtype(dtype).type(field)
            is_valid = field != ""
        except (ValueError, OverflowError):
            is_valid = False
        if not is_valid and (field or name not in layout.optional):
            return f"{name} is {field!r}, expected {DESCRIPTIONS[dtype]}"
    return ""


def check_values(path: Path, values: pd.Series, is_valid: pd.Series, expected: str, first_line: int = 1) -> None:
    """Raise DataError at the first value of a column that is not valid.

    Args:
        first_line: Line number of the column's first row, for the error message.
    """
    if not is_valid.all():
        row = int(is_valid.to_numpy().argmin())
        value = values.iloc[row]
        raise DataError(f"{path}, line {row + first_line}: {values.name} is {value!r}, expected {expected}")


def check_no_duplicates(path: Path, table: pd.DataFrame, key: list[str], first_line: int = 1) -> None:
    """Raise DataError if two rows agree in the columns `key`; `first_line` as in `check_values`."""
    is_duplicate = table.duplicated(key).to_numpy()
    if is_duplicate.any():
        row = int(is_duplicate.argmax())
        first_row = int((table[key] == table[key].iloc[row]).all(axis=1).to_numpy().argmax())
        values = ", ".join(f"{name} {table[name].iloc[row]}" for name in key)
        raise DataError(
            f"{path}, line {row + first_line}: {values} is already in line {first_row + first_line}, "
            "expected no duplicates"
        )


def drop_duplicates(path: Path, table: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Drop rows that repeat an earlier `key`, and log how many."""
    distinct = table.drop_duplicates(key)
    if n_dropped := len(table) - len(distinct):
        log.warning("%s: dropped %d duplicate rows of %d (same %s)", path, n_dropped, len(table), ", ".join(key))
    return distinct


def check_totals(path: Path, table: pd.DataFrame, totals: tuple[int, int, int]) -> None:
    """Raise DataError unless the table has these numbers of users, items and rows."""
    actual = table["user"].nunique(), table["item"].nunique(), len(table)
    if actual != totals:
        describe = "{:,} users, {:,} items and {:,} rows".format
        raise DataError(f"{path}: found {describe(*actual)}, expected {describe(*totals)}")
