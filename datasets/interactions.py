"""Interactions: who took what, in which order, in which basket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Interactions:
    """Store binary interactions, one per row, in the order of the raw file.

    Users, items and baskets are numbered from 0 in the sorted order of their raw ids. The same data therefore gets the
    same numbers, whichever file format it comes from.
    """

    users: IntArray  # [n]
    items: IntArray  # [n]
    user_ids: NDArray[Any]  # [n_users] raw id of each user, sorted
    item_ids: NDArray[Any]  # [n_items] raw id of each item, sorted
    times: IntArray | None = None  # [n] in any unit that sorts; None if the data has no times
    baskets: IntArray | None = None  # [n] each basket belongs to one user; None if the data has no baskets

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    @property
    def n_baskets(self) -> int:
        return 0 if self.baskets is None else int(self.baskets.max(initial=-1)) + 1

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def from_raw(
        cls,
        users: NDArray[Any],
        items: NDArray[Any],
        times: NDArray[Any] | None = None,
        baskets: NDArray[Any] | None = None,
    ) -> Interactions:
        """Build interactions from raw ids, numbered in sorted order.

        Ids sort as numbers if all of them are numbers, else as text. Times that are not integers keep their order only.

        Args:
            users, items, times, baskets: [n] each, integers or strings.

        Raises:
            ValueError: A time is missing, or a time given as text is no integer.
        """
        user_ids, user_numbers = _encode_ids(users)
        item_ids, item_numbers = _encode_ids(items)
        return cls(
            users=user_numbers,
            items=item_numbers,
            user_ids=user_ids,
            item_ids=item_ids,
            times=None if times is None else _encode_times(np.asarray(times)),
            baskets=None if baskets is None else _encode_ids(baskets)[1],
        )

    def keep(self, mask: NDArray[np.bool_]) -> Interactions:
        """Keep the rows of a boolean mask [n], and renumber users, items and baskets."""
        return Interactions.from_raw(
            self.user_ids[self.users[mask]],
            self.item_ids[self.items[mask]],
            None if self.times is None else self.times[mask],
            None if self.baskets is None else self.baskets[mask],
        )


def _encode_times(times: NDArray[Any]) -> IntArray:
    """Convert times to integers with the same order and the same ties."""
    if times.dtype.kind in "iUS":
        return times.astype(np.int64)
    is_missing = pd.isna(times)
    if is_missing.any():
        raise ValueError(f"the time of row {int(is_missing.argmax())} (from 0) is missing")
    return np.unique(times, return_inverse=True)[1].astype(np.int64)


def _encode_ids(raw: NDArray[Any]) -> tuple[NDArray[Any], IntArray]:
    """Return the sorted distinct ids, and the index of each row's id among them."""
    raw = np.asarray(raw)
    if raw.dtype.kind not in "iu":
        text = raw.astype(str)
        # "007" and "7" are two ids: as numbers they would become one.
        is_ascii = text.reshape(-1).view(np.uint32).max(initial=0) < 128  # other scripts have other digits
        is_number = is_ascii & np.char.isdigit(text) & ((np.char.str_len(text) == 1) | ~np.char.startswith(text, "0"))
        raw = text.astype(np.int64) if len(text) and is_number.all() and np.char.str_len(text).max() < 19 else text
    ids, numbers = np.unique(raw, return_inverse=True)
    return ids, numbers.astype(np.int64)
