"""Fast parsing of raw files, with errors that name the wrong line."""

import codecs
import csv as builtin_csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv

from sdmr.datasets.errors import DataError, quote
from sdmr.datasets.raw import open_raw

CHUNK_BYTES = 1 << 25  # of a large file that are in memory at once
WHITESPACE = r"\s+"  # separator: any number of spaces and tabs
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
    multiline: bool = False  # True if a field in quotes may hold line ends
    lazy: bool = False  # True if only the columns that are read are checked

    @property
    def byte_separator(self) -> str:
        """Get the separator of the blocks that `read_blocks` yields: pyarrow splits at one byte."""
        if self.separator == WHITESPACE:
            return " "
        return self.separator if len(self.separator.encode()) == 1 else "\x1f"

    def describe(self) -> str:
        """Describe an expected line, for error messages."""
        fields = ", ".join(f"{name} ({dtype.__name__})" for name, dtype in self.columns.items())
        return f"{len(self.columns)} fields separated by {self.separator!r}: {quote(fields, 200)}"


def read_columns(path: Path, layout: Layout, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """Read some columns of a file, by default all, each as int64, float64 or str.

    Raises:
        DataError: A line does not fit the layout. The message names file, line and what was expected.
    """
    return pa.concat_tables(read_tables(path, layout, list(columns or layout.columns))).to_pandas()


def read_tables(path: Path, layout: Layout, columns: list[str], member: str | None = None) -> Iterator[pa.Table]:
    """Read some columns in chunks of about `CHUNK_BYTES`, for files too large for the memory.

    Args:
        member: As in `sdmr.datasets.raw.open_raw`.

    Raises:
        DataError: A line does not fit the layout, as in `read_columns`.
    """
    names, separator = list(layout.columns), layout.byte_separator
    types = {name: _TYPES[dtype] for name, dtype in layout.columns.items()}
    required = [name for name in names if name not in layout.optional]
    quote_char = '"' if layout.quoted else False
    fields = csv.ParseOptions(delimiter=separator, quote_char=quote_char, newlines_in_values=layout.multiline)
    fields.ignore_empty_lines = False
    values = csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
    values.include_columns = columns if layout.lazy else names
    first_line = 0
    for first_line, block in read_blocks(path, layout, member):
        lines = csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names)
        try:
            table = csv.read_csv(pa.py_buffer(block), lines, fields, values)
            if layout.quoted and _ends_in_quotes(block, layout):
                raise ValueError("a quote is still open at the end of the file")
            if not layout.multiline and table.num_rows != block.count(b"\n") + (block[-1:] != b"\n"):
                raise ValueError("a quote or a control character hides a line end")
            for name in required:
                if name in table.column_names and table[name].null_count:
                    row = pc.index(pc.is_null(table[name]), True).as_py()
                    raise ValueError(f"column {name}: line {first_line + row}: no value")
        except ValueError as error:  # pyarrow's errors are ValueErrors that name column and row
            fault = _explain_fault(str(error), block, first_line, layout)
            raise DataError(f"{path}: {fault}; expected {layout.describe()}") from error
        yield table.select(columns)
    if not first_line:
        state = "has no row below its header" if layout.header else "is empty"
        raise DataError(f"{path}: the file {state}; expected {layout.describe()}")


def read_blocks(path: Path, layout: Layout, member: str | None = None) -> Iterator[tuple[int, bytes]]:
    """Read blocks of complete lines, without the header and blank lines at the end.

    The blocks are UTF-8 with a separator of one byte.

    Yields:
        The number of the block's first line, and the block.

    Raises:
        DataError: The file cannot be read, cannot be decoded, or has a line of more than `CHUNK_BYTES`.
    """
    line, rest = 1, b""
    with open_raw(path, member) as raw:
        is_utf8 = codecs.lookup(layout.encoding).name == "utf-8"
        text = raw if is_utf8 else codecs.EncodedFile(raw, "utf-8", layout.encoding)
        while True:
            try:
                chunk = text.read(CHUNK_BYTES)
            except UnicodeError as error:
                raise DataError(f"{path}: after line {line}: {error}; expected encoding={layout.encoding}") from error
            block = rest + chunk
            cut = block.rfind(b"\n") + 1
            while layout.multiline and cut and block.count(b'"', 0, cut) % 2:  # within quotes
                cut = block.rfind(b"\n", 0, cut - 1) + 1
            if chunk and cut:  # blank lines wait for the next block: the last ones are left out
                cut = block.find(b"\n", len(block[:cut].rstrip(b"\r\n"))) + 1
            if not chunk:
                cut = len(block)
            elif not cut and len(block) > CHUNK_BYTES:
                raise DataError(f"{path}, line {line}: longer than {CHUNK_BYTES:,} bytes, expected shorter lines")
            block, rest = block[:cut], block[cut:]
            n_lines = block.count(b"\n")
            if line == 1 and layout.header and block:
                line, n_lines, block = 2, n_lines - 1, block.partition(b"\n")[2]
            if not chunk:
                block = block.rstrip(b"\r\n")
            if block:
                yield line, _separate(block, layout)
            line += n_lines
            if not chunk:
                return


