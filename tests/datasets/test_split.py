from __future__ import annotations

from collections import defaultdict
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.prepare import fingerprint
from sdmr.datasets.split import split
from sdmr.datasets.task import Instances, Task

N_ITEMS = 14
N_CANDIDATES = 3


@st.composite
def histories(draw: st.DrawFn, timed: bool | None = None) -> Interactions:
    """Up to 5 users, each with up to 9 distinct items, rows shuffled; half of the times tie."""
    items = draw(st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=9), min_size=1, max_size=5))
    pairs = [(user, item) for user, own in enumerate(items) for item in own] or [(0, 0)]
    pairs = draw(st.permutations(pairs))
    with_times = draw(st.booleans()) if timed is None else timed
    times = draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)))
    return catalogue(pairs, np.array(times) if with_times else None, None)


@st.composite
def baskets(draw: st.DrawFn) -> Interactions:
    """Up to 4 users with up to 3 baskets each; an item may return in another basket, never in the same."""
    basket = st.lists(st.integers(0, 9), unique=True, min_size=1, max_size=6)
    of_users = draw(st.lists(st.lists(basket, min_size=1, max_size=3), min_size=1, max_size=4))
    rows = [
        (user, item, 10 * user + number)
        for user, own in enumerate(of_users)
        for number, items in enumerate(own)
        for item in items
    ]
    rows = draw(st.permutations(rows))
    return catalogue([row[:2] for row in rows], None, np.array([row[2] for row in rows]))


def catalogue(pairs: list[tuple[int, int]], times: np.ndarray | None, basket_ids: np.ndarray | None) -> Interactions:
    """Interactions over all N_ITEMS items, whether somebody took them or not."""
    users, items = np.array(pairs).T
    user_ids, users = np.unique(users, return_inverse=True)
    if basket_ids is not None:
        basket_ids = np.unique(basket_ids, return_inverse=True)[1]
    return Interactions(users, items, user_ids, np.arange(N_ITEMS), times, basket_ids)


def sequences(data: Interactions) -> dict[int, list[int]]:
    """Each history (or basket) as a list of items: by time if there is one, else by file order."""
    keys = data.users if data.baskets is None else data.baskets
    rows = range(len(data)) if data.times is None else sorted(range(len(data)), key=lambda row: data.times[row])
    found = defaultdict(list)
    for row in rows:
        found[int(keys[row])].append(int(data.items[row]))
    return found


def naive_context(training: list[int], place: int, target: int | None, in_basket: bool) -> list[int]:
    """Most recent last: the training items before `place`; in a basket, those after it come first."""
    before, after = training[:place], training[place:]
    if not in_basket:
        return before
    return [item for item in after if item != target] + before


def padded(context: list[int], length: int) -> list[int]:
    return ([N_ITEMS] * length + context)[-length:]


def rows_of(part: Instances, length: int) -> list[tuple[int, int, tuple[int, ...]]]:
    """(user, target, context) of every instance."""
    contexts = part.contexts.latest(length).tolist()
    return [
        (int(user), int(target), tuple(context))
        for user, target, context in zip(part.users, part.targets, contexts, strict=True)
    ]


def check_against_naive(data: Interactions, length: int, seed: int) -> None:
    """All instances, from loops over the sequences; of the random draws only the development items are taken over."""
    task = split(data, seed, N_CANDIDATES)
    in_basket = data.baskets is not None
    keys = data.users if data.baskets is None else data.baskets
    owner = {int(key): int(user) for key, user in zip(keys, data.users, strict=True)}
    development = iter(task.training.development.targets.tolist())
    expected: dict[str, list[tuple[int, int, tuple[int, ...]]]] = {"training": [], "development": [], "test": []}

    for key, items in sorted(sequences(data).items()):
        training = list(items)
        if len(items) >= 3:
            test_item, development_item = items[-1], next(development)
            assert development_item in items[:-1]
            training = [item for item in items[:-1] if item != development_item]
            for part, item in (("development", development_item), ("test", test_item)):
                place = sum(other in training for other in items[: items.index(item)])
                context = naive_context(training, place, None, in_basket)
                expected[part].append((owner[key], item, tuple(padded(context, length))))
        for place, item in enumerate(training):
            context = naive_context(training, place, item, in_basket)
            expected["training"].append((owner[key], item, tuple(padded(context, length))))

    assert rows_of(task.training.instances, length) == expected["training"]
    assert rows_of(task.training.development, length) == expected["development"]
    assert rows_of(task.test, length) == expected["test"]


