"""Filters of raw interactions, and the order of their rows."""

from dataclasses import replace
from typing import Literal

import numpy as np

from sdmr.datasets.interactions import Interactions

Order = Literal["random", "file"]


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
