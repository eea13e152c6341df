"""Fast parsing of raw files, with errors that name the wrong line."""

import io
import logging
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from sdmr.datasets.errors import DataError

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 25  # of a large file that are in memory at once
_TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string()}


@dataclass(frozen=True)
class Layout:
    """Describe the lines of a file."""

    columns: Mapping[str, type[int] | type[float] | type[str]]  # name and type of every field of a line, in order
    separator: str = "\t"
    header: bool = False  # True if the first line names the columns
    quoted: bool = False  # True if fields may be in double quotes
    optional: tuple[str, ...] = ()  # columns whose fields may be empty
    encoding: str = "utf8"

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
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _open_unpacked(path: Path) -> IO[bytes]:
    """Open a file, or the content of an archive."""
    if path.suffix != ".zip":
        return io.BufferedReader(pa.input_stream(path))  # unpacks .gz and .bz2
    archive = zipfile.ZipFile(path)
    if len(members := archive.namelist()) != 1:
        raise DataError(f"{path}: expected an archive of one file, found {len(members)}")
    return archive.open(members[0])


def read_columns(path: Path, layout: Layout, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """Read some columns of a file, by default all, each as int64, float64 or str.

    Raises:
        DataError: A line does not fit the layout. The message names file, line and what was expected.
    """
    return pd.concat(list(read_chunks(path, layout, list(columns or layout.columns))), ignore_index=True)


def read_chunks(path: Path, layout: Layout, columns: list[str]) -> Iterator[pd.DataFrame]:
    """Read some columns in chunks of about `CHUNK_BYTES`, for files too large for the memory.

    Raises:
        DataError: A line does not fit the layout, as in `read_columns`.
    """
    names = list(layout.columns)
    types = {name: _TYPES[dtype] for name, dtype in layout.columns.items()}
    required = [name for name in names if name not in layout.optional]
    first_line = 1 + layout.header
    separator = layout.separator if len(layout.separator) == 1 else "\x1f"  # pyarrow splits at one character
    quote = '"' if layout.quoted else False
    lines = csv.ReadOptions(use_threads=False, block_size=CHUNK_BYTES, column_names=names, encoding=layout.encoding)
    lines.skip_rows = int(layout.header)
    fields = csv.ParseOptions(delimiter=separator, quote_char=quote, newlines_in_values=layout.quoted)
    fields.ignore_empty_lines = False
    values = csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
    with open_raw(path) as raw:
        if separator != layout.separator:
            raw = io.BytesIO(raw.read().replace(layout.separator.encode(), separator.encode()))
        try:
            for batch in csv.open_csv(raw, lines, fields, values):
                chunk = batch.to_pandas()
                is_missing = chunk[required].isna().to_numpy()
                if is_missing.any():
                    row, column = np.argwhere(is_missing)[0]
                    raise ValueError(f"column {required[column]}: line {first_line + row}: no value")
                yield chunk[columns]
                first_line += len(chunk)
            if first_line == 1 + layout.header:
                raise ValueError("the file is empty")
        except ValueError as error:  # pyarrow's errors are ValueErrors that name column and line
            fault = re.sub(r"In CSV column #(\d+)", lambda match: f"column {names[int(match[1])]}", str(error))
            fault = fault.replace("Row #", "line ").replace(separator, layout.separator).replace("\n", " ")
            raise DataError(f"{path}: {fault:.300}; expected {layout.describe()}") from error


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
