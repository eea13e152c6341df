"""From a table to interactions: the rows that count, with times, each pair once."""

import operator
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdmr.datasets.bounds import FiniteFloat, PositiveInt
from sdmr.datasets.bounds import check_values as check_values_of_types
from sdmr.datasets.errors import DataError, format_counts, quote
from sdmr.datasets.interactions import Interactions, Order, k_core, set_order
from sdmr.datasets.parsing import check_values
from sdmr.datasets.raw_ids import MISSING
from sdmr.datasets.times import encode_times

Column = str | int

OPERATORS = {
    **{"==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le},
    **{">": operator.gt, "<": operator.lt},
}


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
        column, symbol, value = match.groups()
        if value == _unquote(value) and re.search("==|!=|>=|<=", value):
            raise ValueError(f"filter={text}: expected one comparison; a value with {' '.join(OPERATORS)} needs quotes")
        return cls(_unquote(column), symbol, _unquote(value))


def _compare_numbers(values: pd.Index, number: str) -> NDArray[np.float64]:
    """Return the sign of each value less a number; NaN for text."""
    floats = np.asarray(pd.to_numeric(values.to_series(), errors="coerce"), dtype=float)
    limit = float(values.dtype.type(number) if values.dtype.kind == "f" else number)  # 0.7 of 32 bits is below 0.7
    signs = np.where(np.isnan(floats), np.nan, (floats > limit) * 1.0 - (floats < limit))
    if values.dtype.kind != "f" and abs(limit) >= 2**53:  # where integers that differ may be equal as float64
        for row in np.flatnonzero(signs == 0).tolist():
            signs[row] = Decimal(str(values[row])).compare(Decimal(number))
    return signs


def _unquote(text: str) -> str:
    """Return text without the quotation marks around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


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
        na_values: Further words for a missing id.
        keep: The row of several with the same pair: the first or the last by time, else in the file.
        order: Without times: "random", or "file", which takes the order of the rows for that of time.
        min_count, iterative: See `sdmr.datasets.interactions.k_core`.
    """

    user: Column = "user"
    item: Column = "item"
    time: Column | None = None
    basket: Column | None = None
    rating: Column | None = None
    min_rating: FiniteFloat | None = None
    filter: str | None = None
    time_format: str | None = None
    missing_ids: Literal["error", "drop", "text"] = "error"
    na_values: Sequence[str | int] = ()
    keep: Literal["first", "last"] = "first"
    order: Order = "random"
    min_count: PositiveInt = 1
    iterative: bool = False

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: A setting is unknown, or has no effect.
        """
        check_values_of_types(type(self), {name: getattr(self, name) for name in self.__dataclass_fields__}, "")
        if self.order == "file" and (self.time is not None or self.basket is not None):
            raise ValueError(f"order=file has no effect: time={self.time!r} and basket={self.basket!r} set the order")
        if (self.rating is None) != (self.min_rating is None):
            raise ValueError(f"rating={self.rating} and min_rating={self.min_rating}: set both or none")
        if self.time is not None and self.basket is not None:
            raise ValueError(
                f"time={self.time!r} has no effect: within basket={self.basket!r}, the order of the file holds"
            )
        if self.item in (self.user, self.basket):
            raise ValueError(f"item={self.item!r} is also the column of users or baskets, expected another one")
        if self.iterative and self.min_count == 1:
            raise ValueError("iterative=true has no effect: with min_count=1 nothing is dropped")
        if self.na_values and self.missing_ids == "text":
            raise ValueError(f"na_values={self.na_values} has no effect: missing_ids=text takes every word for an id")
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
                words = (
                    MISSING[:1] if self.missing_ids == "text" else [*MISSING, *map(str, np.atleast_1d(self.na_values))]
                )
                texts = rows[name].cat.categories.astype(str)
                if rows[name].cat.categories.dtype.kind == "f":  # whole numbers beside missing ones
                    texts, words = texts.str.removesuffix(".0"), [word.removesuffix(".0") for word in words]
                is_word = texts.isin(words)
                is_missing = np.append(is_word, True)[rows[name].cat.codes]  # no value has the code -1
                if self.missing_ids != "drop":
                    hint = "drop leaves such rows out, text takes a word for an id"
                    check_values(path, rows[name], pd.Series(~is_missing), f"an id (missing_ids: {hint})", first_line)
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
        rows.attrs = {"dropped": dict(dropped)}
        return rows

    def _compare(self, path: Path, values: pd.Series, first_line: int) -> NDArray[np.bool_]:
        """Tell for which rows the comparison of `filter` holds."""
        _, symbol, value = Comparison.parse(self.filter or "")
        distinct, codes = values.cat.categories, values.cat.codes  # few: one comparison for each distinct value
        number = pd.to_numeric(value, errors="coerce")
        signs = _compare_numbers(distinct, value) if pd.notna(number) else np.full(len(distinct), np.nan)
        if symbol not in ("==", "!="):
            is_number = np.append(~np.isnan(signs), False)[codes]
            check_values(path, values, pd.Series(is_number), f"numbers for filter={self.filter}", first_line)
        if pd.notna(number):
            holds = OPERATORS[symbol](signs, 0)
        else:
            holds = OPERATORS[symbol](np.asarray(distinct.astype(str), dtype=object), value)
        is_kept = np.append(np.asarray(holds, dtype=bool), symbol == "!=")[codes]
        has_value = {"==": is_kept.any(), "!=": not is_kept.all()}
        if not has_value.get(symbol, True):
            some = quote(", ".join(map(str, distinct[:5])))
            raise DataError(f"{path}: filter={self.filter}: no row has {value!r:.80}, expected a value such as {some}")
        return is_kept

    def _find_duplicates(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """Find the rows that repeat a pair and are not the one to keep."""
        key = ["basket" if "basket" in rows else "user", "item"]
        is_repeated = rows.duplicated(key, keep=False)
        repeated = rows[is_repeated]
        if "time" in rows and "basket" not in rows:
            repeated = repeated.sort_values("time", kind="stable")
        surplus = repeated.index[repeated.duplicated(key, keep=self.keep)]
        return np.asarray(rows.index.isin(surplus)) if len(surplus) else np.zeros(len(rows), dtype=bool)