@given(histories(timed=True), st.integers(1, 10), st.integers(0, 9))
def test_histories_with_times_against_loops(data: Interactions, length: int, seed: int) -> None:
    check_against_naive(data, length, seed)


@given(baskets(), st.integers(1, 10), st.integers(0, 9))
def test_baskets_against_loops(data: Interactions, length: int, seed: int) -> None:
    check_against_naive(data, length, seed)


@given(histories(timed=False), st.integers(0, 9))
def test_histories_without_times_keep_one_order_throughout(data: Interactions, seed: int) -> None:
    task = split(data, seed, N_CANDIDATES)
    order = defaultdict(list)
    for user, item, context in rows_of(task.training.instances, 9):
        assert list(context) == padded(order[user], 9)
        order[user].append(item)
    for user, item, context in rows_of(task.training.development, 9):
        assert context in [tuple(padded(order[user][:place], 9)) for place in range(len(order[user]) + 1)]
        assert item not in order[user]
    for user, item, context in rows_of(task.test, 9):
        assert list(context) == padded(order[user], 9)
        assert item not in order[user]


def held_out_pairs(task: Task) -> list[tuple[int, int]]:
    parts = (task.training.development, task.test)
    return [(int(user), int(item)) for part in parts for user, item in zip(part.users, part.targets, strict=True)]


@given(st.one_of(histories(), baskets()), st.integers(0, 9))
def test_the_parts_are_the_data_and_nothing_else(data: Interactions, seed: int) -> None:
    task = split(data, seed, N_CANDIDATES)
    training = task.training.instances
    pairs = held_out_pairs(task) + list(zip(training.users.tolist(), training.targets.tolist(), strict=True))
    assert sorted(pairs) == sorted(zip(data.users.tolist(), data.items.tolist(), strict=True))
    long_enough = sum(len(items) >= 3 for items in sequences(data).values())
    assert len(task.test) == len(task.training.development) == long_enough


@given(histories(), st.integers(0, 9))
def test_nothing_held_out_is_in_its_users_training_or_contexts(data: Interactions, seed: int) -> None:
    task = split(data, seed, N_CANDIDATES)
    held_out = set(held_out_pairs(task))
    assert not any(task.training.matrix[user, item] for user, item in held_out)
    for part in (task.training.instances, task.training.development, task.test):
        for user, _, context in rows_of(part, 9):
            assert not held_out & {(user, item) for item in context}


@given(baskets(), st.integers(0, 9))
def test_nothing_held_out_is_in_its_baskets_contexts(data: Interactions, seed: int) -> None:
    task = split(data, seed, N_CANDIDATES)
    parts = (task.training.instances, task.training.development, task.test)
    starts = {int(part.contexts.start[row]): None for part in parts for row in range(len(part))}
    held_out: dict[int, set[int]] = {start: set() for start in starts}  # a basket is known by where it starts
    for part in (task.training.development, task.test):
        for start, item in zip(part.contexts.start.tolist(), part.targets.tolist(), strict=True):
            held_out[start].add(item)
    for part in parts:
        for start, (_, _, context) in zip(part.contexts.start.tolist(), rows_of(part, 9), strict=True):
            assert not held_out[start] & set(context)


