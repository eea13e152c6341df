"""The time between an interaction and the one before it, of the same user."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.task import Instances, Task
from sdmr.datasets.times import UNITS, find_unit


def measure_test_gaps(task: Task, data: Interactions | Task) -> NDArray[np.float64] | None:
    """Return the seconds between each test item and its user's interaction before [n].

    They are infinite for a user's first interaction, and None for baskets and for times of unknown unit.
    """
    if not isinstance(data, Interactions) or data.times is None or data.baskets is not None:
        return None
    if (unit := find_unit(data.times)) is None:
        return None
    order = np.lexsort((data.times, data.users))
    users, times = data.users[order], data.times[order]
    rows = find_rows(task, task.test, data, order)
    is_first = (rows == 0) | (users[rows] != users[rows - 1])
    minute = UNITS[unit][1]
    return np.where(is_first, np.inf, (times[rows] - times[rows - 1]) / minute * 60)


def find_rows(task: Task, side: Instances, data: Interactions, order: IntArray) -> IntArray:
    """Return the position in the ordered data of each instance [n]. A task may number users and items otherwise."""
    training = task.training
    assert training.user_ids is not None
    assert training.item_ids is not None
    users = pd.Index(data.user_ids).get_indexer(pd.Index(training.user_ids))[side.users]
    items = pd.Index(data.item_ids).get_indexer(pd.Index(training.item_ids))[side.targets]
    keys = data.users[order] * data.n_items + data.items[order]
    sorter = np.argsort(keys)
    return sorter[np.searchsorted(keys, users * data.n_items + items, sorter=sorter)]
