"""Reading raw files: fast when they are sound, and naming the line at fault when they are not."""

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

from sdmr.datasets.interactions import Interactions

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 1_000_000  # of a large file, in memory in full


class DataError(ValueError):
    """Data that is absent, damaged or not what was expected; the message says where and what was expected."""


@dataclass(frozen=True)
class Layout:
    """How the lines of a file are laid out."""

    columns: dict[str, type[int] | type[float] | type[str]]  # every field of a line, in order, with its kind
    separator: str = "\t"
    header: bool = False  # the first line names the columns
    quoted: bool = False  # fields may stand in double quotes
    optional: tuple[str, ...] = ()  # columns whose fields may be empty

    def describe(self) -> str:
        fields = ", ".join(f"{name} ({kind.__name__})" for name, kind in self.columns.items())
        return f"{len(self.columns)} fields separated by {self.separator!r}: {fields}"


_files_read: ContextVar[set[Path] | None] = ContextVar("files_read", default=None)


@contextmanager
def files_read() -> Iterator[set[Path]]:
    """Within the context, the set grows by every raw file opened (see `open_raw`)."""
    files: set[Path] = set()
    token = _files_read.set(files)
    try:
        yield files
    finally:
        _files_read.reset(token)


def note_read(path: Path) -> None:
    """Note that what is being read depends on this file, or on what this folder holds."""
    if (noted := _files_read.get()) is not None:
        noted.add(path)


def open_raw(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked if its name ends in .gz, .bz2 or .zip (of one member).

    Raises DataError if there is no such file, or it is no such archive.
    """
    note_read(path)
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


def read_columns(path: Path, layout: Layout, wanted: list[str]) -> pd.DataFrame:
    """The wanted columns ([rows] each: int64, float64 or str) of a file in the given layout.

    Raises DataError, with file, line and what was expected, at the first line that does not fit.
    """
    return pd.concat(list(read_in_parts(path, layout, wanted)))


def read_in_parts(path: Path, layout: Layout, wanted: list[str]) -> Iterator[pd.DataFrame]:
    """`read_columns`, some million rows at a time, for files that are too large to be held whole."""
    names = list(layout.columns)
    required = [name for name in names if name not in layout.optional]
    try:
        if names[-1] in layout.optional:
            _explain(path, layout)  # since pandas cannot tell an empty last field from a missing one
        with open_raw(path) as raw:
            parts = pd.read_csv(
                _single_separator(raw, layout),
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
                chunksize=ROWS_AT_ONCE,
            )
            for part in parts:
                # pandas takes the surplus fields of a first line for row labels, and fills up missing fields with NaN.
                if not isinstance(part.index, pd.RangeIndex) or part[required].isna().to_numpy().any() or part.empty:
                    raise ValueError("a line does not fit")
                yield part[wanted]
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:  # bz2 says OSError of a damaged archive
        raise DataError(f"{path} cannot be read: {error}") from error
    except DataError:
        raise
    except (ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors
        _explain(path, layout)
        raise DataError(f"{path}: {error}; expected {layout.describe()}") from error


def _single_separator(raw: IO[bytes], layout: Layout) -> IO[bytes]:
    """pandas reads fast only what is separated by one character: MovieLens' "::" becomes ":"."""
    if len(layout.separator) == 1:
        return raw
    separator = layout.separator.encode()
    return io.BytesIO(raw.read().replace(separator, separator[:1]))


def _explain(path: Path, layout: Layout) -> None:
    """Raise DataError at the first line that does not fit the layout, read line by line; return if all do."""
    number = 0
    with open_raw(path) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
        rows: Iterable[list[str]] = (line.rstrip("\r\n").split(layout.separator) for line in text)
        if layout.quoted:
            rows = csv.reader(text, delimiter=layout.separator)
        try:
            for number, fields in enumerate(rows, start=1):
                if number > layout.header and (fault := _fault(fields, layout)):
                    raise DataError(f"{path}, line {number}: {fault}")
        except csv.Error as error:
            raise DataError(f"{path}, line {number + 1}: {error}, expected {layout.describe()}") from error
    if number <= layout.header:
        raise DataError(f"{path} is empty, expected lines of {layout.describe()}")


def _fault(fields: list[str], layout: Layout) -> str:
    """What is wrong with a line's fields; empty if nothing is."""
    if len(fields) != len(layout.columns):
        return f"found {len(fields)} fields, expected {layout.describe()}"
    for field, (name, kind) in zip(fields, layout.columns.items(), strict=True):
        if not field and name in layout.optional:
            continue
        if not field.isascii() and not field.isprintable() and any("\udc80" <= letter <= "\udcff" for letter in field):
            return f"{name} is {field!r}, expected text in UTF-8"
        try:
            np.dtype(kind).type(field)
        except (ValueError, OverflowError):
            return f"{name} is {field!r}, expected {'a whole number' if kind is int else 'a number'}"
        if not field:
            return f"{name} is empty, expected {layout.describe()}"
    return ""


def as_interactions(table: pd.DataFrame) -> Interactions:
    """The table's rows: columns user and item and, where it has them, time and basket; other columns go."""
    columns = [name for name in ("user", "item", "time", "basket") if name in table]
    return Interactions.from_raw(**{f"{name}s": table[name].to_numpy() for name in columns})


def refuse_duplicates(path: Path, table: pd.DataFrame, key: list[str], first_line: int = 1) -> None:
    """Raise DataError if two rows agree in the columns `key`; `first_line` is the line number of row 0."""
    repeated = table.duplicated(key).to_numpy()
    if repeated.any():
        row = int(repeated.argmax())
        same = (table[key] == table[key].iloc[row]).all(axis=1).to_numpy()
        what = ", ".join(f"{name} {table[name].iloc[row]}" for name in key)
        raise DataError(
            f"{path}, line {row + first_line}: {what} stands in line {int(same.argmax()) + first_line} already, "
            "expected no duplicates"
        )


def drop_duplicates(path: Path, table: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """The table without the rows that agree with an earlier one in the columns `key`; says how many went."""
    repeated = table.duplicated(key).to_numpy()
    if repeated.any():
        log.warning("%s: dropped %d duplicate rows of %d (same %s)", path, repeated.sum(), len(table), ", ".join(key))
    return table[~repeated]


def check_totals(path: Path, table: pd.DataFrame, users: int, items: int, rows: int) -> None:
    """Raise DataError unless the table has so many distinct users and items, and so many rows."""
    found = (table["user"].nunique(), table["item"].nunique(), len(table))
    if found != (users, items, rows):
        raise DataError(
            f"{path}: found {found[0]:,} users, {found[1]:,} items and {found[2]:,} rows, "
            f"expected {users:,}, {items:,} and {rows:,}"
        )
