"""Interactions: who took what, in which order, in which basket; and their filters."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
RawArray = NDArray[Any]  # integers or strings, as in a raw file
Order = Literal["random", "file"]


@dataclass(frozen=True, eq=False)
class Interactions:
    """Store binary interactions, one per row, in the order of the raw file.

    Users, items and baskets are numbered from 0 in the sorted order of their raw ids. The same data therefore gets the
    same numbers, whichever file format it comes from.
    """

    users: IntArray  # [n]
    items: IntArray  # [n]
    user_ids: RawArray  # [n_users] raw id of each user, sorted
    item_ids: RawArray  # [n_items] raw id of each item, sorted
    times: IntArray | None = None  # [n] in any unit that sorts; None if the data has no times
    baskets: IntArray | None = None  # [n] each basket belongs to one user; None if the data has no baskets

    @property
    def n_users(self) -> int:
        """Count the users."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Count the items."""
        return len(self.item_ids)

    @property
    def n_baskets(self) -> int:
        """Count the baskets."""
        return 0 if self.baskets is None else int(self.baskets.max(initial=-1)) + 1

    @property
    def sequences(self) -> IntArray:
        """Get the number of each row's sequence [n]: its basket, or its user without baskets."""
        return self.users if self.baskets is None else self.baskets

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def from_raw(
        cls, users: RawArray, items: RawArray, times: RawArray | None = None, baskets: RawArray | None = None
    ) -> Self:
        """Build interactions from raw ids, numbered in sorted order.

        Ids sort as numbers if all of them are numbers, else as text. Times that are not integers keep their order only.

        Args:
            users, items, times, baskets: [n] each, integers or strings.

        Raises:
            ValueError: A time is missing, or a time given as text is no integer.
        """
        user_ids, user_numbers = _encode_ids(users)
        item_ids, item_numbers = _encode_ids(items)
        encoded_times = None if times is None else _encode_times(np.asarray(times))
        encoded_baskets = None if baskets is None else _encode_ids(baskets)[1]
        return cls(user_numbers, item_numbers, user_ids, item_ids, encoded_times, encoded_baskets)

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> Self:
        """Build interactions from the columns user, item and, if there, time and basket."""
        columns = [name for name in ("user", "item", "time", "basket") if name in table]
        return cls.from_raw(**{f"{name}s": table[name].to_numpy() for name in columns})

    def take(self, rows: IntArray | NDArray[np.bool_]) -> Self:
        """Select rows by number or by mask, without renumbering."""
        times = None if self.times is None else self.times[rows]
        baskets = None if self.baskets is None else self.baskets[rows]
        return replace(self, users=self.users[rows], items=self.items[rows], times=times, baskets=baskets)

    def keep(self, mask: NDArray[np.bool_]) -> Self:
        """Keep the rows of a boolean mask [n], and renumber users, items and baskets."""
        rows = self.take(mask)
        return self.from_raw(self.user_ids[rows.users], self.item_ids[rows.items], rows.times, rows.baskets)


def _encode_times(times: RawArray) -> IntArray:
    """Convert times to integers with the same order and the same ties."""
    if times.dtype.kind in "iUS":
        return times.astype(np.int64)
    ranks = pd.factorize(times, sort=True)[0]  # -1 for a missing time
    if ranks.min(initial=0) < 0:
        raise ValueError(f"the time of row {ranks.argmin()} (from 0) is missing")
    return ranks


def _encode_ids(raw: RawArray) -> tuple[RawArray, IntArray]:
    """Return the sorted distinct ids, and the index of each row's id among them."""
    ids = np.asarray(raw)
    if ids.dtype.kind not in "iu":
        ids = ids.astype(str)
        # "007" and "7" are two ids: as numbers they would become one.
        if len(ids) and pd.Series(ids).str.fullmatch("0|[1-9][0-9]{0,17}").all():
            ids = ids.astype(np.int64)
    distinct, numbers = np.unique(ids, return_inverse=True)
    return distinct, numbers.astype(np.int64)


def k_core(interactions: Interactions, min_count: int, iterative: bool = False) -> Interactions:
    """Drop users and items with fewer than `min_count` interactions.

    By default one pass drops both at once: all counts are taken before any row is dropped. Users and items with fewer
    interactions may remain. This pass gives the paper's Epinions (Table 1).

    Args:
        iterative: Repeat the pass until it drops nothing. This is the k-core of the literature.
    """
    while True:
        users, items = interactions.users, interactions.items
        mask = (np.bincount(users)[users] >= min_count) & (np.bincount(items)[items] >= min_count)
        if mask.all():
            return interactions
        interactions = interactions.keep(mask)
        if not iterative:
            return interactions


def filter_basket_sizes(interactions: Interactions, min_basket: int, max_basket: int) -> Interactions:
    """Keep the baskets of `min_basket` to `max_basket` items."""
    if interactions.baskets is None:
        raise ValueError("these interactions have no baskets")
    size = np.bincount(interactions.baskets)[interactions.baskets]
    return interactions.keep((min_basket <= size) & (size <= max_basket))


def use_file_order(interactions: Interactions) -> Interactions:
    """Take the row numbers as times, as if the file were in chronological order."""
    return replace(interactions, times=np.arange(len(interactions)))


def shuffle(interactions: Interactions, seed: int) -> Interactions:
    """Shuffle the rows.

    With baskets, the last item of each basket, its test item, becomes a random one.
    """
    return interactions.take(np.random.default_rng(seed).permutation(len(interactions)))
