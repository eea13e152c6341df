"""Small tasks whose instances are known."""

import numpy as np

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.split import split
from sdmr.datasets.task import Task


def split_histories(**rows: list[int]) -> Task:
    """Split each user's items in order; the last is test, one of the rest validation."""
    users = np.repeat([int(name[1:]) for name in rows], [len(items) for items in rows.values()])
    every = [8, *range(8), *range(9, 130)]  # a last user takes every item, so that all are known
    items = np.concatenate([*rows.values(), every])
    users = np.concatenate([users, np.full(130, 9)])
    data = Interactions(users, items, np.arange(10), np.arange(130), times=np.arange(len(users)))
    return split(data, n_candidates=0)
