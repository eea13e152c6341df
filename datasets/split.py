"""The leave-one-out split: test items, validation items, contexts and candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.sampling import NegativeSampler
from sdmr.datasets.task import Contexts, HeldOut, Instances, Task, Training

MIN_SEQUENCE_LENGTH = 3  # one item for test, one for validation, one to train; shorter sequences only train


def split(
    interactions: Interactions,
    split_seed: int = 0,
    n_candidates: int = 100,
    test_item: Literal["last", "random"] = "last",
    validation_item: Literal["random", "next-to-last"] = "random",
    equal_times: Literal["file", "item-id"] = "file",
) -> Task:
    """Split each sequence leave-one-out: one test item, one validation item, the rest trains.

    A sequence is a basket if the data has baskets, else a user's history. A *stable* sort on time orders histories.
    Histories without times are shuffled. Baskets keep the order of the file. In a history, the context of a target is
    the training items before it. In a basket, it is all other training items, those after the target first (see
    `Contexts`). The candidates of a test item are itself and distinct items that the user has in no part of the split.
    Those of a validation item may hold the user's test items, since they are drawn without knowledge of them.

    Args:
        split_seed: Seed of every random draw. Nothing else depends on it.
        n_candidates: Number of unseen items per target.
        test_item: The last item of a sequence, or a random one.
        validation_item: A random one of the other items, or the last of them.
        equal_times: Order of interactions at the same time: as in the file, or by item.

    Raises:
        ValueError: A user has fewer than `n_candidates` unseen items. An option is unknown, or has no effect. An item
            is in a sequence twice, or a basket belongs to two users: a held-out item would stay in the training data.
    """
    if test_item not in ("last", "random"):
        raise ValueError(f'test_item must be "last" or "random", not {test_item!r}')
    if validation_item not in ("random", "next-to-last"):
        raise ValueError(f'validation_item must be "random" or "next-to-last", not {validation_item!r}')
    if equal_times not in ("file", "item-id"):
        raise ValueError(f'equal_times must be "file" or "item-id", not {equal_times!r}')
    order_rng, validation_rng, candidate_rng, test_rng, validation_candidate_rng = np.random.default_rng(
        split_seed
    ).spawn(5)
    order = _order_rows(interactions, order_rng, equal_times)
    users, items = interactions.users[order], interactions.items[order]
    sequence = interactions.baskets[order] if interactions.baskets is not None else users

    _check_sequences(interactions, users, items, sequence)

    size = np.bincount(sequence)
    end = np.cumsum(size)
    long_sequences = np.flatnonzero(size >= MIN_SEQUENCE_LENGTH)
    start, last = end[long_sequences] - size[long_sequences], end[long_sequences] - 1
    test_rows = last if test_item == "last" else start + test_rng.integers(size[long_sequences])
    if validation_item == "random":
        validation_rows = start + validation_rng.integers(size[long_sequences] - 1)
        validation_rows += validation_rows >= test_rows  # skip the test item
    else:
        validation_rows = np.where(test_rows == last, last - 1, last)

    shape = (interactions.n_users, interactions.n_items)
    unseen = NegativeSampler(build_seen_matrix(users, items, *shape), interactions.user_ids)
    # This draw is not used. It leaves the generator where the candidates of every test item have always come from.
    unseen.sample_distinct(users[validation_rows], n_candidates, candidate_rng)
    test_negatives = unseen.sample_distinct(users[test_rows], n_candidates, candidate_rng)
    untested = build_untested_sampler(users, items, test_rows, interactions)
    validation_negatives = untested.sample_distinct(users[validation_rows], n_candidates, validation_candidate_rng)
    return assemble_task(
        Rows(users, items, sequence, has_baskets=interactions.baskets is not None),
        shape,
        (validation_rows, np.column_stack([items[validation_rows], validation_negatives])),
        (test_rows, np.column_stack([items[test_rows], test_negatives])),
    )


def _check_sequences(interactions: Interactions, users: IntArray, items: IntArray, sequence: IntArray) -> None:
    """Raise ValueError unless each sequence has one user and distinct items."""
    is_mixed = (sequence[1:] == sequence[:-1]) & (users[1:] != users[:-1])
    if is_mixed.any():
        row = int(is_mixed.argmax())
        names = " and ".join(str(interactions.user_ids[user]) for user in users[row : row + 2])
        raise ValueError(f"users {names} have a basket together, expected each basket to belong to one user")
    pairs = np.sort(sequence * interactions.n_items + items)
    is_repeated = pairs[1:] == pairs[:-1]
    if is_repeated.any():
        number, item = divmod(int(pairs[is_repeated.argmax()]), interactions.n_items)
        user = interactions.user_ids[users[np.searchsorted(sequence, number)]]
        where = "" if interactions.baskets is None else " in one basket"
        raise ValueError(f"user {user} has item {interactions.item_ids[item]} twice{where}, expected distinct ones")


def build_untested_sampler(
    users: IntArray, items: IntArray, test_rows: IntArray, interactions: Interactions
) -> NegativeSampler:
    """Build the sampler of validation candidates, to which a test item is an item like any unseen one.

    A recommender sees the validation candidates. If they left out the test item, their absence would reveal it.
    """
    is_known = np.ones(len(items), dtype=bool)
    is_known[test_rows] = False
    seen = build_seen_matrix(users[is_known], items[is_known], interactions.n_users, interactions.n_items)
    return NegativeSampler(seen, interactions.user_ids)


def build_seen_matrix(users: IntArray, items: IntArray, n_users: int, n_items: int) -> csr_matrix:
    """Build the matrix [n_users, n_items] of all items that each user has."""
    seen = csr_matrix((np.ones(len(users)), (users, items)), shape=(n_users, n_items))
    seen.sum_duplicates()
    seen.sort_indices()
    return seen


@dataclass(frozen=True, eq=False)
class Rows:
    """Store interactions sequence after sequence, each sequence in its order."""

    users: IntArray  # [n]
    items: IntArray  # [n]
    sequence: IntArray  # [n] number of each row's sequence, ascending
    has_baskets: bool  # True if the sequences are baskets, False if they are histories


def assemble_task(
    rows: Rows, shape: tuple[int, int], validation: tuple[IntArray, IntArray], test: tuple[IntArray, IntArray]
) -> Task:
    """Hold out the validation and test rows; all other rows train.

    Args:
        shape: Number of users, number of items.
        validation, test: Numbers of the held-out rows [n], and the candidates of each [n, n_candidates]. The
            candidates contain the target.
    """
    n_users, n_items = shape
    is_training = np.ones(len(rows.items), dtype=bool)
    is_training[validation[0]] = is_training[test[0]] = False
    n_training_before = np.cumsum(is_training) - is_training  # [n] over all sequences
    n_sequences = int(rows.sequence.max(initial=-1)) + 1
    training_length = np.bincount(rows.sequence[is_training], minlength=n_sequences)
    training_start = np.cumsum(training_length) - training_length
    training_items = rows.items[is_training]

    def build_contexts(selected: IntArray) -> Contexts:
        start, length = training_start[rows.sequence[selected]], training_length[rows.sequence[selected]]
        position = n_training_before[selected] - start
        count = length - is_training[selected] if rows.has_baskets else position
        return Contexts(training_items, start, length, position, count, padding=n_items)

    def build_held_out(selected: IntArray, candidates: IntArray) -> HeldOut:
        contexts = build_contexts(selected)
        return HeldOut(rows.users[selected], rows.items[selected], contexts, np.sort(candidates, axis=1))

    instances = Instances(rows.users[is_training], training_items, build_contexts(np.flatnonzero(is_training)))
    return Task(Training(n_users, n_items, instances, build_held_out(*validation)), build_held_out(*test))


def _order_rows(interactions: Interactions, rng: np.random.Generator, equal_times: str) -> IntArray:
    """Order the row numbers sequence after sequence."""
    if equal_times != "file":
        if interactions.times is None or interactions.baskets is not None:
            raise ValueError(
                f"equal_times={equal_times} has no effect: times do not order these interactions; use equal_times=file"
            )
        rows = np.lexsort((interactions.items, interactions.times, interactions.users))
        users, times = interactions.users[rows], interactions.times[rows]
        if not ((users[1:] == users[:-1]) & (times[1:] == times[:-1])).any():
            raise ValueError(
                f"equal_times={equal_times} has no effect: no user has two interactions at the same time; "
                "use equal_times=file"
            )
        return rows
    if interactions.baskets is not None:
        return np.argsort(interactions.baskets, kind="stable")
    if interactions.times is not None:
        return np.lexsort((interactions.times, interactions.users))
    shuffled = rng.permutation(len(interactions))
    return shuffled[np.argsort(interactions.users[shuffled], kind="stable")]