@given(st.one_of(histories(), baskets()), st.integers(0, 9))
def test_candidates_are_the_target_and_distinct_items_the_user_has_nowhere(data: Interactions, seed: int) -> None:
    task = split(data, seed, N_CANDIDATES)
    everywhere = defaultdict(set)
    for user, item in zip(data.users.tolist(), data.items.tolist(), strict=True):
        everywhere[user].add(item)
    for part in (task.training.development, task.test):
        assert part.candidates.shape == (len(part), 1 + N_CANDIDATES)
        assert part.candidates[np.arange(len(part)), part.target_columns].tolist() == part.targets.tolist()
        for user, target, row in zip(part.users, part.targets, part.candidates.tolist(), strict=True):
            assert len(set(row)) == 1 + N_CANDIDATES
            assert row == sorted(row)
            assert not (set(row) - {target}) & everywhere[user]
            assert set(row) <= set(range(N_ITEMS))


@given(st.one_of(histories(), baskets()))
def test_the_seed_decides_and_nothing_else(data: Interactions) -> None:
    assert fingerprint(split(data, 5, N_CANDIDATES)) == fingerprint(split(data, 5, N_CANDIDATES))


@given(histories(), st.integers(0, 3))
def test_training_matrix_holds_each_training_pair_once(data: Interactions, seed: int) -> None:
    training = split(data, seed, N_CANDIDATES).training
    expected = np.zeros((data.n_users, data.n_items))
    expected[training.instances.users, training.instances.targets] = 1
    assert (training.matrix.toarray() == expected).all()
    assert training.matrix.dtype == np.float32


def test_training_matrix_is_the_union_over_baskets() -> None:
    data = catalogue([(0, 1), (0, 2), (0, 1), (0, 3)], None, np.array([0, 0, 1, 1]))  # too short to hold anything out
    assert split(data, 0, N_CANDIDATES).training.matrix.toarray()[0, :5].tolist() == [0, 1, 1, 1, 0]


def test_equal_times_keep_the_order_of_the_file() -> None:
    data = catalogue([(0, 5), (0, 9), (0, 2), (0, 7)], np.array([4, 4, 1, 4]), None)
    assert split(data, 0, N_CANDIDATES).test.targets.tolist() == [7]


def many_users(n_users: int, timed: bool) -> Interactions:
    """Every user took items 0, 1, 2, 3, in this order."""
    users, items = np.arange(n_users).repeat(4), np.tile(np.arange(4), n_users)
    times = np.tile(np.arange(4), n_users) if timed else None
    return Interactions(users, items, np.arange(n_users), np.arange(N_ITEMS), times)


def test_without_times_any_item_is_the_last_one_equally_often() -> None:
    targets = split(many_users(4000, timed=False), 0, N_CANDIDATES).test.targets
    assert chisquare(np.bincount(targets, minlength=4)).pvalue > 0.001


def test_any_item_but_the_last_is_the_development_item_equally_often() -> None:
    targets = split(many_users(4000, timed=True), 0, N_CANDIDATES).training.development.targets
    assert chisquare(np.bincount(targets, minlength=3)).pvalue > 0.001


@pytest.mark.parametrize("dev_item", ["random", "next-to-last"])
def test_a_random_test_item_is_any_item_equally_often(dev_item: Literal["random", "next-to-last"]) -> None:
    task = split(many_users(4000, timed=True), 0, N_CANDIDATES, test_item="random", dev_item=dev_item)
    test, development = task.test.targets, task.training.development.targets
    assert chisquare(np.bincount(test, minlength=4)).pvalue > 0.001
    assert (test != development).all()
    if dev_item == "random":
        for item in range(4):
            others = np.bincount(development[test == item], minlength=4)
            assert chisquare(np.delete(others, item)).pvalue > 0.001
    else:
        np.testing.assert_array_equal(development, np.where(test == 3, 2, 3))
    for part in (
        task.training.development,
        task.test,
    ):  # items 0 … 3 in this order: the context is all that came before
        for row, context in enumerate(part.contexts.latest(4).tolist()):
            held_out = (test[row], development[row])
            expected = [item for item in range(part.targets[row]) if item not in held_out]
            assert context == padded(expected, 4)


def test_next_to_last_is_the_last_but_one() -> None:
    task = split(many_users(50, timed=True), 0, N_CANDIDATES, dev_item="next-to-last")
    assert set(task.training.development.targets) == {2}
    assert set(task.test.targets) == {3}


