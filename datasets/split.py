"""The split: last item to test, one of the rest to development, contexts, and the candidates to rank among."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.task import Contexts, HeldOut, Instances, Task, Training
from sdmr.datasets.unseen import Unseen

MINIMUM = 3  # a shorter sequence only trains: one item for test, one for development, one to learn from


def split(
    interactions: Interactions,
    split_seed: int = 0,
    n_candidates: int = 100,
    test_item: Literal["last", "random"] = "last",
    dev_item: Literal["random", "next-to-last"] = "random",
    last_tie: Literal["file", "item-id"] = "file",
) -> Task:
    """Leave-one-out on each sequence: a user's history, or, where there are baskets, a basket.

    A history is ordered by a *stable* sort on time, file order on equal times (`last_tie: item-id` sorts those by their
    items instead); without times it is shuffled; a basket keeps its file order. The last item is the test item (or a
    random one), one of the others at random the development item (or the latest of them). Context of any target: in a
    history, the training items before it; in a basket, all its training items but the target, those after it first (see
    `Contexts`). Candidates: the target and `n_candidates` distinct items that the user has nowhere, in no part of the
    split and in no basket.

    `split_seed` fixes every draw here, and nothing else depends on it. Raises ValueError if a user has fewer than
    `n_candidates` unseen items, for an unknown choice, for `last_tie: item-id` where no times tie, and if an item is in
    a sequence twice or a basket is of two users: what is held out would be left in the training items.
    """
    if test_item not in ("last", "random"):
        raise ValueError(f'test_item must be "last" or "random", not {test_item!r}')
    if dev_item not in ("random", "next-to-last"):
        raise ValueError(f'dev_item must be "random" or "next-to-last", not {dev_item!r}')
    if last_tie not in ("file", "item-id"):
        raise ValueError(f'last_tie must be "file" or "item-id", not {last_tie!r}')
    order_rng, development_rng, candidate_rng, test_rng = np.random.default_rng(split_seed).spawn(4)
    rows = _ordered_rows(interactions, order_rng, last_tie)
    users, items = interactions.users[rows], interactions.items[rows]
    sequence = interactions.baskets[rows] if interactions.baskets is not None else users

    _refuse_repeated(interactions, users, items, sequence)

    size = np.bincount(sequence)
    end = np.cumsum(size)
    held = np.flatnonzero(size >= MINIMUM)
    start, last = end[held] - size[held], end[held] - 1
    test_rows = last if test_item == "last" else start + test_rng.integers(size[held])
    if dev_item == "random":
        development_rows = start + development_rng.integers(size[held] - 1)
        development_rows += development_rows >= test_rows  # the test item is none of the others
    else:
        development_rows = np.where(test_rows == last, last - 1, last)

    unseen = Unseen(seen_items(users, items, interactions.n_users, interactions.n_items), interactions.user_ids)

    def candidates(of: IntArray) -> IntArray:
        return np.column_stack([items[of], unseen.draw_distinct(users[of], n_candidates, candidate_rng)])

    return assemble(
        Rows(users, items, sequence, in_baskets=interactions.baskets is not None),
        (interactions.n_users, interactions.n_items),
        (development_rows, candidates(development_rows)),
        (test_rows, candidates(test_rows)),
    )


def _refuse_repeated(interactions: Interactions, users: IntArray, items: IntArray, sequence: IntArray) -> None:
    """Raise ValueError unless each sequence (ascending, [n]) has one user, and an item no more than once."""
    is_mixed = (sequence[1:] == sequence[:-1]) & (users[1:] != users[:-1])
    if is_mixed.any():
        row = int(is_mixed.argmax())
        names = " and ".join(str(interactions.user_ids[user]) for user in users[row : row + 2])
        raise ValueError(f"users {names} have a basket together, expected each basket to be of one user")
    pairs = np.sort(sequence * interactions.n_items + items)
    is_repeated = pairs[1:] == pairs[:-1]
    if is_repeated.any():
        number, item = divmod(int(pairs[is_repeated.argmax()]), interactions.n_items)
        user = interactions.user_ids[users[np.searchsorted(sequence, number)]]
        where = "" if interactions.baskets is None else " in one basket"
        raise ValueError(f"user {user} has item {interactions.item_ids[item]} twice{where}, expected distinct ones")


def seen_items(users: IntArray, items: IntArray, n_users: int, n_items: int) -> csr_matrix:
    """[n_users, n_items] the items that each user has anywhere."""
    seen = csr_matrix((np.ones(len(users)), (users, items)), shape=(n_users, n_items))
    seen.sum_duplicates()
    seen.sort_indices()
    return seen


@dataclass(frozen=True, eq=False)
class Rows:
    """Interactions sequence after sequence, each in its order."""

    users: IntArray  # [n]
    items: IntArray  # [n]
    sequence: IntArray  # [n] ascending
    in_baskets: bool  # the sequences are baskets, not histories


def assemble(
    rows: Rows, shape: tuple[int, int], development: tuple[IntArray, IntArray], test: tuple[IntArray, IntArray]
) -> Task:
    """The task with the given rows held out; all other rows train.

    `shape`: number of users and of items. `development` and `test`: the numbers of the rows held out, and for each the
    items to rank among ([held out, candidates], the target one of them).
    """
    n_users, n_items = shape
    is_training = np.ones(len(rows.items), dtype=bool)
    is_training[development[0]] = is_training[test[0]] = False
    training_before = np.cumsum(is_training) - is_training  # [rows] training rows above, in all sequences
    n_sequences = int(rows.sequence.max(initial=-1)) + 1
    size_in_training = np.bincount(rows.sequence[is_training], minlength=n_sequences)
    start_in_training = np.cumsum(size_in_training) - size_in_training
    training_items = rows.items[is_training]

    def contexts(of: IntArray) -> Contexts:
        start, length = start_in_training[rows.sequence[of]], size_in_training[rows.sequence[of]]
        place = training_before[of] - start
        count = length - is_training[of] if rows.in_baskets else place
        return Contexts(training_items, start, length, place, count, padding=n_items)

    def held_out(of: IntArray, candidates: IntArray) -> HeldOut:
        return HeldOut(rows.users[of], rows.items[of], contexts(of), np.sort(candidates, axis=1))

    instances = Instances(rows.users[is_training], training_items, contexts(np.flatnonzero(is_training)))
    return Task(Training(n_users, n_items, instances, held_out(*development)), held_out(*test))


def _ordered_rows(interactions: Interactions, rng: np.random.Generator, last_tie: str) -> IntArray:
    """Row numbers, sequence after sequence, each in its order."""
    if last_tie != "file":
        if interactions.times is None or interactions.baskets is not None:
            raise ValueError(f"last_tie={last_tie} has no effect: these interactions are not in the order of times")
        rows = np.lexsort((interactions.items, interactions.times, interactions.users))
        users, times = interactions.users[rows], interactions.times[rows]
        if not ((users[1:] == users[:-1]) & (times[1:] == times[:-1])).any():
            raise ValueError(f"last_tie={last_tie} has no effect: no user has two interactions at the same time")
        return rows
    if interactions.baskets is not None:
        return np.argsort(interactions.baskets, kind="stable")
    if interactions.times is not None:
        return np.lexsort((interactions.times, interactions.users))
    shuffled = rng.permutation(len(interactions))
    return shuffled[np.argsort(interactions.users[shuffled], kind="stable")]
