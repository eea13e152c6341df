"""What is measured on: random data of a given shape, so that the bench needs no data set and times no download."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.split import split
from sdmr.datasets.task import Instances, Task, Training


def synthetic(n_users: int, n_items: int, n_interactions: int, n_candidates: int = 100) -> Task:
    """A task with long tails: user r takes part as often as 1 / (r + n_users / 10), items likewise, in random order."""
    rng = np.random.default_rng(0)
    n_draws = 2 * n_interactions  # a user who meets an item again has taken it once
    pairs = np.column_stack([_long_tailed(n_users, n_draws, rng), _long_tailed(n_items, n_draws, rng)])
    pairs = np.unique(pairs, axis=0)
    if len(pairs) < n_interactions:
        raise ValueError(f"{n_users} users and {n_items} items are too few for {n_interactions} interactions")
    pairs = rng.permutation(pairs)[:n_interactions]
    ids = np.arange(n_users), np.arange(n_items)
    return split(Interactions(pairs[:, 0], pairs[:, 1], *ids, np.arange(n_interactions)), n_candidates=n_candidates)


def _long_tailed(n: int, n_draws: int, rng: np.random.Generator) -> np.ndarray:
    weights = 1 / (np.arange(n) + n / 10)
    return rng.choice(n, n_draws, p=weights / weights.sum())


@dataclass(frozen=True, eq=False)
class Excerpt(Training):
    """Some of a task's training instances, beside the history of all of them."""

    whole: Training | None = None

    @cached_property
    def matrix(self) -> csr_matrix:
        assert self.whole is not None
        return self.whole.matrix


def excerpt(training: Training, n_instances: int, n_validation: int = 32) -> Excerpt:
    """A random excerpt to train on: an epoch is some steps of the whole data's, and is followed by a short ranking."""
    instances, validation = training.instances, training.validation
    rng = np.random.default_rng(0)
    rows = rng.choice(len(instances), min(n_instances, len(instances)), replace=False)
    return Excerpt(
        training.n_users,
        training.n_items,
        Instances(instances.users[rows], instances.targets[rows], instances.contexts.take(rows)),
        validation.take(np.arange(min(n_validation, len(validation)))),
        whole=training,
    )