def test_equal_times_may_be_ordered_by_item() -> None:
    data = catalogue([(0, 5), (0, 9), (0, 2), (0, 7)], np.array([4, 4, 1, 4]), None)
    assert split(data, 0, N_CANDIDATES, last_tie="item-id").test.targets.tolist() == [9]


def test_a_choice_without_effect_or_unknown_is_an_error() -> None:
    with pytest.raises(ValueError, match="last_tie=item-id has no effect"):
        split(many_users(5, timed=False), 0, N_CANDIDATES, last_tie="item-id")
    tied_over_users_only = catalogue([(0, 5), (0, 9), (1, 2), (1, 7)], np.array([1, 2, 2, 3]), None)
    with pytest.raises(ValueError, match="last_tie=item-id has no effect: no user has two"):
        split(tied_over_users_only, 0, N_CANDIDATES, last_tie="item-id")
    for name, wrong in (("test_item", "first"), ("dev_item", "last"), ("last_tie", "user")):
        with pytest.raises(ValueError, match=f'^{name} must be ".*" or ".*", not \'{wrong}\'$'):
            split(many_users(5, timed=True), 0, N_CANDIDATES, **{name: wrong})  # type: ignore[arg-type]


def test_another_seed_draws_other_items() -> None:
    data = many_users(50, timed=True)
    assert fingerprint(split(data, 0, N_CANDIDATES)) != fingerprint(split(data, 1, N_CANDIDATES))


def test_too_few_unseen_items_is_an_error() -> None:
    with pytest.raises(ValueError, match="user 0 has 11 unseen items, 12"):
        split(catalogue([(0, 1), (0, 2), (0, 3)], None, None), 0, n_candidates=12)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [("ann", 1, 0), ("ann", 2, 0), ("bob", 2, 1), ("bob", 3, 1), ("bob", 2, 1)],
            "user bob has item 2 twice in one",
        ),
        ([("ann", 1, 0), ("bob", 2, 0), ("bob", 3, 1)], "users ann and bob have a basket together"),
        ([("ann", 1, None), ("bob", 2, None), ("bob", 2, None)], "user bob has item 2 twice, expected"),
    ],
)
def test_what_would_leave_a_held_out_item_among_its_training_items_is_an_error(
    rows: list[tuple[str, int, int | None]], told: str
) -> None:
    users, items, of_basket = (np.array(column) for column in zip(*rows, strict=True))
    with_baskets = None if of_basket.dtype == object else of_basket
    with pytest.raises(ValueError, match=told):
        split(Interactions.from_raw(users, items, baskets=with_baskets), 0, n_candidates=1)


@given(st.one_of(histories(), baskets()))
def test_baskets_are_known_by_the_training_instances(data: Interactions) -> None:
    instances = split(data, 0, N_CANDIDATES).training.instances
    if data.baskets is None:
        assert not instances.in_baskets
    elif instances.contexts.length.max(initial=0) > 1 or data.n_baskets > data.n_users:
        assert instances.in_baskets


def test_the_user_with_too_few_unseen_items_is_named_by_its_own_id() -> None:
    data = Interactions.from_raw(np.array(["ann", "ann", "ann", "bob", "bob"]), np.array([1, 2, 3, 1, 4]))
    with pytest.raises(ValueError, match="user ann has 1 unseen items, 2"):
        split(data, 0, n_candidates=2)


@given(histories(timed=True), st.integers(0, 9))
def test_contexts_of_chosen_rows_are_the_rows_of_all_contexts(data: Interactions, seed: int) -> None:
    part = split(data, seed, N_CANDIDATES).training.instances
    rows = np.random.default_rng(seed).permutation(len(part))[: len(part) // 2]
    assert part.contexts.latest(0, rows).shape == (len(rows), 0)
    assert part.contexts.latest(4, rows).tolist() == part.contexts.latest(4)[rows].tolist()
    assert part.contexts.take(rows).latest(4).tolist() == part.contexts.latest(4)[rows].tolist()
