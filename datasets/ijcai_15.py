"""IJCAI-15, shopping logs of Tmall (Tianchi, Repeat Buyers Prediction)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.datasets.filters import Order, basket_sizes, check_order, draw, sample_baskets, shuffled
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.parsing import DataError, Layout, as_interactions, drop_duplicates, open_raw, read_in_parts
from sdmr.datasets.sources import RawFile, find, verify

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
        "action": int,  # 0 click, 1 add to cart, 2 purchase, 3 add to favourites
    },
    separator=",",
    header=True,
    optional=("brand",),
)


def ijcai_15(
    sample: int = 20_000, smallest: int = 5, largest: int = 15, order: Order = "file", split_seed: int = 0
) -> Interactions:
    """IJCAI-15: of `sample` user-days drawn uniformly (`split_seed`), those of `smallest` to `largest` items.

    All actions count as a click, and a basket holds an item once. The paper's Table 2 has 2,433 users, 4,534 items and
    15,422 rows of its own random sample. The size is asked after the draw: 2,456 of the paper's 20,000 remain. The
    bound of 15 follows from its "at most 13 context items". The order within a basket is the file's, or random.

    From the log itself, or from sessions derived from it, which hold purchases only and none of a single item, so that
    more of a sample remains. Raises DataError if neither is to be had, or a line does not fit, ValueError for an
    unknown order.
    """
    check_order(order)
    path = find(_LOG, _SESSIONS)
    drawn = _from_log(path, sample, split_seed) if path.suffix == ".csv" else _from_sessions(path, sample, split_seed)
    kept = basket_sizes(drawn, smallest, largest)
    return shuffled(kept, split_seed) if order == "random" else kept


def _from_log(path: Path, sample: int, seed: int) -> Interactions:
    """The baskets drawn of the log, whose 55 million rows are held in 32 bits."""
    rows = pd.concat([part.astype(np.int32) for part in read_in_parts(path, _LOG_LAYOUT, ["user", "item", "day"])])
    basket = rows["user"].to_numpy(dtype=np.int64) * 10_000 + rows["day"].to_numpy()
    available = np.unique(basket)
    rows["basket"] = basket
    rows = rows[np.isin(basket, available[draw(len(available), sample, seed)])]
    return as_interactions(drop_duplicates(path, rows, ["basket", "item"]))


def _from_sessions(path: Path, sample: int, seed: int) -> Interactions:
    """Lines of `user,item:item@item:item`, a user's sessions separated by @, under a line of the two totals."""
    users, items, baskets, n_baskets = [], [], [], 0
    with open_raw(path) as raw:
        raw.readline()
        for number, line in enumerate(raw, start=2):
            try:
                user, _, sessions = line.decode().partition(",")
                for session in sessions.split("@"):
                    own = [int(item) for item in session.split(":")]
                    users += [int(user)] * len(own)
                    items += own
                    baskets += [n_baskets] * len(own)
                    n_baskets += 1
            except ValueError:
                raise DataError(f"{path}, line {number}: expected user,item:item@item:item of whole numbers") from None
    verify(path, _SESSIONS)
    rows = pd.DataFrame({"user": users, "item": items, "basket": baskets})
    return sample_baskets(as_interactions(drop_duplicates(path, rows, ["basket", "item"])), sample, seed)
