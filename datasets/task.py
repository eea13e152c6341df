"""The task a recommender is set: what it may learn from, and the held-out instances it is ranked on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import IntArray


@dataclass(frozen=True, eq=False)
class Contexts:
    """The context items of n instances, of any length asked for.

    The training items stand once, in order, sequence after sequence (a sequence is a user's history, or a basket). An
    instance points at a place in its sequence: its context is the `count` items before that place, going round from
    the sequence's first item to its last, so that one rule reads both a history (nothing to go round for) and a basket
    (the items after the target count as the earliest ones).
    """

    items: IntArray  # [n_training] training items, sequence after sequence
    start: IntArray  # [n] where the instance's sequence begins in `items`
    length: IntArray  # [n] training items in that sequence
    place: IntArray  # [n] training items of the sequence that stand before the target
    count: IntArray  # [n] context items there are in all
    padding: int  # the item number that stands for "no item": n_items

    def latest(self, length: int, rows: IntArray | slice = slice(None)) -> IntArray:
        """The latest context items of the given instances, the most recent last, padded on the left: [rows, length]."""
        if length == 0:
            return np.empty((len(self.start[rows]), 0), dtype=np.int64)
        back = np.arange(length, 0, -1)  # the column's distance from the target
        start, size, place, count = (a[rows, None] for a in (self.start, self.length, self.place, self.count))
        index = start + (place - back) % np.maximum(size, 1)
        context = np.full((len(start), length), self.padding)
        real = back <= count
        context[real] = self.items[index[real]]
        return context

    def take(self, rows: IntArray) -> Contexts:
        """The contexts of the given instances alone."""
        return replace(
            self, start=self.start[rows], length=self.length[rows], place=self.place[rows], count=self.count[rows]
        )


@dataclass(frozen=True, eq=False)
class Instances:
    """n times: this user, with this context, took this target."""

    users: IntArray  # [n]
    targets: IntArray  # [n]
    contexts: Contexts  # n of them

    def __len__(self) -> int:
        return len(self.users)

    @property
    def in_baskets(self) -> bool:
        """Of training: whether the sequences are baskets. A user has several, or items after the target are context."""
        several = len(np.unique(self.contexts.start)) > len(np.unique(self.users))
        return several or bool((self.contexts.count > self.contexts.place).any())


@dataclass(frozen=True, eq=False)
class HeldOut(Instances):
    """Held-out instances, with the items among which each target is to be ranked."""

    candidates: IntArray  # [n, 1 + number] the target and unseen items, sorted, so that a place tells nothing

    @property
    def target_columns(self) -> IntArray:
        """[n] the column of `candidates` that holds the target. Raises ValueError if none does, or more than one."""
        is_target = self.candidates == self.targets[:, None]
        if (is_target.sum(axis=1) != 1).any():
            row = int((is_target.sum(axis=1) != 1).argmax())
            told = f"user {self.users[row]}, target {self.targets[row]}"
            raise ValueError(f"{told}: the target must be once among its candidates")
        return is_target.argmax(axis=1)

    def take(self, rows: IntArray) -> HeldOut:
        """The given instances alone."""
        return HeldOut(self.users[rows], self.targets[rows], self.contexts.take(rows), self.candidates[rows])


@dataclass(frozen=True, eq=False)
class Training:
    """What a recommender may see. Items are 0 … n_items − 1; n_items itself is the padding of contexts."""

    n_users: int
    n_items: int
    instances: Instances
    development: HeldOut
    seed: int = 0  # for initialization, batch order and training negatives
    checkpoint: Path | None = None  # a file where a long fit may keep its progress, and finds it again

    @cached_property
    def matrix(self) -> csr_matrix:
        """[n_users, n_items] binary, float32: the union of each user's training items (over baskets, too)."""
        ones = np.ones(len(self.instances), dtype=np.float32)
        matrix = csr_matrix((ones, (self.instances.users, self.instances.targets)), shape=(self.n_users, self.n_items))
        matrix.sum_duplicates()
        matrix.sort_indices()
        matrix.data[:] = 1
        return matrix

    def without_checkpoint(self) -> Training:
        """The same, for a fit whose progress is not to be kept."""
        return replace(self, checkpoint=None)


@dataclass(frozen=True, eq=False)
class Task:
    """The two sides of a task. Only the harness reads `test`; a recommender is handed `training`."""

    training: Training
    test: HeldOut
