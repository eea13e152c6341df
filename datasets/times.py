"""Times of any type as integers that sort."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from annotated_types import Gt, Lt
from numpy.typing import NDArray

from sdmr.datasets.errors import DataError
from sdmr.datasets.parsing import check_values

# Common formats of times beside ISO 8601. One is taken only if no other one fits all times.
TIME_FORMATS = (
    "%a %b %d %H:%M:%S %z %Y",
    "%Y-%m-%d %H:%M:%S %Z",
    "%Y-%m-%d %H:%M:%S.%f %Z",
    *(
        f"{date}{time}"
        for date in ("%m/%d/%Y", "%d/%m/%Y")
        for time in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
    ),
)
ISO_8601 = "ISO8601"
SECONDS, MILLISECONDS = (1e8, 1e11), (1e11, 1e14)  # that epoch times of 1973 to 5138 lie between
# The largest time and how many are in a minute, by unit: dates are in microseconds.
UNITS = {"seconds": (1e11, 60), "milliseconds": (1e14, 60e3), "microseconds": (1e17, 60e6), "nanoseconds": (1e20, 60e9)}
Cut = Annotated[float, Gt(0), Lt(1)] | str  # a share of the interactions, or a date


def encode_times(path: Path, times: pd.Series, time_format: str | None, first_line: int) -> NDArray[np.int64]:
    """Encode times as integers with the same order.

    Integers stay as they are, dates become microseconds (nanoseconds, if they have such digits), fractional epoch times
    their millionths, and other numbers their ranks. A column of dates of pandas keeps its unit.

    Raises:
        DataError: A time is missing, no number and no date, fits several formats, or has more digits than count.
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
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError, OverflowError):
        if isinstance(times.dtype, np.dtype) and times.dtype.kind == "u":
            return np.unique(times.to_numpy(), return_inverse=True)[1]
        numbers = pd.to_numeric(times, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    is_number = np.isfinite(numbers)
    if is_number.all():
        _check_digits(path, times, numbers, first_line)
        if (numbers == np.round(numbers)).all() and np.abs(numbers).max(initial=0) < 2**63:
            return numbers.astype(np.int64)
        distinct, ranks = np.unique(numbers, return_inverse=True)
        if distinct[0] > -9e12 and SECONDS[0] <= distinct[-1] < 9e12:
            millionths = np.round(distinct * 1e6).astype(np.int64)
            return millionths[ranks] if (np.diff(millionths) > 0).all() else ranks
        return ranks
    if is_number.mean() > 0.5:
        check_values(path, times, pd.Series(is_number), "a number, as in most lines", first_line)
    return _encode_dates(path, times, (ISO_8601, *TIME_FORMATS), first_line)


def _check_digits(path: Path, times: pd.Series, numbers: NDArray[np.float64], first_line: int) -> None:
    """Raise DataError if times differ, but not as floating-point numbers."""
    is_float = isinstance(times.dtype, np.dtype) and times.dtype.kind == "f"
    if is_float or times.astype(str).str.len().max() <= np.finfo(np.float64).precision:  # all digits count
        return
    distinct = pd.DataFrame({"time": times, "number": numbers}).drop_duplicates("time")
    tied = distinct[distinct.duplicated("number", keep=False)]
    exact = tied["time"].astype(str).map(Decimal)
    is_lost = exact != exact.groupby(tied["number"]).transform("first")
    expected = "an integer below 2^63 or at most 15 digits: another time only differs in digits behind those"
    check_values(path, tied["time"].rename("time"), ~is_lost, expected, first_line)


def _encode_dates(path: Path, times: pd.Series, formats: tuple[str, ...], first_line: int) -> NDArray[np.int64]:
    """Encode dates by the one format that fits all of them.

    They are in microseconds, or in nanoseconds if they have such digits.
    """

    def parse(values: pd.Series, time_format: str) -> pd.Series:
        return pd.to_datetime(values.astype(str), format=time_format, errors="coerce", utc=True)

    likely = [one for one in formats if parse(times[:1], one).notna().all()] or formats[:1]
    parsed = [parse(times, one) for one in likely]
    fitting = [dates for dates in parsed if dates.notna().all()]
    if not fitting:
        best = max(range(len(parsed)), key=lambda number: parsed[number].notna().sum())
        expected = "numbers or ISO 8601 dates" if likely[best] == ISO_8601 else f"a time such as {likely[best]}"
        hint = "" if formats[1:] else " (set as time_format)"
        hint = hint or " (or set time_format, such as time_format=%d.%m.%Y)"
        check_values(path, times, parsed[best].notna(), expected + hint, first_line)
    if any((dates != fitting[0]).any() for dates in fitting[1:]):
        raise DataError(f"{path}: times such as {times.iloc[0]} can be read as {' or '.join(likely)}; set time_format")
    dates = fitting[0]
    unit: Literal["us", "ns"] = "us"
    if dates.dt.unit == "ns":  # that of more than six digits behind the point
        check_values(
            path, times, ~times.astype(str).str.contains(r"\.\d{9}\d*[1-9]"), "at most nine digits", first_line
        )
        unit = "ns" if dates.dt.nanosecond.any() else "us"
    return dates.dt.as_unit(unit).astype("int64").to_numpy().astype(np.int64)


def count_other_unit(times: NDArray[np.int64]) -> int:
    """Count the rarer of epoch times in seconds and in milliseconds, where both occur."""
    return min(int(((low <= times) & (times < high)).sum()) for low, high in (SECONDS, MILLISECONDS))


def find_unit(times: NDArray[np.int64]) -> str | None:
    """Return the unit of epoch times, a key of `UNITS`; None for other times."""
    last = times.max(initial=0)
    return next((unit for unit, (limit, _) in UNITS.items() if SECONDS[0] <= last < limit), None)


def find_cut(times: NDArray[np.int64], cut: Cut) -> int:
    """Return the first time after a cut.

    Args:
        times: [n] of all interactions.
        cut: The share of interactions before the cut, at most, or a date in UTC, which counts as after it.

    Raises:
        ValueError: The date is none, or the times are no epoch times.
    """
    if not isinstance(cut, str):
        return int(np.sort(times)[int(cut * len(times))])
    unit = find_unit(times)
    if unit is None:
        raise ValueError(f"the cut {cut!r:.80} is a date, but the times are no dates: set a share such as 0.9")
    try:
        date = pd.to_datetime(cut, format=ISO_8601, utc=True)
    except ValueError as error:
        raise ValueError(f"the cut {cut!r:.80} is no date, expected one such as 1998-03-01, or a share") from error
    return round(date.timestamp() / 60 * UNITS[unit][1])
