"""Make a task from ordered interactions and the rows that are held out."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.task import Contexts, HeldOut, Instances, Task, Training


def assemble_task(
    ordered: Interactions,
    validation: tuple[IntArray, IntArray],
    test: tuple[IntArray, IntArray],
    retrain: bool = False,
    is_training: NDArray[np.bool_] | None = None,
    is_context: NDArray[np.bool_] | None = None,
    ranked_items: IntArray | None = None,
) -> Task:
    """Hold out the validation and test rows; all other rows train.

    Args:
        ordered: Interactions sequence after sequence, the sequences by number, each in its order.
        validation, test: Numbers of the held-out rows [n], and the candidates of each [n, n_candidates]. The
            candidates contain the target, if it is a ranked item. In a row of fewer candidates, n_items fills the
            other columns.
        retrain: Whether the validation rows train, too.
        is_training: [n_rows] the rows that train; None: all but those held out.
        is_context: [n_rows] the rows that contexts of test items consist of; None: those that train.
        ranked_items: The items that may be candidates; None: all.
    """
    users, items = ordered.users, ordered.items
    if is_training is None:
        is_training = np.ones(len(items), dtype=bool)
        is_training[validation[0]] = retrain
        is_training[test[0]] = False
    build_contexts = _index_contexts(ordered, is_training)
    build_test_contexts = build_contexts if is_context is None else _index_contexts(ordered, is_context)

    def build_held_out(rows: IntArray, candidates: IntArray, contexts: Contexts) -> HeldOut:
        candidates = np.sort(candidates, axis=1)
        is_candidate = candidates < ordered.n_items
        n_valid = None if is_candidate.all() else is_candidate.sum(axis=1)
        candidates = np.where(is_candidate, candidates, items[rows, None])
        return HeldOut(users[rows], items[rows], contexts, candidates, n_valid, ranked_items)

    contexts = build_contexts(np.flatnonzero(is_training))
    training = Training(
        ordered.n_users,
        ordered.n_items,
        Instances(users[is_training], contexts.items, contexts),
        build_held_out(*validation, build_contexts(validation[0])),
        user_ids=ordered.user_ids,
        item_ids=ordered.item_ids,
        item_titles=ordered.item_titles,
    )
    held_out = build_held_out(*test, build_test_contexts(test[0]))
    return Task(training, held_out, _count_exceptions(ordered, training.validation, held_out))


def _index_contexts(ordered: Interactions, is_context: NDArray[np.bool_]) -> Callable[[IntArray], Contexts]:
    """Return the function that builds the contexts of rows from the rows of a mask."""
    sequences, items = ordered.sequences, ordered.items[is_context]
    n_before: IntArray = np.cumsum(is_context) - is_context  # [n] over all sequences
    n_sequences = int(sequences.max(initial=-1)) + 1
    lengths = np.bincount(sequences[is_context], minlength=n_sequences)
    starts = np.cumsum(lengths) - lengths

    def build_contexts(rows: IntArray) -> Contexts:
        start, length = starts[sequences[rows]], lengths[sequences[rows]]
        position = n_before[rows] - start
        count = position if ordered.baskets is None else length - is_context[rows]
        return Contexts(items, start, length, position, count, padding=ordered.n_items)

    return build_contexts


def _count_exceptions(ordered: Interactions, validation: HeldOut, test: HeldOut) -> dict[str, int]:
    """Count what was dropped, users without a test item, and those with fewer candidates."""
    is_short = np.zeros(len(test), dtype=bool)
    if test.n_candidates is not None:
        is_short = test.n_candidates + test.is_cold < test.candidates.shape[1]
    counts = {
        "users_that_only_train": ordered.n_users - len(np.unique(test.users)),
        "baskets_that_only_train": max(0, ordered.n_baskets - len(test)),
        "users_with_every_item": _count_saturated_users(ordered),
        "users_with_fewer_candidates": len(np.unique(test.users[is_short])),
        "cold_validation_targets": int(validation.is_cold.sum()),
        "cold_test_targets": int(test.is_cold.sum()),
    }
    return {**ordered.dropped, **{reason: count for reason, count in counts.items() if count}}


def _count_saturated_users(ordered: Interactions) -> int:
    """Count the users that have every item."""
    users = np.flatnonzero(np.bincount(ordered.users) >= ordered.n_items)
    return sum(len(np.unique(ordered.items[ordered.users == user])) == ordered.n_items for user in users)
