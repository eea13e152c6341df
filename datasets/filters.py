"""Filters of raw interactions, and the order of their rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from sdmr.datasets.interactions import IntArray, Interactions

Order = Literal["random", "file"]


def check_order(order: str) -> None:
    """Raise ValueError for an unknown order."""
    if order not in ("random", "file"):
        raise ValueError(f'order must be "random" or "file", not {order!r}')


def k_core(interactions: Interactions, min_count: int, iterative: bool = False) -> Interactions:
    """Drop users and items with fewer than `min_count` interactions.

    By default one pass drops both at once: all counts are taken before any row is dropped. Users and items with fewer
    interactions may remain. This pass gives the paper's Epinions (Table 1).

    Args:
        iterative: Repeat the pass until it drops nothing. This is the k-core of the literature.
    """
    while True:
        user_counts = np.bincount(interactions.users, minlength=interactions.n_users)
        item_counts = np.bincount(interactions.items, minlength=interactions.n_items)
        mask = (user_counts[interactions.users] >= min_count) & (item_counts[interactions.items] >= min_count)
        if mask.all():
            return interactions
        interactions = interactions.keep(mask)
        if not iterative:
            return interactions


def filter_basket_sizes(interactions: Interactions, min_basket: int, max_basket: int) -> Interactions:
    """Keep the baskets of `min_basket` to `max_basket` items."""
    size = np.bincount(get_baskets(interactions))[get_baskets(interactions)]
    return interactions.keep((min_basket <= size) & (size <= max_basket))


def sample_baskets(interactions: Interactions, n_samples: int, seed: int) -> Interactions:
    """Keep a uniform sample of `n_samples` baskets, or all if there are fewer."""
    sampled = sample_indices(interactions.n_baskets, n_samples, seed)
    return interactions.keep(np.isin(get_baskets(interactions), sampled))


def sample_indices(population: int, n_samples: int, seed: int) -> IntArray:
    """Sample distinct numbers below `population`, sorted, or return all if there are fewer."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(population, size=min(n_samples, population), replace=False))


def use_file_order(interactions: Interactions) -> Interactions:
    """Take the row numbers as times, as if the file were in chronological order."""
    return replace(interactions, times=np.arange(len(interactions)))


def shuffle(interactions: Interactions, seed: int) -> Interactions:
    """Shuffle the rows.

    With baskets, the last item of each basket, its test item, becomes a random one.
    """
    rows = np.random.default_rng(seed).permutation(len(interactions))
    return replace(
        interactions,
        users=interactions.users[rows],
        items=interactions.items[rows],
        times=None if interactions.times is None else interactions.times[rows],
        baskets=None if interactions.baskets is None else interactions.baskets[rows],
    )


def get_baskets(interactions: Interactions) -> IntArray:
    """Get the basket of each row [n]; raise ValueError for data without baskets."""
    if interactions.baskets is None:
        raise ValueError("these interactions have no baskets")
    return interactions.baskets
