"""A user's file as a table: text with separators, JSON lines or parquet."""

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from sdmr.datasets.errors import DataError, check_choice, quote, quote_name
from sdmr.datasets.parsing import Layout, read_blocks, read_tables
from sdmr.datasets.raw import open_raw

Format = Literal["auto", "csv", "tsv", "jsonl", "parquet", "inter"]
Quoting = Literal["auto", "none", "multiline"]

MAX_COLUMNS = 10_000
_PACKED = {".gz", ".bz2", ".xz", ".zst", ".zip"}
_FORMATS = {
    **{".tsv": "tsv", ".inter": "inter", ".parquet": "parquet", ".pq": "parquet"},
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
}


@dataclass(frozen=True)
class TableFile:
    """Describe a file whose rows are interactions.

    Args:
        format: "auto" goes by the suffix; a suffix that says nothing is csv.
        separator: Of csv, tsv or inter: any characters, or `\\\\s+` for any white space. None: comma or tab.
        header: Whether the first line names the columns; without, they are named 0, 1, ….
        encoding: Of text. Only the columns that are read must be of it.
        quoting: Of text. "auto": fields of csv may be in double quotes that end in their line; tsv and inter have no
            quotes. "multiline": quotes may also hold line ends. "none": a quote is a character like others.
        member: Name of the file in an archive of several files.
    """

    path: Path
    format: Format = "auto"
    separator: str | None = None
    header: bool = True
    encoding: str = "utf-8"
    quoting: Quoting = "auto"
    member: str | None = None

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: A setting is unknown, or has no effect on this format.
        """
        check_choice("format", self.format, "auto", "csv", "tsv", "jsonl", "parquet", "inter")
        check_choice("quoting", self.quoting, "auto", "none", "multiline")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise ValueError(f"encoding={self.encoding} is unknown, expected one such as utf-8 or latin-1") from None
        if self.separator == "":
            raise ValueError(rf'separator="" for {self.path}: expected characters, such as ; or \t or \s+')
        text_settings = {"separator": None, "header": True, "quoting": "auto"}
        text_settings |= {"encoding": "utf-8"} if self.resolved_format == "parquet" else {}
        for name, default in text_settings.items():
            if self.resolved_format in ("jsonl", "parquet") and getattr(self, name) != default:
                raise ValueError(f"{name}={getattr(self, name)} has no effect on {self.path}: {self.resolved_format}")

    @cached_property
    def resolved_format(self) -> str:
        """Get the format, looked up by the suffix if it is "auto"."""
        name = Path(self.member or self.path.name)
        name = name.with_suffix("") if name.suffix in _PACKED else name
        return _FORMATS.get(name.suffix, "csv") if self.format == "auto" else self.format

    @property
    def first_line(self) -> int:
        """Get the number of the line that holds the first row."""
        return 1 + (self.header and self.resolved_format in ("csv", "tsv", "inter"))

    @cached_property
    def names(self) -> list[str]:
        """Read the columns' names, those of a repeated name with a number."""
        match self.resolved_format:
            case "parquet":
                with open_raw(self.path, self.member) as raw:
                    names = self._open_parquet(raw).schema_arrow.names
            case "jsonl":
                names = list(dict.fromkeys(name for entry in islice(self._read_entries(), 1000) for name in entry[1]))
            case _:
                names = self._read_first_line()
        if not names:
            raise DataError(f"{self.path}: the file is empty, expected 2 columns or more")
        if len(names) > MAX_COLUMNS:
            raise DataError(f"{self.path}, line 1: found {len(names)} columns, expected 2 to {MAX_COLUMNS:,}")
        counts = Counter(names)
        return [name if counts[name] == 1 else f"{name} ({number})" for number, name in enumerate(names)]

    def find_column(self, column: str | int) -> str:
        """Find a column by its name; without header, by its number.

        Raises:
            DataError: There is no such column.
        """
        names = {name: name for name in self.names}
        if self.resolved_format == "inter":  # user_id:token is also user_id
            names |= {name.partition(":")[0]: name for name in self.names}
        if str(column) in names:
            return names[str(column)]
        hint = "" if len(self.names) > 1 else "; set dataset.separator if it is another one"
        if self.names[0][:1] in ("#", "%"):
            hint += "; if the line is a comment, remove it"
        elif str(column).isdigit() and self.first_line == 2:
            hint = "; columns go by number in a file without header: dataset.header=false"
        elif self.first_line == 2 and any(re.search(r"\d", name) for name in self.names):
            hint += "; if this line is a row, set dataset.header=false, and the columns by number from 0"
        listed = quote(", ".join(map(quote_name, self.names)), 200)
        raise DataError(f"{self.path}, line 1: found no column {str(column)!r}, expected it among {listed}{hint}")

    def read(self, columns: list[str]) -> Iterator[pa.Table]:
        """Read columns in chunks: text, or in a parquet file what it holds.

        Raises:
            DataError: A line does not fit, as in `sdmr.datasets.parsing.read_tables`.
        """
        match self.resolved_format:
            case "parquet":
                with open_raw(self.path, self.member) as raw:
                    file = self._open_parquet(raw)
                    if not file.metadata.num_rows:
                        raise DataError(f"{self.path}: the file has no rows")
                    for batch in file.iter_batches(1 << 20, columns=columns):
                        yield pa.Table.from_batches([batch])
            case "jsonl":
                entries = self._read_entries()
                while chunk := list(islice(entries, 1 << 18)):
                    yield pa.table(
                        {
                            name: pa.array([_to_text(entry.get(name)) for _, entry in chunk], pa.string())
                            for name in columns
                        }
                    )
            case _:
                yield from read_tables(self.path, self._make_layout(self.names), columns, self.member)

    def _make_layout(self, names: list[str]) -> Layout:
        is_csv = self.resolved_format == "csv"
        separator = self.separator or ("," if is_csv else "\t")
        separator = "\t" if separator == r"\t" else separator
        is_quoted = is_csv and len(separator) == 1 and separator != "\t" if self.quoting == "auto" else True
        return Layout(
            columns=dict.fromkeys(names, str),
            separator=separator,
            header=self.header,
            quoted=is_quoted and self.quoting != "none",
            optional=tuple(names),
            encoding=self.encoding,
            multiline=self.quoting == "multiline",
            lazy=True,
        )

    def _read_first_line(self) -> list[str]:
        """Split the first line at the separator."""
        layout = self._make_layout([])
        for _, block in read_blocks(self.path, replace(layout, header=False), self.member):
            first, second, *_ = (*block.split(b"\n", 2), b"")
            line = first.decode("utf-8-sig", errors="replace").rstrip("\r")
            separator = layout.byte_separator.encode()
            is_longer = bool(second) and first.count(separator) != second.count(separator)
            if line[:1] in ("#", "%") and (is_longer or second[:1] == first[:1]):
                raise DataError(f"{self.path}, line 1 looks like a comment: {quote(line)}; remove it")
            if b"\0" in block:
                raise DataError(
                    f"{self.path} is no text file of encoding={self.encoding}: it has zero bytes; set "
                    "dataset.encoding=utf-16 if it is one of UTF-16"
                )
            try:
                fields = next(
                    csv.reader(
                        [line],
                        delimiter=layout.byte_separator,
                        quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
                    ),
                    [],
                )
            except csv.Error as error:
                fault = r"a carriage return, expected lines that end in \n or \r\n"
                fault = fault if "\r" in line else f"{error}, expected the columns' names"
                raise DataError(f"{self.path}, line 1: {fault}") from error
            return fields if self.header else [str(number) for number in range(len(fields))]
        return []

    def _read_entries(self) -> Iterator[tuple[int, dict[str, object]]]:
        """Read the number of each line and its JSON object."""
        for first_line, block in read_blocks(self.path, Layout({}, encoding=self.encoding), self.member):
            for line, text in enumerate(block.removesuffix(b"\n").split(b"\n"), first_line):
                try:
                    entry = json.loads(text)
                except ValueError as error:
                    raise DataError(
                        f"{self.path}, line {line}: {error}, expected a JSON object in each line"
                    ) from error
                if not isinstance(entry, dict):
                    raise DataError(f"{self.path}, line {line}: expected a JSON object, not {quote(text.decode())}")
                yield line, entry

    def _open_parquet(self, raw: object) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(raw)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{self.path} is no parquet file: {quote(error, 200)}") from error


def is_number(name: str) -> bool:
    """Tell whether a column's name is a number, as without header."""
    return re.fullmatch(r"\d+(\.\d+)?", name) is not None


def _to_text(value: object) -> str | None:
    """Write a JSON value as text."""
    return value if value is None or isinstance(value, str) else json.dumps(value)
