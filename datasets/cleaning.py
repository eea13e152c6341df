"""From a table to interactions: the rows that count, with times, each pair once."""

import operator
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from sdmr.datasets.errors import DataError, check_choice, format_counts
from sdmr.datasets.interactions import Interactions, Order, k_core, set_order
from sdmr.datasets.parsing import check_values

Column = str | int

MISSING = ("", "NA", "N/A", "<NA>", "NaN", "nan", "null", "NULL", "None")  # that programs write for a missing value
OPERATORS = {
    **{"==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le},
    **{">": operator.gt, "<": operator.lt},
}
# Common formats of times beside ISO 8601. One is taken only if no other one fits all times.
TIME_FORMATS = (
    "%a %b %d %H:%M:%S %z %Y",
    "%Y-%m-%d %H:%M:%S %Z",
    *(
        f"{date}{time}"
        for date in ("%m/%d/%Y", "%d/%m/%Y")
        for time in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
    ),
)
ISO_8601 = "ISO8601"


class Comparison(NamedTuple):
    """Compare a column with a value."""

    column: str
    symbol: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "Comparison":
        """Parse `COLUMN op VALUE`; raise ValueError for other text."""
        match = re.fullmatch(r"\s*(.+?)\s*(==|!=|>=|<=|>|<)\s*(.+?)\s*", text)
        if match is None:
            raise ValueError(f"filter={text}: expected one comparison such as event==purchase; {' '.join(OPERATORS)}")
        return cls(*match.groups())


@dataclass(frozen=True)
class Selection:
    """Choose the columns of a table, and the rows that count.

    Args:
        user, item, time, basket, rating: Columns by name or number.
        min_rating: Drop rows of a lower rating.
        filter: Keep the rows for which it holds: COLUMN op VALUE, compared as numbers if both are.
        time_format: Of times, as in `datetime.strptime`; None: numbers, ISO 8601 dates or one of `TIME_FORMATS`.
        missing_ids: What to do with an empty id, or a word such as NA or null: raise an error, drop the row, or take
            the word for an id ("text").
        keep: The row of several with the same pair: the first or the last by time, else in the file.
        order: Without times: "random", or "file", which takes the order of the rows for that of time.
        min_count, iterative: See `sdmr.datasets.interactions.k_core`.
    """

    user: Column = "user"
    item: Column = "item"
    time: Column | None = None
    basket: Column | None = None
    rating: Column | None = None
    min_rating: float | None = None
    filter: str | None = None
    time_format: str | None = None
    missing_ids: Literal["error", "drop", "text"] = "error"
    keep: Literal["first", "last"] = "first"
    order: Order = "random"
    min_count: int = 1
    iterative: bool = False

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: A setting is unknown, or has no effect.
        """
        check_choice("missing_ids", self.missing_ids, "error", "drop", "text")
        check_choice("keep", self.keep, "first", "last")
        check_choice("order", self.order, "random", "file")
        if self.order == "file" and (self.time is not None or self.basket is not None):
            raise ValueError(f"order=file has no effect: time={self.time!r} and basket={self.basket!r} set the order")
        if (self.rating is None) != (self.min_rating is None):
            raise ValueError(f"rating={self.rating} and min_rating={self.min_rating}: set both or none")
        if self.time is None and self.time_format is not None:
            raise ValueError(f"time_format={self.time_format} has no effect: no time column is set")

    @cached_property
    def roles(self) -> dict[str, Column]:
        """Get the columns that are set, by role."""
        columns = {name: getattr(self, name) for name in ("user", "item", "time", "basket", "rating")}
        columns["filter"] = None if self.filter is None else Comparison.parse(self.filter).column
        return {role: column for role, column in columns.items() if column is not None}

    def build_interactions(self, path: Path, rows: pd.DataFrame, first_line: int = 0) -> Interactions:
        """Clean the columns by role, number users and items, and drop those with few rows.

        Raises:
            DataError: A value does not fit, or no row is left.
        """
        interactions = Interactions.from_table(self._clean(path, rows, first_line))
        core = k_core(interactions, self.min_count, self.iterative)
        if not len(core):
            raise DataError(f"{path}: no row of {len(interactions)} is left with min_count={self.min_count}")
        return set_order(core, "file") if self.order == "file" else core

    def _clean(self, path: Path, rows: pd.DataFrame, first_line: int) -> pd.DataFrame:
        """Return the rows that count, with integer times. Attributes count the dropped ones."""
        n_rows, n_users = len(rows), rows["user"].nunique()
        dropped: Counter[str] = Counter()

        def drop(mask: pd.Series | NDArray[np.bool_], reason: str) -> None:
            nonlocal rows
            if mask.any():
                dropped[reason] += int(mask.sum())
                rows = rows[~mask]

        if self.filter is not None:
            drop(~self._compare(path, rows["filter"], first_line), "filtered_rows")
        if self.min_rating is not None:
            ratings = pd.to_numeric(rows["rating"], errors="coerce")
            check_values(path, rows["rating"], ratings.notna(), "a number", first_line)
            drop(ratings < self.min_rating, "low_rating_rows")
        for name in ("user", "item", "basket"):
            if name in rows:
                words = MISSING[: 1 if self.missing_ids == "text" else None]
                is_missing = rows[name].isna() | rows[name].isin(words)
                if self.missing_ids != "drop":
                    hint = "drop leaves such rows out, text takes a word for an id"
                    check_values(path, rows[name], ~is_missing, f"an id (missing_ids: {hint})", first_line)
                drop(is_missing, "missing_id_rows")
        rows = rows.drop(columns=["filter", "rating"], errors="ignore").copy(deep=False)
        if "time" in rows:
            rows = rows.assign(time=encode_times(path, rows["time"], self.time_format, first_line))
        if "basket" in rows:  # numbered in the order of user and basket
            for name in ("user", "basket"):
                rows[name] = rows[name].cat.reorder_categories(sorted(rows[name].cat.categories), ordered=True)
            rows = rows.assign(basket=rows.groupby(["user", "basket"], observed=True).ngroup())
        drop(self._find_duplicates(rows), "duplicate_rows")
        if rows.empty:
            raise DataError(f"{path}: no row of {n_rows} is left: {format_counts(dropped)}")
        dropped["users_left_out"] = n_users - rows["user"].nunique()
        rows.attrs.update(dropped)
        return rows

    def _compare(self, path: Path, values: pd.Series, first_line: int) -> NDArray[np.bool_]:
        """Tell for which rows the comparison of `filter` holds."""
        _, symbol, value = Comparison.parse(self.filter or "")
        distinct, codes = values.cat.categories, values.cat.codes  # few: one comparison for each distinct value
        numbers, number = pd.to_numeric(distinct.to_series(), errors="coerce"), pd.to_numeric(value, errors="coerce")
        if symbol not in ("==", "!="):
            is_number = np.append(np.asarray(pd.notna(numbers)), False)[codes] & pd.notna(number)
            check_values(path, values, pd.Series(is_number), f"numbers for filter={self.filter}", first_line)
        if pd.notna(number):
            holds = OPERATORS[symbol](np.asarray(numbers, dtype=float), float(number))
        else:
            holds = OPERATORS[symbol](np.asarray(distinct.astype(str), dtype=object), value)
        return np.append(np.asarray(holds, dtype=bool), symbol == "!=")[codes]

    def _find_duplicates(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """Find the rows that repeat a pair and are not the one to keep."""
        key = ["basket" if "basket" in rows else "user", "item"]
        is_repeated = rows.duplicated(key, keep=False)
        repeated = rows[is_repeated]
        if "time" in rows and "basket" not in rows:
            repeated = repeated.sort_values("time", kind="stable")
        surplus = repeated.index[repeated.duplicated(key, keep=self.keep)]
        return np.asarray(rows.index.isin(surplus)) if len(surplus) else np.zeros(len(rows), dtype=bool)


def encode_times(path: Path, times: pd.Series, time_format: str | None, first_line: int) -> NDArray[np.int64]:
    """Encode times as integers with the same order.

    Integers stay as they are, dates become microseconds, and other numbers their ranks.

    Raises:
        DataError: A time is missing, no number and no date, or fits several formats.
    """
    if time_format is not None:
        return _encode_dates(path, times, (time_format,), first_line)
    if (isinstance(times.dtype, np.dtype) and times.dtype.kind == "M") or isinstance(times.dtype, pd.DatetimeTZDtype):
        check_values(path, times, times.notna(), "a time", first_line)
        return times.astype("int64").to_numpy().astype(np.int64)
    try:
        return (
            pa.array(times, from_pandas=True)
            .cast(pa.int64())
            .to_numpy(zero_copy_only=False)
            .astype(np.int64, casting="safe")
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError):
        numbers = pd.to_numeric(times, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    is_number = np.isfinite(numbers)
    if is_number.all():
        is_integral = (numbers == np.round(numbers)).all() and np.abs(numbers).max(initial=0) < 2**53
        return numbers.astype(np.int64) if is_integral else np.unique(numbers, return_inverse=True)[1]
    if is_number.mean() > 0.5:
        check_values(path, times, pd.Series(is_number), "a number, as in most lines", first_line)
    return _encode_dates(path, times, (ISO_8601, *TIME_FORMATS), first_line)


def _encode_dates(path: Path, times: pd.Series, formats: tuple[str, ...], first_line: int) -> NDArray[np.int64]:
    """Encode dates in microseconds, by the one format that fits all of them."""

    def parse(values: pd.Series, time_format: str) -> pd.Series:
        text = values.astype(str)
        return pd.to_datetime(text, format=time_format, errors="coerce", utc=True).astype("datetime64[us, UTC]")

    likely = [one for one in formats if parse(times[:1], one).notna().all()] or formats[:1]
    parsed = [parse(times, one) for one in likely]
    fitting = [dates for dates in parsed if dates.notna().all()]
    if not fitting:
        best = max(range(len(parsed)), key=lambda number: parsed[number].notna().sum())
        expected = "numbers or ISO 8601 dates" if likely[best] == ISO_8601 else f"a time such as {likely[best]}"
        check_values(path, times, parsed[best].notna(), f"{expected} (or set time_format)", first_line)
    if any((dates != fitting[0]).any() for dates in fitting[1:]):
        raise DataError(f"{path}: times such as {times.iloc[0]} can be read as {' or '.join(likely)}; set time_format")
    return fitting[0].astype("int64").to_numpy().astype(np.int64)
