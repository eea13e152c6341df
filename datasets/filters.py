"""What is kept of raw interactions, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from sdmr.datasets.interactions import IntArray, Interactions

Order = Literal["random", "file"]


def check_order(order: str) -> None:
    """Raise ValueError if the order is none of those known."""
    if order not in ("random", "file"):
        raise ValueError(f'order must be "random" or "file", not {order!r}')


def core(interactions: Interactions, least: int, iterated: bool = False) -> Interactions:
    """Without users and items of fewer than `least` interactions.

    One simultaneous pass: both counts are taken before anything is dropped, so that users and items of fewer may
    remain. That is what gives the paper's Epinions (Table 1). `iterated` repeats it until nobody is dropped, which is
    the k-core proper.
    """
    while True:
        of_user = np.bincount(interactions.users, minlength=interactions.n_users)
        of_item = np.bincount(interactions.items, minlength=interactions.n_items)
        kept = (of_user[interactions.users] >= least) & (of_item[interactions.items] >= least)
        if kept.all():
            return interactions
        interactions = interactions.keep(kept)
        if not iterated:
            return interactions


def basket_sizes(interactions: Interactions, smallest: int, largest: int) -> Interactions:
    """Only baskets of `smallest` to `largest` items."""
    size = np.bincount(baskets_of(interactions))[baskets_of(interactions)]
    return interactions.keep((smallest <= size) & (size <= largest))


def sample_baskets(interactions: Interactions, number: int, seed: int) -> Interactions:
    """`number` of the baskets, every choice equally likely; all, if there are no more than that."""
    drawn = draw(interactions.n_baskets, number, seed)
    return interactions.keep(np.isin(baskets_of(interactions), drawn))


def draw(available: int, number: int, seed: int) -> IntArray:
    """`number` of 0 … `available` − 1 in ascending order, without repetition; all, if there are no more."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(available, size=min(number, available), replace=False))


def in_file_order(interactions: Interactions) -> Interactions:
    """With the number of the row for its time: the file is taken to be in the order of time."""
    return replace(interactions, times=np.arange(len(interactions)))


def shuffled(interactions: Interactions, seed: int) -> Interactions:
    """The rows in random order. In baskets, this makes the last item, which is the test item, a random one."""
    rows = np.random.default_rng(seed).permutation(len(interactions))
    return replace(
        interactions,
        users=interactions.users[rows],
        items=interactions.items[rows],
        times=None if interactions.times is None else interactions.times[rows],
        baskets=None if interactions.baskets is None else interactions.baskets[rows],
    )


def baskets_of(interactions: Interactions) -> IntArray:
    """[n] each row's basket. Raises ValueError for data without baskets."""
    if interactions.baskets is None:
        raise ValueError("these interactions have no baskets")
    return interactions.baskets
