"""The split, leave-one-out or by time: test items, validation items, contexts and candidates."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from sdmr.datasets.assembly import assemble_task
from sdmr.datasets.bounds import NonNegativeInt, check_arguments
from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.sampling import NegativeSampler, build_seen_matrix
from sdmr.datasets.task import Task
from sdmr.datasets.time_split import TEST_CUT, VALIDATION_CUT, split_by_time
from sdmr.datasets.times import Cut

DEFAULT_CANDIDATES = 100  # also of data with fewer items
MIN_SEQUENCE_LENGTH = 3  # one item for test, one for validation, one to train; shorter sequences only train


@check_arguments
def split(
    interactions: Interactions,
    split_seed: NonNegativeInt = 0,
    n_candidates: NonNegativeInt = DEFAULT_CANDIDATES,
    test_item: Literal["last", "random", "global-time"] = "last",
    validation_item: Literal["random", "next-to-last"] = "random",
    equal_times: Literal["file", "item-id"] = "file",
    test_cut: Cut = TEST_CUT,
    validation_cut: Cut = VALIDATION_CUT,
    retrain: bool = False,
    test_context: Literal["training", "with-validation"] = "training",
    candidate_sampling: Literal["uniform", "popularity"] = "uniform",
) -> Task:
    """Split each sequence leave-one-out: one test item, one validation item, the rest trains.

    A sequence is a basket if the data has baskets, else a user's history. A *stable* sort on time orders histories.
    Histories without times are shuffled. Baskets keep the order of the file. In a history, the context of a target is
    the training items before it. In a basket, it is all other training items, those after the target first (see
    `Contexts`). The candidates of a test item are itself and distinct items that the user has in no part of the split.
    Those of a validation item may hold the user's test items, since they are drawn without knowledge of them. A target
    of a user with fewer unseen items is ranked among those. The sequences of a user with every item only train.

    With `test_item="global-time"` two cuts divide the times of all users. What is before the first cut trains. A user's
    first item between the cuts is the validation item, the first one after the second cut the test item. The context of
    the test item is all trained items that the user has before the second cut. Candidates are trained items that the
    user does not have before the cut. A target that is no trained item is cold: it is ranked after all candidates.
    Users without training items are left out, and so are rows with no part in this.

    Args:
        split_seed: Seed of every random draw. Nothing else depends on it.
        n_candidates: Number of unseen items per target, at most.
        test_item: The last item of a sequence, a random one, or the first one after a cut.
        validation_item: A random one of the other items, or the last of them.
        equal_times: Order of interactions at the same time: as in the file, or by item.
        test_cut: Of global-time: the share of interactions before the cut, or a date such as 1998-03-01.
        validation_cut: The earlier cut, likewise.
        retrain: Whether what is held out for validation trains, too, for a last training before the test.
        test_context: What contexts of test items hold: training items, or the validation item of the sequence, too.
        candidate_sampling: Unseen items are drawn all with the same probability, or one after another in proportion to
            their training interactions (an item without any counts like one with one).

    Raises:
        ValueError: An option has no allowed value, or has no effect. An item is in a sequence twice, or a basket
            belongs to two users: a held-out item would stay in the training data. Times that global-time needs are
            missing or those of each user alone, or nobody has items before and after the cuts.
    """
    if test_item == "global-time" and validation_item != "random":
        raise ValueError(f"validation_item={validation_item} has no effect on test_item=global-time")
    if test_item != "global-time" and (test_cut, validation_cut) != (TEST_CUT, VALIDATION_CUT):
        raise ValueError(f"test_cut and validation_cut have no effect on test_item={test_item}: set global-time")
    if test_context == "with-validation" and test_item != "last":
        raise ValueError(f"test_context=with-validation needs test_item=last, not {test_item}")
    if test_context == "with-validation" and retrain:
        raise ValueError("test_context=with-validation has no effect on retrain=true, whose contexts have all items")
    generators = np.random.default_rng(split_seed).spawn(5)
    order_rng, validation_rng, candidate_rng, test_rng, validation_candidate_rng = generators
    ordered = interactions.take(_order_rows(interactions, order_rng, equal_times))
    sampler = build_sampler(ordered)
    n_pairs = ordered.n_users * ordered.n_items - int(sampler.n_unseen.sum())
    if ordered.baskets is not None or n_pairs < len(ordered):
        _check_sequences(ordered)
    if n_candidates > max(ordered.n_items, DEFAULT_CANDIDATES):
        raise ValueError(f"{n_candidates} candidates: the data has {ordered.n_items} items; expected fewer, or all")
    if test_item == "global-time":
        cuts, is_weighted = (validation_cut, test_cut), candidate_sampling == "popularity"
        return split_by_time(ordered, n_candidates, cuts, retrain, (validation_rng, test_rng), is_weighted)
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

    weights = None
    if candidate_sampling == "popularity":
        is_held_out = np.isin(np.arange(len(ordered)), [test_rows, validation_rows])
        weights = np.maximum(np.bincount(items[~is_held_out], minlength=ordered.n_items), 1.0)

    def draw(sampler: NegativeSampler, rows: IntArray, rng: np.random.Generator) -> IntArray:
        if weights is None:
            return sampler.sample_distinct(users[rows], n_candidates, rng)
        return sampler.sample_by_weight(users[rows], n_candidates, weights, rng)

    # This draw is not used. It leaves the generator where the candidates of every test item have always come from.
    sampler.draw(users[validation_rows], n_candidates, candidate_rng)
    test_negatives = draw(sampler, test_rows, candidate_rng)
    sampler = build_sampler(ordered, excluded_rows=test_rows)
    validation_negatives = draw(sampler, validation_rows, validation_candidate_rng)
    task = assemble_task(
        ordered,
        (validation_rows, np.column_stack([items[validation_rows], validation_negatives])),
        (test_rows, np.column_stack([items[test_rows], test_negatives])),
        retrain=retrain,
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
    ordered.check_distinct()
