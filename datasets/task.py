"""The task of a recommender: training data, and held-out instances to rank."""

import zlib
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.raw_ids import RawArray
from sdmr.datasets.sampling import build_seen_matrix


@dataclass(frozen=True, eq=False)
class Contexts:
    """Store the context items of n instances, of any length.

    `items` holds the training items once, sequence after sequence. A sequence is a user's history or a basket. The
    context of an instance is the `count` items before its `position` in the sequence. Positions before the first item
    wrap around to the last one. In a history nothing wraps. In a basket, the items after the target become the earliest
    context items.
    """

    items: IntArray  # [n_training] training items, sequence after sequence
    start: IntArray  # [n] index in `items` where the instance's sequence begins
    length: IntArray  # [n] number of training items in that sequence
    position: IntArray  # [n] number of training items of the sequence before the target
    count: IntArray  # [n] number of context items
    padding: int  # item number that stands for "no item": n_items

    def last_n(self, n: int, rows: IntArray | slice = slice(None)) -> IntArray:
        """Get the last n context items of each row: [rows, n].

        The most recent item comes last. Shorter contexts are padded on the left.
        """
        if n == 0:
            return np.empty((len(self.start[rows]), 0), dtype=np.int64)
        distance = np.arange(n, 0, -1)  # of each column to the target
        start, length, position, count = (
            array[rows, None] for array in (self.start, self.length, self.position, self.count)
        )
        index = start + (position - distance) % np.maximum(length, 1)
        context = np.full((len(start), n), self.padding)
        is_item = distance <= count
        context[is_item] = self.items[index[is_item]]
        return context

    def take(self, rows: IntArray) -> Self:
        """Select the contexts of some instances."""
        fields = (self.start, self.length, self.position, self.count)
        start, length, position, count = (field[rows] for field in fields)
        return replace(self, start=start, length=length, position=position, count=count)


@dataclass(frozen=True, eq=False)
class Instances:
    """Store n instances: a user, the target that the user took, and its context."""

    users: IntArray  # [n]
    targets: IntArray  # [n]
    contexts: Contexts  # n of them

    def __len__(self) -> int:
        return len(self.users)

    @property
    def has_baskets(self) -> bool:
        """Tell whether the sequences of training instances are baskets.

        With baskets, a user has several sequences, or items after a target belong to its context.
        """
        has_several = len(np.unique(self.contexts.start)) > len(np.unique(self.users))
        return has_several or bool((self.contexts.count > self.contexts.position).any())


@dataclass(frozen=True, eq=False)
class HeldOut(Instances):
    """Store held-out instances, and the candidates that each target is ranked among."""

    candidates: IntArray  # [n, C] target and unseen items, sorted, so that a column reveals nothing
    # [n] valid candidates of a row, its target included; the columns after them repeat the target. None: all columns.
    n_candidates: IntArray | None = None
    ranked_items: IntArray | None = None  # items that may be candidates, such as trained ones; None: all

    @property
    def is_cold(self) -> NDArray[np.bool_]:
        """Tell which targets [n] are no ranked items, and so come after all candidates."""
        if self.ranked_items is None:
            return np.zeros(len(self), dtype=bool)
        return np.isin(self.targets, self.ranked_items, invert=True)

    @property
    def checksums(self) -> dict[str, int]:
        """Get a checksum of every array; a task's are those from its start."""
        return compute_checksums(self) if self.users.flags.writeable else self._checksums

    @cached_property
    def _checksums(self) -> dict[str, int]:
        return compute_checksums(self)

    @property
    def target_columns(self) -> IntArray:
        """Find the column of `candidates` that holds each target [n].

        Of a cold target, it is the first column after the candidates.

        Raises:
            ValueError: A target is missing from its candidates, or repeated.
        """
        is_target = self.candidates == self.targets[:, None]
        if self.n_candidates is not None:
            is_target &= np.arange(self.candidates.shape[1]) < (self.n_candidates + self.is_cold)[:, None]
        is_wrong = is_target.sum(axis=1) != 1
        if is_wrong.any():
            row = int(is_wrong.argmax())
            raise ValueError(
                f"user {self.users[row]}, target {self.targets[row]}: the target must be once among its candidates"
            )
        return is_target.argmax(axis=1)

    def take(self, rows: IntArray) -> Self:
        """Select some of the instances."""
        n_candidates = None if self.n_candidates is None else self.n_candidates[rows]
        contexts = self.contexts.take(rows)
        candidates = self.candidates[rows]
        return type(self)(self.users[rows], self.targets[rows], contexts, candidates, n_candidates, self.ranked_items)


