"""IJCAI-15, shopping logs of Tmall (Tianchi, Repeat Buyers Prediction)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.datasets.download import RawFile, fetch, verify_checksum
from sdmr.datasets.errors import DataError
from sdmr.datasets.filters import Order, check_order, filter_basket_sizes, sample_baskets, sample_indices, shuffle
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.parsing import Layout, drop_duplicates, open_raw, read_chunks, to_interactions

_LOG = RawFile(name="ijcai-15/user_log_format1.csv", sha256=None)
# The purchases of 17,616 users after April 2015 in sessions of at least two, as prepared for SHAN (Ying et al. 2018).
_SESSIONS = RawFile(
    name="ijcai-15/tallM_dataset.csv.gz",
    sha256="5aa9f03ba08ab84ca5de080c2a1a1c3fc0885f2d2f1ed83aea068f52ece111f7",
)

_LOG_LAYOUT = Layout(
    {
        "user": int,
        "item": int,
        "category": int,
        "seller": int,
        "brand": float,
        "day": int,  # MMDD
        "action": int,  # 0 click, 1 add to cart, 2 purchase, 3 add to favorites
    },
    separator=",",
    header=True,
    optional=("brand",),
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
        min_basket, max_basket: Limits of the number of items in a basket.
        order: Order of the items in a basket: as in the file, or random.
        split_seed: Seed of the sample and of the random order.

    Raises:
        DataError: No file can be found, or a line does not fit.
        ValueError: The order is unknown.
    """
    check_order(order)
    path = fetch(_LOG, _SESSIONS)
    read_sample = _sample_log if path.suffix == ".csv" else _sample_sessions
    interactions = filter_basket_sizes(read_sample(path, sample, split_seed), min_basket, max_basket)
    return shuffle(interactions, split_seed) if order == "random" else interactions


def _sample_log(path: Path, n_samples: int, seed: int) -> Interactions:
    """Read the log and sample baskets; 32-bit integers hold its 55 million rows."""
    chunks = read_chunks(path, _LOG_LAYOUT, ["user", "item", "day"])
    rows = pd.concat([chunk.astype(np.int32) for chunk in chunks])
    basket = rows["user"].to_numpy(dtype=np.int64) * 10_000 + rows["day"].to_numpy()
    available = np.unique(basket)
    rows["basket"] = basket
    rows = rows[np.isin(basket, available[sample_indices(len(available), n_samples, seed)])]
    return to_interactions(drop_duplicates(path, rows, ["basket", "item"]))


def _sample_sessions(path: Path, n_samples: int, seed: int) -> Interactions:
    """Read lines of `user,item:item@item:item` below a line of totals, and sample baskets.

    The sign @ separates a user's sessions. Each session is a basket.
    """
    users: list[int] = []
    items: list[int] = []
    baskets: list[int] = []
    n_baskets = 0
    with open_raw(path) as raw:
        raw.readline()
        for number, line in enumerate(raw, start=2):
            try:
                user, _, sessions = line.decode().partition(",")
                for session in sessions.split("@"):
                    basket = [int(item) for item in session.split(":")]
                    users += [int(user)] * len(basket)
                    items += basket
                    baskets += [n_baskets] * len(basket)
                    n_baskets += 1
            except ValueError:
                raise DataError(f"{path}, line {number}: expected user,item:item@item:item of whole numbers") from None
    verify_checksum(path, _SESSIONS)
    rows = pd.DataFrame({"user": users, "item": items, "basket": baskets})
    return sample_baskets(to_interactions(drop_duplicates(path, rows, ["basket", "item"])), n_samples, seed)
