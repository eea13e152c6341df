"""Make random data of a chosen shape.

A benchmark on them needs no data set and times no download.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.split import split
from sdmr.datasets.task import Instances, Task, Training


def make_tiny_tasks() -> dict[str, Task]:
    """Return two tasks on which a model is checked: one with histories, one with baskets."""
    rng, baskets = np.random.default_rng(0), np.arange(120).repeat(5)
    items = np.concatenate([rng.choice(90, 5, replace=False) for _ in range(120)])
    interactions = Interactions.from_raw(baskets // 3, items, baskets=baskets)
    tasks = {"histories": make_task(60, 90, 600, 20), "baskets": split(interactions, n_candidates=20)}
    for name, task in tasks.items():  # with text as ids, as in most data
        user_ids = np.array([f"u{user}" for user in range(task.training.n_users)], dtype=object)
        tasks[name] = replace(task, training=replace(task.training, user_ids=user_ids))
    return tasks


def make_task(n_users: int, n_items: int, n_interactions: int, n_candidates: int = 100) -> Task:
    """Make a task of long-tailed random data, the same each time.

    User r takes part as often as 1 / (r + n_users / 10), items likewise, in random order. Raises ValueError if there
    are too few users and items for the interactions.
    """
    rng = np.random.default_rng(0)
    n_draws = 2 * n_interactions  # each pair of a user and an item is kept once
    pairs = np.column_stack([_draw_long_tailed(n_users, n_draws, rng), _draw_long_tailed(n_items, n_draws, rng)])
    pairs = np.unique(pairs, axis=0)
    if len(pairs) < n_interactions:
        raise ValueError(f"{n_users} users and {n_items} items are too few for {n_interactions} interactions")
    pairs = rng.permutation(pairs)[:n_interactions]
    ids = np.arange(n_users), np.arange(n_items)
    return split(Interactions(pairs[:, 0], pairs[:, 1], *ids, np.arange(n_interactions)), n_candidates=n_candidates)


def _draw_long_tailed(n: int, n_draws: int, rng: np.random.Generator) -> np.ndarray:
    weights = 1 / (np.arange(n) + n / 10)
    return rng.choice(n, n_draws, p=weights / weights.sum())


@dataclass(frozen=True, eq=False)
class Excerpt(Training):
    """Some training instances of a task beside the history of all of them."""

    source: Training = field(kw_only=True)

    @cached_property
    def matrix(self) -> csr_matrix:
        return self.source.matrix


def draw_excerpt(training: Training, n_instances: int, n_validation: int = 32) -> Excerpt:
    """Draw a random excerpt to train on.

    An epoch has the steps of the full data's, only fewer of them, and ends with a short ranking. Models of sequences
    still get every window, since windows are cut from the whole history.
    """
    instances, validation = training.instances, training.validation
    rng = np.random.default_rng(0)
    rows = rng.choice(len(instances), min(n_instances, len(instances)), replace=False)
    return Excerpt(
        training.n_users,
        training.n_items,
        Instances(instances.users[rows], instances.targets[rows], instances.contexts.take(rows)),
        validation.take(np.arange(min(n_validation, len(validation)))),
        source=training,
    )
