"""Interactions: who took what, in which order, in which basket; and their filters."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdmr.datasets.bounds import PositiveInt, check_arguments
from sdmr.datasets.errors import DataError, quote
from sdmr.datasets.raw_ids import RawArray, count_suspicious, encode_ids, to_text
from sdmr.datasets.times import count_other_unit, encode_times

IntArray = NDArray[np.int64]
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
    item_titles: RawArray | None = None  # [n_items] a title for each item; None if the data has no titles
    dropped: Mapping[str, int] = field(default_factory=dict)  # reason -> rows or users dropped, or ids that look wrong

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
        cls,
        users: RawArray | pd.Categorical,
        items: RawArray | pd.Categorical,
        times: RawArray | None = None,
        baskets: RawArray | None = None,
    ) -> Self:
        """Build interactions from raw ids, numbered in sorted order.

        Ids sort as numbers if all of them are, without a sign or leading zeros, else as text. `dropped` counts what
        looks wrong: ids with blanks at an end, ids such as 28.0 beside 28, ids such as unknown, and times in seconds
        beside milliseconds.

        Args:
            users, items, baskets: [n] each, integers or strings.
            times: [n] numbers or dates, also as text, as `sdmr.datasets.times.encode_times` reads them.

        Raises:
            ValueError: The lengths differ, an id or a time is missing, an id is a number that has lost digits, or a
                time is neither a number nor a date.
        """
        lengths = {len(column) for column in (users, items, times, baskets) if column is not None}
        if len(lengths) > 1:
            raise ValueError(f"users, items, times and baskets have {lengths} entries, expected as many of each")
        user_ids, user_numbers = encode_ids(users, "user")
        item_ids, item_numbers = encode_ids(items, "item")
        encoded_times = None
        if times is not None:
            is_bytes = np.asarray(times).dtype.kind == "S"
            series = pd.Series([to_text(one, "time") for one in times] if is_bytes else times, name="time")
            encoded_times = encode_times(Path("the data"), series, None, 0)
        encoded_baskets = None if baskets is None else encode_ids(baskets, "basket")[1]
        suspicious = count_suspicious(user_ids, user_numbers, "user") + count_suspicious(item_ids, item_numbers, "item")
        suspicious["times_of_another_unit"] = 0 if encoded_times is None else count_other_unit(encoded_times)
        counts = {reason: count for reason, count in suspicious.items() if count}
        return cls(user_numbers, item_numbers, user_ids, item_ids, encoded_times, encoded_baskets, dropped=counts)

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> Self:
        """Build interactions from the columns user, item and, if there, time and basket.

        Its attribute `dropped`, which `drop_duplicates` sets, counts the rows that it lacks.

        Raises:
            ValueError: There is no such column, or one of its name twice; a pair is there twice; as in `from_raw`.
        """
        if wrong := [name for name in ("user", "item", "time", "basket") if list(table).count(name) > 1]:
            raise DataError(f"the table has several columns {wrong[0]!r}, expected one")
        if missing := [name for name in ("user", "item") if name not in table]:
            listed = quote(", ".join(map(str, table)), 200)
            expected = "expected user, item and optionally time, basket"
            raise DataError(f"the table has no column {missing[0]!r}, {expected}; it has {listed}")
        if not len(table):
            raise DataError("the table has no rows")
        names = [name for name in ("user", "item", "time", "basket") if name in table]
        is_category = {name: isinstance(table[name].dtype, pd.CategoricalDtype) for name in names}
        columns = {f"{name}s": table[name].array if is_category[name] else table[name].to_numpy() for name in names}
        dropped = {reason: count for reason, count in table.attrs.get("dropped", {}).items() if count}
        interactions = cls.from_raw(**columns)
        interactions.check_distinct()
        return replace(interactions, dropped=dropped | dict(interactions.dropped))

    def check_distinct(self) -> None:
        """Raise ValueError if a user, or a basket, has an item twice."""
        is_repeated = pd.Series(self.sequences * self.n_items + self.items).duplicated().to_numpy()
        if is_repeated.any():
            row = int(is_repeated.argmax())
            pair = f"user {self.user_ids[self.users[row]]} has item {self.item_ids[self.items[row]]} twice"
            raise ValueError(f"{pair}{'' if self.baskets is None else ' in one basket'}, expected distinct ones")

    def take(self, rows: IntArray | NDArray[np.bool_]) -> Self:
        """Select rows by number or by mask, without renumbering."""
        times = None if self.times is None else self.times[rows]
        baskets = None if self.baskets is None else self.baskets[rows]
        return replace(self, users=self.users[rows], items=self.items[rows], times=times, baskets=baskets)

    def keep(self, mask: NDArray[np.bool_], reason: str = "filtered_rows") -> Self:
        """Keep the rows of a boolean mask [n], renumber the ids, count the others."""
        rows = self.take(mask)
        users, user_ids, _ = _renumber(rows.users, self.user_ids)
        items, item_ids, kept_items = _renumber(rows.items, self.item_ids)
        titles = None if self.item_titles is None else self.item_titles[kept_items]
        baskets = None if rows.baskets is None else _renumber(rows.baskets, np.arange(self.n_baskets))[0]
        dropped = dict(self.dropped)
        for name, count in ((reason, len(self) - len(rows)), ("users_left_out", self.n_users - len(user_ids))):
            dropped |= {name: dropped.get(name, 0) + count} if count else {}
        return replace(
            self,
            users=users,
            items=items,
            user_ids=user_ids,
            item_ids=item_ids,
            times=rows.times,
            baskets=baskets,
            item_titles=titles,
            dropped=dropped,
        )


def _renumber(numbers: IntArray, ids: RawArray) -> tuple[IntArray, RawArray, IntArray]:
    """Number the ids that occur: the new numbers [n], the ids, and their old numbers."""
    used = np.flatnonzero(np.bincount(numbers, minlength=len(ids)))
    sorted_ids, order = encode_ids(ids[used])  # text ids that are left may all be numbers, which sort otherwise
    new_numbers = np.zeros(len(ids), dtype=np.int64)
    new_numbers[used] = order
    return new_numbers[numbers], sorted_ids, used[np.argsort(order)]


@check_arguments
def k_core(interactions: Interactions, min_count: PositiveInt, iterative: bool = False) -> Interactions:
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
        interactions = interactions.keep(mask, "rare_rows")
        if not iterative:
            return interactions


def filter_basket_sizes(interactions: Interactions, min_basket: int, max_basket: int) -> Interactions:
    """Keep the baskets of `min_basket` to `max_basket` items."""
    if interactions.baskets is None:
        raise ValueError("these interactions have no baskets")
    size = np.bincount(interactions.baskets)[interactions.baskets]
    return interactions.keep((min_basket <= size) & (size <= max_basket), "rows_in_baskets_too_small_or_large")


def set_order(interactions: Interactions, order: Order, seed: int = 0) -> Interactions:
    """Set the order of the items of each user or basket, where no times do.

    "file" takes the order of the file: in histories, for that of time. "random" is the split's shuffle of histories.
    Of baskets, it shuffles the rows here, so that the last item of each basket, its test item, becomes a random one.
    """
    if interactions.baskets is None:
        return replace(interactions, times=np.arange(len(interactions))) if order == "file" else interactions
    rng = np.random.default_rng(seed)
    return interactions.take(rng.permutation(len(interactions))) if order == "random" else interactions
