"""Sampling of items that a user has not seen, without rejection: uniform, or by weight."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import IntArray

BLOCK_ROWS = 1024
DENSE_ROWS = 128  # with a number for every item


def build_seen_matrix(users: IntArray, items: IntArray, n_users: int, n_items: int) -> csr_matrix:
    """Build the binary float32 matrix [n_users, n_items] of all items that each user has."""
    seen = csr_matrix((np.ones(len(users), dtype=np.float32), (users, items)), shape=(n_users, n_items))
    seen.sum_duplicates()
    seen.sort_indices()
    seen.data[:] = 1
    return seen


class NegativeSampler:
    """Sample uniformly from each user's unseen items.

    A user's unseen items are addressed by rank: rank r is the r-th smallest item id that the user has not seen. Let
    s_0 < s_1 < … be the seen items; then s_k − k unseen items lie below s_k. So the unseen item of rank r is
    r + (number of k with s_k − k ≤ r), one binary search. A uniform rank gives a uniform unseen item: no draw is
    rejected, and neither time nor memory grows with the catalog.
    """

    def __init__(self, seen: csr_matrix, user_ids: NDArray[Any] | None = None) -> None:
        """Index the seen items.

        Args:
            seen: [n_users, n_items], without duplicates, with sorted indices.
            user_ids: [n_users] ids that error messages use; None for the user numbers.
        """
        self._user_ids = np.arange(seen.shape[0]) if user_ids is None else user_ids
        self._seen = seen
        self._first = seen.indptr.astype(np.int64)
        n_seen = np.diff(self._first)
        self.n_unseen = seen.shape[1] - n_seen  # [n_users]
        self._width = seen.shape[1] + 1
        owner = np.repeat(np.arange(seen.shape[0]), n_seen)
        gaps = seen.indices - (np.arange(len(owner)) - self._first[owner])
        self._keys = owner * self._width + gaps  # ascending over all users, so one search serves all of them

    def get_items(self, users: IntArray, ranks: IntArray) -> IntArray:
        """Get the unseen items of `users` at `ranks` (0 ≤ rank < n_unseen[user]); shapes broadcast."""
        n_seen_below = np.searchsorted(self._keys, users * self._width + ranks, side="right") - self._first[users]
        return ranks + n_seen_below

    def sample(self, users: IntArray, n_samples: int, rng: np.random.Generator) -> IntArray:
        """Sample independent uniform unseen items: [len(users), n_samples].

        Raises:
            ValueError: A user has seen every item.
        """
        if len(users) and self.n_unseen[users].min() == 0:
            user = users[self.n_unseen[users] == 0][0]
            raise ValueError(f"user {self._user_ids[user]} has seen every item: no negative can be drawn")
        ranks = rng.integers(self.n_unseen[users][:, None], size=(len(users), n_samples))
        return self.get_items(users[:, None], ranks)

    def sample_distinct(self, users: IntArray, n_samples: int, rng: np.random.Generator) -> IntArray:
        """Sample a uniform set of distinct unseen items: [len(users), n_samples].

        Uses Floyd's method (Bentley & Floyd, CACM 1987) on all rows at once. A user with fewer unseen items gets all of
        them, and n_items in the other columns.
        """
        n_unseen = self.n_unseen[users]
        ranks = self.draw(users, n_samples, rng)
        for first in range(0, len(users), BLOCK_ROWS):  # a block stays in the processor's cache
            block = ranks[:, first : first + BLOCK_ROWS]
            for column in range(1, n_samples):
                limit = n_unseen[first : first + BLOCK_ROWS] - n_samples + column
                is_taken = (block[:column] == block[column]).any(axis=0)
                block[column] = np.where(is_taken, limit, block[column])
        ranks = ranks.T
        ranks[n_unseen < n_samples] = np.arange(n_samples)
        return np.where(ranks < n_unseen[:, None], self.get_items(users[:, None], ranks), self._width - 1)

    def sample_by_weight(
        self, users: IntArray, n_samples: int, weights: NDArray[np.floating], rng: np.random.Generator
    ) -> IntArray:
        """Sample distinct unseen items one after another, each by its weight: [len(users), n_samples].

        These are the items with the smallest E / weight, each E a draw from the exponential distribution (Efraimidis &
        Spirakis, IPL 2006). There are no more columns than items. A user with fewer unseen items gets all of them, and
        n_items in the other columns.

        Args:
            weights: [n_items], each above 0.
        """
        n_items = len(weights)
        samples = np.empty((len(users), min(n_samples, n_items)), dtype=np.int64)
        for first in range(0, len(users), DENSE_ROWS):
            block = slice(first, first + DENSE_ROWS)
            seen = self._seen[users[block]]
            keys = rng.exponential(size=seen.shape) / weights
            keys[seen.nonzero()] = np.inf
            items = np.argpartition(keys, samples.shape[1] - 1, axis=1)[:, : samples.shape[1]]
            is_unseen = np.isfinite(np.take_along_axis(keys, items, axis=1))
            samples[block] = np.where(is_unseen, items, n_items)
        return samples

    def draw(self, users: IntArray, n_samples: int, rng: np.random.Generator) -> IntArray:
        """Draw the random numbers of `sample_distinct`: [n_samples, len(users)]."""
        limits = self.n_unseen[users] - n_samples
        numbers = [rng.integers(np.maximum(limits + column, 0) + 1) for column in range(n_samples)]
        return np.array(numbers, dtype=np.int64).reshape(n_samples, len(users))
