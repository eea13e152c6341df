"""The leave-one-out split: test items, validation items, contexts and candidates."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from sdmr.datasets.bounds import NonNegativeInt, check_arguments
from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.sampling import NegativeSampler, build_seen_matrix
from sdmr.datasets.task import Contexts, HeldOut, Instances, Task, Training

MIN_SEQUENCE_LENGTH = 3  # one item for test, one for validation, one to train; shorter sequences only train


@check_arguments
def split(
    interactions: Interactions,
    split_seed: int = 0,
    n_candidates: NonNegativeInt = 100,
    test_item: Literal["last", "random"] = "last",
    validation_item: Literal["random", "next-to-last"] = "random",
    equal_times: Literal["file", "item-id"] = "file",
    test_context: Literal["training", "with-validation"] = "training",
) -> Task:
    """Split each sequence leave-one-out: one test item, one validation item, the rest trains.

    A sequence is a basket if the data has baskets, else a user's history. A *stable* sort on time orders histories.
    Histories without times are shuffled. Baskets keep the order of the file. In a history, the context of a target is
    the training items before it. In a basket, it is all other training items, those after the target first (see
    `Contexts`). The candidates of a test item are itself and distinct items that the user has in no part of the split.
    Those of a validation item may hold the user's test items, since they are drawn without knowledge of them. A target
    of a user with fewer unseen items is ranked among those. The sequences of a user with every item only train.

    Args:
        split_seed: Seed of every random draw. Nothing else depends on it.
        n_candidates: Number of unseen items per target, at most.
        test_item: The last item of a sequence, or a random one.
        validation_item: A random one of the other items, or the last of them.
        equal_times: Order of interactions at the same time: as in the file, or by item.
        test_context: What contexts of test items hold: training items, or the validation item of the sequence, too.

    Raises:
        ValueError: An option has no allowed value, or has no effect. An item is in a sequence twice, or a basket
            belongs to two users: a held-out item would stay in the training data.
    """
    if test_context == "with-validation" and test_item != "last":
        raise ValueError(f"test_context=with-validation needs test_item=last, not {test_item}")
    generators = np.random.default_rng(split_seed).spawn(5)
    order_rng, validation_rng, candidate_rng, test_rng, validation_candidate_rng = generators
    ordered = interactions.take(_order_rows(interactions, order_rng, equal_times))
    sampler = build_sampler(ordered)
    n_pairs = ordered.n_users * ordered.n_items - int(sampler.n_unseen.sum())
    if ordered.baskets is not None or n_pairs < len(ordered):
        _check_sequences(ordered)
    users, items = ordered.users, ordered.items

    size = np.bincount(ordered.sequences)
    end = np.cumsum(size)
    has_unseen = np.zeros(len(size), dtype=bool)
    has_unseen[ordered.sequences] = sampler.n_unseen[users] >= min(n_candidates, 1)
    long_sequences = np.flatnonzero((size >= MIN_SEQUENCE_LENGTH) & has_unseen)
    start, last = end[long_sequences] - size[long_sequences], end[long_sequences] - 1
    test_rows = last if test_item == "last" else start + test_rng.integers(size[long_sequences])
    if validation_item == "random":
        validation_rows = start + validation_rng.integers(size[long_sequences] - 1)
        validation_rows += validation_rows >= test_rows  # skip the test item
    else:
        validation_rows = np.where(test_rows == last, last - 1, last)

    # This draw is not used. It leaves the generator where the candidates of every test item have always come from.
    sampler.draw(users[validation_rows], n_candidates, candidate_rng)
    test_negatives = sampler.sample_distinct(users[test_rows], n_candidates, candidate_rng)
    sampler = build_sampler(ordered, excluded_rows=test_rows)
    validation_negatives = sampler.sample_distinct(users[validation_rows], n_candidates, validation_candidate_rng)
    task = assemble_task(
        ordered,
        (validation_rows, np.column_stack([items[validation_rows], validation_negatives])),
        (test_rows, np.column_stack([items[test_rows], test_negatives])),
    )
    return task if test_context == "training" else _add_validation_items(task)


def _add_validation_items(task: Task) -> Task:
    """Give validation items back to the contexts of the later test items."""
    validation, contexts, n_before = task.training.validation, task.test.contexts, np.arange(len(task.test))
    rows = validation.contexts.start + validation.contexts.position
    fields = {name: getattr(contexts, name) + 1 for name in ("length", "position", "count")}
    items = np.insert(contexts.items, rows, validation.targets)
    contexts = replace(contexts, items=items, start=contexts.start + n_before, **fields)
    return replace(task, test=replace(task.test, contexts=contexts))


def build_sampler(ordered: Interactions, excluded_rows: IntArray | None = None) -> NegativeSampler:
    """Build the sampler of the items that a user has in none of the rows.

    Args:
        excluded_rows: Rows that do not count: the test rows, for validation candidates. A recommender sees those. If
            they left out the test item, its absence would reveal it.
    """
    rows = np.arange(len(ordered)) if excluded_rows is None else np.delete(np.arange(len(ordered)), excluded_rows)
    seen = build_seen_matrix(ordered.users[rows], ordered.items[rows], ordered.n_users, ordered.n_items)
    return NegativeSampler(seen, ordered.user_ids)


def _order_rows(interactions: Interactions, rng: np.random.Generator, equal_times: str) -> IntArray:
    """Order the row numbers sequence after sequence."""
    users, times, baskets = interactions.users, interactions.times, interactions.baskets
    if equal_times == "item-id":
        if times is None or baskets is not None or not pd.DataFrame({"user": users, "time": times}).duplicated().any():
            raise ValueError(
                "equal_times=item-id has no effect: no user has two interactions at the same time, or the data has "
                "baskets; use equal_times=file"
            )
        return np.lexsort((interactions.items, times, users))
    if baskets is not None:
        return np.argsort(baskets, kind="stable")
    if times is not None:
        return np.lexsort((times, users))
    shuffled = rng.permutation(len(interactions))
    return shuffled[np.argsort(users[shuffled], kind="stable")]


def _check_sequences(ordered: Interactions) -> None:
    """Raise ValueError unless each sequence has one user and distinct items."""
    users, sequences = ordered.users, ordered.sequences
    is_mixed = (sequences[1:] == sequences[:-1]) & (users[1:] != users[:-1])
    if is_mixed.any():
        row = int(is_mixed.argmax())
        names = " and ".join(str(ordered.user_ids[user]) for user in users[row : row + 2])
        raise ValueError(f"users {names} have a basket together, expected each basket to belong to one user")
    is_repeated = pd.DataFrame({"sequence": sequences, "item": ordered.items}).duplicated().to_numpy()
    if is_repeated.any():
        row = int(is_repeated.argmax())
        user, item = ordered.user_ids[users[row]], ordered.item_ids[ordered.items[row]]
        where = "" if ordered.baskets is None else " in one basket"
        raise ValueError(f"user {user} has item {item} twice{where}, expected distinct ones")


def assemble_task(
    ordered: Interactions, validation: tuple[IntArray, IntArray], test: tuple[IntArray, IntArray]
) -> Task:
    """Hold out the validation and test rows; all other rows train.

    Args:
        ordered: Interactions sequence after sequence, the sequences by number, each in its order.
        validation, test: Numbers of the held-out rows [n], and the candidates of each [n, n_candidates]. The
            candidates contain the target. In a row of fewer candidates, n_items fills the other columns.
    """
    users, items, sequences = ordered.users, ordered.items, ordered.sequences
    is_training = np.ones(len(items), dtype=bool)
    is_training[validation[0]] = is_training[test[0]] = False
    n_training_before = np.cumsum(is_training) - is_training  # [n] over all sequences
    n_sequences = int(sequences.max(initial=-1)) + 1
    training_length = np.bincount(sequences[is_training], minlength=n_sequences)
    training_start = np.cumsum(training_length) - training_length
    training_items = items[is_training]

    def build_contexts(rows: IntArray) -> Contexts:
        start, length = training_start[sequences[rows]], training_length[sequences[rows]]
        position = n_training_before[rows] - start
        count = position if ordered.baskets is None else length - is_training[rows]
        return Contexts(training_items, start, length, position, count, padding=ordered.n_items)

    def build_held_out(rows: IntArray, candidates: IntArray) -> HeldOut:
        candidates = np.sort(candidates, axis=1)
        is_candidate = candidates < ordered.n_items
        n_valid = None if is_candidate.all() else is_candidate.sum(axis=1)
        candidates = np.where(is_candidate, candidates, items[rows, None])
        return HeldOut(users[rows], items[rows], build_contexts(rows), candidates, n_valid)

    instances = Instances(users[is_training], training_items, build_contexts(np.flatnonzero(is_training)))
    training = Training(
        ordered.n_users,
        ordered.n_items,
        instances,
        build_held_out(*validation),
        user_ids=ordered.user_ids,
        item_ids=ordered.item_ids,
        item_titles=ordered.item_titles,
    )
    held_out = build_held_out(*test)
    return Task(training, held_out, _count_exceptions(ordered, held_out))


def _count_exceptions(ordered: Interactions, test: HeldOut) -> dict[str, int]:
    """Count what was dropped, who only trains, and who is ranked among fewer candidates."""
    is_short = np.zeros(len(test), dtype=bool)
    if test.n_candidates is not None:
        is_short = test.n_candidates < test.candidates.shape[1]
    counts = {
        "users_that_only_train": ordered.n_users - len(np.unique(test.users)),
        "baskets_that_only_train": max(0, ordered.n_baskets - len(test)),
        "users_with_every_item": _count_saturated_users(ordered),
        "users_with_fewer_candidates": len(np.unique(test.users[is_short])),
    }
    return {**ordered.dropped, **{reason: count for reason, count in counts.items() if count}}


def _count_saturated_users(ordered: Interactions) -> int:
    """Count the users that have every item."""
    users = np.flatnonzero(np.bincount(ordered.users) >= ordered.n_items)
    return sum(len(np.unique(ordered.items[ordered.users == user])) == ordered.n_items for user in users)