def _separate(block: bytes, layout: Layout) -> bytes:
    """Replace separators of several bytes by one byte."""
    if layout.separator == WHITESPACE:
        block = block.replace(b"\r\n", b"\n").replace(b"\t", b" ")
        while b"  " in block:
            block = block.replace(b"  ", b" ")
        return block.replace(b" \n", b"\n").replace(b"\n ", b"\n").strip(b" ")
    separator, byte = layout.separator.encode(), layout.byte_separator.encode()
    return block if separator == byte else block.replace(separator, byte)


def _explain_fault(fault: str, block: bytes, first_line: int, layout: Layout) -> str:
    """Explain pyarrow's error by the columns' names and the numbers of lines."""
    wrong_row = int(match[1]) if (match := re.search(r"Row #(\d+)", fault)) else block.count(b"\n") + 1
    if layout.quoted and not layout.multiline:
        lines = block.decode(errors="replace").split("\n")
        for row, line in enumerate(lines[:wrong_row]):
            if '"' in line and _is_quote_open(line, layout.byte_separator):
                return (
                    f"line {first_line + row}: a quote is still open at the end of the line: {quote(line)}; close it, "
                    "or set quoting=none (quotes mean nothing) or quoting=multiline (fields may have several lines)"
                )
    names = list(layout.columns)
    fault = re.sub(r"In CSV column #(\d+)", lambda match: f"column {names[int(match[1])]}", fault)
    word = "row" if layout.multiline else "line"
    fault = re.sub(r"Row #\d+", f"{word} {first_line + wrong_row - 1}", fault)
    hint = f" in encoding={layout.encoding}, set another one such as latin-1" if "invalid UTF8" in fault else ""
    return quote(fault.replace("\x1f", layout.separator) + hint, 300)


def _ends_in_quotes(block: bytes, layout: Layout) -> bool:
    """Tell whether a quote is open at the end of a block.

    With `multiline`, it may have been opened in any line.
    """
    end = block if layout.multiline else block.rstrip(b"\r\n").rpartition(b"\n")[2]
    return b'"' in end and _is_quote_open(end.decode(errors="replace"), layout.byte_separator)


def _is_quote_open(text: str, separator: str) -> bool:
    """Tell whether a field's quote does not end in a line or several."""
    try:
        return not list(builtin_csv.reader(io.StringIO(text.rstrip("\r")), delimiter=separator, strict=True))
    except builtin_csv.Error as error:
        return "unexpected end of data" in str(error)


def check_values(path: Path, values: pd.Series, is_valid: pd.Series, expected: str, first_line: int = 1) -> None:
    """Raise DataError at the first value of a column that is not valid.

    Args:
        first_line: Line number of the column's first row, for the error message.
    """
    if not is_valid.all():
        row = int(is_valid.to_numpy().argmin())
        value, line = values.iloc[row], int(values.index[row]) + first_line
        described = "missing" if pd.isna(value) else quote(repr(value))
        raise DataError(f"{path}, line {line}: {values.name} is {described}, expected {expected}")


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


def drop_duplicates(table: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Drop rows that repeat an earlier `key`, and count them in the table's attributes."""
    distinct = table.drop_duplicates(key)
    distinct.attrs = table.attrs | {"dropped": {"duplicate_rows": len(table) - len(distinct)}}
    return distinct


def check_totals(path: Path, table: pd.DataFrame, totals: tuple[int, int, int]) -> None:
    """Raise DataError unless the table has these numbers of users, items and rows."""
    actual = table["user"].nunique(), table["item"].nunique(), len(table)
    if actual != totals:
        describe = "{:,} users, {:,} items and {:,} rows".format
        raise DataError(f"{path}: found {describe(*actual)}, expected {describe(*totals)}")
