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
    """Binary interactions, one row each, in the order of the raw file.

    Users, items and baskets are numbered from 0 by their sorted raw ids, so that the same data gives the same numbers
    whatever route its file came by.
    """

    users: IntArray  # [n]
    items: IntArray  # [n]
    user_ids: NDArray[Any]  # [n_users] raw id of each user, sorted
    item_ids: NDArray[Any]  # [n_items] raw id of each item, sorted
    times: IntArray | None = None  # [n] in any unit that sorts; None if the data has no time
    baskets: IntArray | None = None  # [n] a basket belongs to one user; None where there are no baskets

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
        """Number raw ids ([n] each, integers or strings) by their sorted order, numeric where all are numbers.

        Of times that are no integers, only the order is kept; text must hold integers. Raises ValueError if one does
        not, or is missing.
        """
        user_ids, user_numbers = _number(users)
        item_ids, item_numbers = _number(items)
        return cls(
            users=user_numbers,
            items=item_numbers,
            user_ids=user_ids,
            item_ids=item_ids,
            times=None if times is None else _whole(np.asarray(times)),
            baskets=None if baskets is None else _number(baskets)[1],
        )

    def keep(self, rows: NDArray[np.bool_]) -> Interactions:
        """The given rows ([n], boolean), renumbered: users and items that are left without a row are gone."""
        return Interactions.from_raw(
            self.user_ids[self.users[rows]],
            self.item_ids[self.items[rows]],
            None if self.times is None else self.times[rows],
            None if self.baskets is None else self.baskets[rows],
        )


def _whole(times: NDArray[Any]) -> IntArray:
    """Integers in the same order, equal for equal times."""
    if times.dtype.kind in "iUS":
        return times.astype(np.int64)
    missing = pd.isna(times)
    if missing.any():
        raise ValueError(f"the time of row {int(missing.argmax())} (from 0) is missing")
    return np.unique(times, return_inverse=True)[1].astype(np.int64)


def _number(raw: NDArray[Any]) -> tuple[NDArray[Any], IntArray]:
    """The sorted distinct raw ids, and each row's place among them."""
    raw = np.asarray(raw)
    if raw.dtype.kind not in "iu":
        text = raw.astype(str)
        # "007" and "7" are two ids: as numbers they would become one.
        is_ascii = text.reshape(-1).view(np.uint32).max(initial=0) < 128  # other scripts have digits of their own
        canonical = is_ascii & np.char.isdigit(text) & ((np.char.str_len(text) == 1) | ~np.char.startswith(text, "0"))
        raw = text.astype(np.int64) if len(text) and canonical.all() and np.char.str_len(text).max() < 19 else text
    ids, numbers = np.unique(raw, return_inverse=True)
    return ids, numbers.astype(np.int64)