@dataclass(frozen=True, eq=False)
class Training:
    """Store what a recommender may see.

    Items are numbered 0 … n_items − 1. The number n_items is the padding of contexts.
    """

    n_users: int
    n_items: int
    instances: Instances
    validation: HeldOut
    seed: int = 0  # of initialization, batch order and training negatives
    checkpoint: Path | None = None  # file where a long fit may save its progress and resume from it
    epochs: int | None = None  # to train for, without validation; None: validation chooses them
    user_ids: RawArray | None = None  # [n_users] raw id of each user; None if the data has none
    item_ids: RawArray | None = None  # [n_items] raw id of each item
    item_titles: RawArray | None = None  # [n_items] title of each item, where the data has titles

    @property
    def matrix(self) -> csr_matrix:
        """Get the binary float32 matrix [n_users, n_items] of all training pairs.

        That of a task is another object each time, over the same read-only arrays.
        """
        return self._matrix if self._matrix.data.flags.writeable else copy(self._matrix)

    @cached_property
    def _matrix(self) -> csr_matrix:
        matrix = build_seen_matrix(self.instances.users, self.instances.targets, self.n_users, self.n_items)
        if not self.instances.users.flags.writeable:  # of a task, not of a copy
            _make_read_only(matrix)
        return matrix

    def drop_checkpoint(self) -> Self:
        """Return a copy without checkpoint, for a fit that saves no progress."""
        return replace(self, checkpoint=None)


@dataclass(frozen=True, eq=False)
class Task:
    """Store both sides of a task: a recommender gets `training`, only the harness reads `test`.

    The arrays are read-only, since several recommenders may get them. Copies of them are not.
    """

    training: Training
    test: HeldOut
    report: Mapping[str, int] = field(default_factory=dict)  # reason -> rows or users that were dropped or only train

    def __post_init__(self) -> None:
        """Make the arrays of both sides read-only."""
        _make_read_only(self.training)
        _make_read_only(self.test)
        _ = self.training.validation.checksums, self.test.checksums

    @cached_property
    def seen(self) -> csr_matrix:
        """Build the binary matrix [n_users, n_items] of all pairs, those held out included."""
        sides, contexts = (self.training.instances, self.training.validation, self.test), self.test.contexts
        users, items = (np.concatenate([getattr(side, name) for side in sides]) for name in ("users", "targets"))
        if contexts.items is not self.training.instances.contexts.items:  # they hold more than the training items
            offset = np.arange(contexts.length.sum()) - np.repeat(np.cumsum(contexts.length), contexts.length)
            users = np.append(users, np.repeat(self.test.users, contexts.length))
            rows = np.repeat(contexts.start + contexts.length, contexts.length) + offset
            items = np.append(items, contexts.items[rows])
        return build_seen_matrix(users, items, self.training.n_users, self.training.n_items)


def compute_checksums(value: Any, name: str = "") -> dict[str, int]:
    """Return a checksum of every array that a value's fields reach, by its dotted name."""
    if isinstance(value, np.ndarray):
        return {name: zlib.crc32(value.tobytes())}
    name = name or type(value).__name__.lower()
    fields = vars(value) if is_dataclass(value) or issparse(value) else {}
    return {
        key: number
        for field, child in fields.items()
        for key, number in compute_checksums(child, f"{name}.{field.removeprefix('_')}").items()
    }


def _make_read_only(value: object) -> None:
    """Make every array that the fields of a value hold read-only."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif is_dataclass(value) or issparse(value):
        for field_value in vars(value).values():
            _make_read_only(field_value)
