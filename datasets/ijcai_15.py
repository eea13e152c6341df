"""IJCAI-15, shopping logs of Tmall (Tianchi, Repeat Buyers Prediction)."""

from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.datasets.download import RawFile, fetch, verify_checksum
from sdmr.datasets.errors import check_choice
from sdmr.datasets.interactions import Interactions, Order, filter_basket_sizes, set_order
from sdmr.datasets.parsing import Layout, check_values, drop_duplicates, read_columns, read_tables

# The day is MMDD. Actions are 0 click, 1 add to cart, 2 purchase, 3 add to favorites.
_LOG_LAYOUT = Layout(
    {"user": int, "item": int, "category": int, "seller": int, "brand": float, "day": int, "action": int},
    separator=",",
    header=True,
    optional=("brand",),
)
_LOG = RawFile("ijcai-15/user_log_format1.csv", None, _LOG_LAYOUT)
# The purchases of 17,616 users after April 2015 in sessions of at least two, as prepared for SHAN (Ying et al. 2018).
_SESSIONS = RawFile(
    "ijcai-15/tallM_dataset.csv.gz",
    "5aa9f03ba08ab84ca5de080c2a1a1c3fc0885f2d2f1ed83aea068f52ece111f7",
    Layout({"user": int, "sessions": str}, separator=",", header=True),  # the header holds totals
)


def load_ijcai_15(
    sample: int = 20_000, min_basket: int = 5, max_basket: int = 15, order: Order = "file", split_seed: int = 0
) -> Interactions:
    """Load a uniform sample of IJCAI-15's baskets, then filter them by size.

    A basket is one day of a user. All actions count as clicks, and a basket holds an item once. The paper's Table 2
    has 2,433 users, 4,534 items and 15,422 rows of another random sample. The size filter comes after the sampling: of
    the paper's 20,000 baskets, 2,456 remain. The limit of 15 follows from "at most 13 context items" in the paper.

    Reads the log, or sessions derived from it. The sessions hold purchases only and none of a single item, so more
    baskets of a sample remain.

    Args:
        sample: Number of baskets to sample.
        min_basket: Baskets of fewer items are dropped.
        max_basket: Baskets of more items are dropped.
        order: How the items of a basket are ordered: "file" as in the file, "random" by `split_seed`.
        split_seed: Seed of the sample and of the random order.

    Raises:
        DataError: No file can be found, or a line does not fit.
        ValueError: The order is unknown.
    """
    check_choice("order", order, "random", "file")
    path, file = fetch(_LOG, _SESSIONS)
    rows = _read_log(path) if file is _LOG else _read_sessions(path)
    verify_checksum(path, file.sha256)
    rows = drop_duplicates(sample_baskets(rows, sample, split_seed), ["basket", "item"])
    return set_order(filter_basket_sizes(Interactions.from_table(rows), min_basket, max_basket), order, split_seed)


def sample_baskets(rows: pd.DataFrame, n_samples: int, seed: int) -> pd.DataFrame:
    """Keep a uniform sample of `n_samples` baskets, or all if there are fewer."""
    baskets = np.unique(rows["basket"])
    sampled = np.random.default_rng(seed).choice(baskets, size=min(n_samples, len(baskets)), replace=False)
    return rows[np.isin(rows["basket"], sampled)]


def _read_log(path: Path) -> pd.DataFrame:
    """Read the log; 32-bit integers hold its 55 million rows."""
    chunks = read_tables(path, _LOG.layout, ["user", "item", "day"])
    rows = pd.concat([chunk.to_pandas().astype(np.int32) for chunk in chunks])
    rows["basket"] = rows["user"].astype(np.int64) * 10_000 + rows["day"]
    return rows


def _read_sessions(path: Path) -> pd.DataFrame:
    """Read lines of `user,item:item@item:item`, in which @ separates a user's sessions, the baskets."""
    table = read_columns(path, _SESSIONS.layout)
    is_valid = table["sessions"].str.fullmatch(r"\d{1,18}([:@]\d{1,18})*")
    check_values(path, table["sessions"], is_valid, "item:item@item:item of whole numbers", first_line=2)
    table["item"] = table.pop("sessions").str.split("@")
    baskets = table.explode("item", ignore_index=True)
    baskets["item"] = baskets["item"].str.split(":")
    return baskets.explode("item").astype({"item": np.int64}).rename_axis("basket").reset_index()
