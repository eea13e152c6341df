"""Uniform draws from the items that a user has not seen, without rejection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import IntArray


class Unseen:
    """Each user's unseen items, by rank: the r-th smallest item id that is not in the user's row.

    A user's sorted seen items s_0 < s_1 < … leave s_k − k unseen items below s_k. The r-th unseen item is therefore
    r + (number of k with s_k − k ≤ r), one binary search in those gaps. A uniform rank gives a uniform unseen item, so
    nothing is ever rejected, and neither time nor memory grows with the catalogue.
    """

    def __init__(self, seen: csr_matrix, user_ids: NDArray[Any] | None = None) -> None:
        """`seen`: [n_users, n_items], no duplicates, sorted indices.

        `user_ids`: [n_users] what errors call the users; their numbers if it is not given.
        """
        self._user_ids = np.arange(seen.shape[0]) if user_ids is None else user_ids
        self._first = seen.indptr.astype(np.int64)
        n_seen = np.diff(self._first)
        self.count = seen.shape[1] - n_seen  # [n_users] unseen items
        self._width = seen.shape[1] + 1
        owner = np.repeat(np.arange(seen.shape[0]), n_seen)
        gaps = seen.indices - (np.arange(len(owner)) - self._first[owner])
        self._keys = owner * self._width + gaps  # ascending over all users, so that one search serves them all

    def item(self, users: IntArray, ranks: IntArray) -> IntArray:
        """The items at `ranks` (0 ≤ rank < count[user]) of `users`, elementwise; the shapes broadcast."""
        seen_below = np.searchsorted(self._keys, users * self._width + ranks, side="right") - self._first[users]
        return ranks + seen_below

    def draw(self, users: IntArray, number: int, rng: np.random.Generator) -> IntArray:
        """[len(users), number] unseen items, independent and uniform.

        Raises ValueError for a user who has seen every item.
        """
        if len(users) and self.count[users].min() == 0:
            short = users[self.count[users] == 0][0]
            raise ValueError(f"user {self._user_ids[short]} has seen every item: no negative can be drawn")
        ranks = rng.integers(self.count[users][:, None], size=(len(users), number))
        return self.item(users[:, None], ranks)

    def draw_distinct(self, users: IntArray, number: int, rng: np.random.Generator) -> IntArray:
        """[len(users), number] unseen items, every set of `number` distinct ones equally likely.

        Floyd's method (Bentley & Floyd, CACM 1987) on all rows at once. Raises ValueError for a user with fewer than
        `number` unseen items.
        """
        if len(users) and self.count[users].min() < number:
            short = users[self.count[users] < number][0]
            raise ValueError(
                f"user {self._user_ids[short]} has {self.count[short]} unseen items, {number} distinct ones are needed"
            )
        ranks = np.empty((len(users), number), dtype=np.int64)
        for column in range(number):
            limit = self.count[users] - number + column
            drawn = rng.integers(limit + 1)
            taken = (ranks[:, :column] == drawn[:, None]).any(axis=1)
            ranks[:, column] = np.where(taken, limit, drawn)
        return self.item(users[:, None], ranks)
