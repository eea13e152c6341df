"""The split: last item to test, one of the rest to development, contexts, and the candidates to rank among."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from datasets.interactions import IntArray, Interactions
from datasets.task import Contexts, HeldOut, Instances, Task, Training
from datasets.unseen import Unseen

MINIMUM = 3  # a shorter sequence only trains: one item for test, one for development, one to learn from


def split(interactions: Interactions, split_seed: int = 0, n_candidates: int = 100) -> Task:
    """Leave-one-out on each sequence: a user's history, or, where there are baskets, a basket.

    A history is ordered by a *stable* sort on time, file order on equal times; without times it is shuffled; a basket
    keeps its file order. The last item is the test item, one of the others at random the development item. Context of
    any target: in a history, the training items before it; in a basket, all its training items but the target, those
    after it first (see `Contexts`). Candidates: the target and `n_candidates` distinct items that the user has nowhere,
    in no part of the split and in no basket.

    `split_seed` fixes every draw here, and nothing else depends on it. Raises ValueError if a user has fewer than
    `n_candidates` unseen items.
    """
    order_rng, development_rng, candidate_rng = np.random.default_rng(split_seed).spawn(3)
    rows = _ordered_rows(interactions, order_rng)
    users, items = interactions.users[rows], interactions.items[rows]
    in_baskets = interactions.baskets is not None
    sequence = interactions.baskets[rows] if interactions.baskets is not None else users

    size = np.bincount(sequence, minlength=sequence.max(initial=-1) + 1)
    end = np.cumsum(size)
    held = np.flatnonzero(size >= MINIMUM)
    test_rows = end[held] - 1
    development_rows = end[held] - size[held] + development_rng.integers(size[held] - 1)

    is_training = np.ones(len(rows), dtype=bool)
    is_training[test_rows] = is_training[development_rows] = False
    training_before = np.cumsum(is_training) - is_training  # [rows] training rows above, in all sequences
    size_in_training = np.bincount(sequence[is_training], minlength=len(size))
    start_in_training = np.cumsum(size_in_training) - size_in_training
    training_items = items[is_training]

    def contexts(of: IntArray) -> Contexts:
        start, length = start_in_training[sequence[of]], size_in_training[sequence[of]]
        place = training_before[of] - start
        count = length - is_training[of] if in_baskets else place
        return Contexts(training_items, start, length, place, count, padding=interactions.n_items)

    seen = csr_matrix((np.ones(len(users)), (users, items)), shape=(interactions.n_users, interactions.n_items))
    seen.sum_duplicates()
    seen.sort_indices()
    unseen = Unseen(seen)

    def held_out(of: IntArray) -> HeldOut:
        others = unseen.draw_distinct(users[of], n_candidates, candidate_rng)
        candidates = np.sort(np.column_stack([items[of], others]), axis=1)
        return HeldOut(users[of], items[of], contexts(of), candidates)

    training_rows = np.flatnonzero(is_training)
    development, test = held_out(development_rows), held_out(test_rows)
    instances = Instances(users[is_training], training_items, contexts(training_rows))
    return Task(Training(interactions.n_users, interactions.n_items, instances, development), test)


def _ordered_rows(interactions: Interactions, rng: np.random.Generator) -> IntArray:
    """Row numbers, sequence after sequence, each in its order."""
    if interactions.baskets is not None:
        return np.argsort(interactions.baskets, kind="stable")
    if interactions.times is not None:
        return np.lexsort((interactions.times, interactions.users))
    shuffled = rng.permutation(len(interactions))
    return shuffled[np.argsort(interactions.users[shuffled], kind="stable")]
