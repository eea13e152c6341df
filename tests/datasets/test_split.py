from collections import defaultdict
from copy import deepcopy
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.prepare import compute_fingerprint
from sdmr.datasets.sampling import NegativeSampler
from sdmr.datasets.split import split
from sdmr.datasets.task import Instances, Task

N_ITEMS = 14
N_CANDIDATES = 3


@st.composite
def histories(draw: st.DrawFn, timed: bool | None = None) -> Interactions:
    """Generate up to 5 users with up to 9 distinct items, in random rows."""
    items = draw(st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=9), min_size=1, max_size=5))
    pairs = [(user, item) for user, user_items in enumerate(items) for item in user_items] or [(0, 0)]
    pairs = draw(st.permutations(pairs))
    has_times = draw(st.booleans()) if timed is None else timed
    times = draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)))
    return make_interactions(pairs, np.array(times) if has_times else None, None)


@st.composite
def baskets(draw: st.DrawFn) -> Interactions:
    """Generate up to 4 users with up to 3 baskets each.

    An item may repeat in another basket, never in the same one.
    """
    basket = st.lists(st.integers(0, 9), unique=True, min_size=1, max_size=6)
    user_baskets = draw(st.lists(st.lists(basket, min_size=1, max_size=3), min_size=1, max_size=4))
    rows = [
        (user, item, 10 * user + number)
        for user, user_items in enumerate(user_baskets)
        for number, items in enumerate(user_items)
        for item in items
    ]
    rows = draw(st.permutations(rows))
    return make_interactions([row[:2] for row in rows], None, np.array([row[2] for row in rows]))


def make_interactions(
    pairs: list[tuple[int, int]], times: np.ndarray | None, basket_ids: np.ndarray | None
) -> Interactions:
    """Make interactions over all N_ITEMS items, taken or not."""
    users, items = np.array(pairs).T
    user_ids, users = np.unique(users, return_inverse=True)
    if basket_ids is not None:
        basket_ids = np.unique(basket_ids, return_inverse=True)[1]
    return Interactions(users, items, user_ids, np.arange(N_ITEMS), times, basket_ids)


def get_sequences(data: Interactions) -> dict[int, list[int]]:
    """List the items of each history or basket, by time or else in file order."""
    keys = data.users if data.baskets is None else data.baskets
    rows = range(len(data)) if data.times is None else sorted(range(len(data)), key=lambda row: data.times[row])
    result = defaultdict(list)
    for row in rows:
        result[int(keys[row])].append(int(data.items[row]))
    return result


def compute_naive_context(training: list[int], position: int, target: int | None, is_basket: bool) -> list[int]:
    """List the training items before `position`; in a basket, those after it come first."""
    before, after = training[:position], training[position:]
    if not is_basket:
        return before
    return [item for item in after if item != target] + before


def pad(context: list[int], length: int) -> list[int]:
    return ([N_ITEMS] * length + context)[-length:]


def list_instances(side: Instances, length: int) -> list[tuple[int, int, tuple[int, ...]]]:
    """List (user, target, context) of every instance."""
    contexts = side.contexts.last_n(length).tolist()
    return [
        (int(user), int(target), tuple(context))
        for user, target, context in zip(side.users, side.targets, contexts, strict=True)
    ]


def check_against_loops(data: Interactions, length: int, seed: int) -> None:
    """Compare a split with loops, which take only the validation items from it."""
    task = split(data, seed, N_CANDIDATES)
    is_basket = data.baskets is not None
    keys = data.users if data.baskets is None else data.baskets
    owner = {int(key): int(user) for key, user in zip(keys, data.users, strict=True)}
    validation = iter(task.training.validation.targets.tolist())
    expected: dict[str, list[tuple[int, int, tuple[int, ...]]]] = {"training": [], "validation": [], "test": []}

    for key, items in sorted(get_sequences(data).items()):
        training = list(items)
        if len(items) >= 3:
            test_item, validation_item = items[-1], next(validation)
            assert validation_item in items[:-1]
            training = [item for item in items[:-1] if item != validation_item]
            for side, item in (("validation", validation_item), ("test", test_item)):
                position = sum(other in training for other in items[: items.index(item)])
                context = compute_naive_context(training, position, None, is_basket)
                expected[side].append((owner[key], item, tuple(pad(context, length))))
        for position, item in enumerate(training):
            context = compute_naive_context(training, position, item, is_basket)
            expected["training"].append((owner[key], item, tuple(pad(context, length))))

    assert list_instances(task.training.instances, length) == expected["training"]
    assert list_instances(task.training.validation, length) == expected["validation"]
    assert list_instances(task.test, length) == expected["test"]


@given(histories(timed=True), st.integers(1, 10), st.integers(0, 9))
def test_split_of_histories_with_times_equals_loops(data: Interactions, length: int, seed: int) -> None:
    check_against_loops(data, length, seed)


@given(baskets(), st.integers(1, 10), st.integers(0, 9))
def test_split_of_baskets_equals_loops(data: Interactions, length: int, seed: int) -> None:
    check_against_loops(data, length, seed)


@given(histories(timed=False), st.integers(0, 9))
def test_split_of_histories_without_times_uses_one_order_for_all_sides(data: Interactions, seed: int) -> None:
    task = split(data, seed, N_CANDIDATES)
    order = defaultdict(list)
    for user, item, context in list_instances(task.training.instances, 9):
        assert list(context) == pad(order[user], 9)
        order[user].append(item)
    for user, item, context in list_instances(task.training.validation, 9):
        assert context in [tuple(pad(order[user][:position], 9)) for position in range(len(order[user]) + 1)]
        assert item not in order[user]
    for user, item, context in list_instances(task.test, 9):
        assert list(context) == pad(order[user], 9)
        assert item not in order[user]


def list_held_out_pairs(task: Task) -> list[tuple[int, int]]:
    sides = (task.training.validation, task.test)
    return [(int(user), int(item)) for side in sides for user, item in zip(side.users, side.targets, strict=True)]


@given(st.one_of(histories(), baskets()), st.integers(0, 9))
def test_training_validation_and_test_together_are_the_data(data: Interactions, seed: int) -> None:
    task = split(data, seed, N_CANDIDATES)
    training = task.training.instances
    pairs = list_held_out_pairs(task) + list(zip(training.users.tolist(), training.targets.tolist(), strict=True))
    assert sorted(pairs) == sorted(zip(data.users.tolist(), data.items.tolist(), strict=True))
    long_enough = sum(len(items) >= 3 for items in get_sequences(data).values())
    assert len(task.test) == len(task.training.validation) == long_enough


@given(histories(), st.integers(0, 9))
def test_held_out_items_are_in_no_training_row_or_context_of_their_user(data: Interactions, seed: int) -> None:
    task = split(data, seed, N_CANDIDATES)
    held_out = set(list_held_out_pairs(task))
    assert not any(task.training.matrix[user, item] for user, item in held_out)
    for side in (task.training.instances, task.training.validation, task.test):
        for user, _, context in list_instances(side, 9):
            assert not held_out & {(user, item) for item in context}


@given(baskets(), st.integers(0, 9))
def test_held_out_items_are_in_no_context_of_their_basket(data: Interactions, seed: int) -> None:
    task = split(data, seed, N_CANDIDATES)
    sides = (task.training.instances, task.training.validation, task.test)
    starts = {int(side.contexts.start[row]): None for side in sides for row in range(len(side))}
    held_out: dict[int, set[int]] = {start: set() for start in starts}  # the start identifies a basket
    for side in (task.training.validation, task.test):
        for start, item in zip(side.contexts.start.tolist(), side.targets.tolist(), strict=True):
            held_out[start].add(item)
    for side in sides:
        for start, (_, _, context) in zip(side.contexts.start.tolist(), list_instances(side, 9), strict=True):
            assert not held_out[start] & set(context)


@given(st.one_of(histories(), baskets()), st.integers(0, 9))
def test_candidates_are_the_target_and_distinct_items_that_the_user_never_took(data: Interactions, seed: int) -> None:
    task = split(data, seed, N_CANDIDATES)
    items_taken, items_known = defaultdict(set), defaultdict(set)  # the latter without the user's test items
    for user, item in zip(data.users.tolist(), data.items.tolist(), strict=True):
        items_taken[user].add(item)
    for side in (task.training.instances, task.training.validation):
        for user, item in zip(side.users.tolist(), side.targets.tolist(), strict=True):
            items_known[user].add(item)
    for held_out, excluded in ((task.training.validation, items_known), (task.test, items_taken)):
        assert held_out.candidates.shape == (len(held_out), 1 + N_CANDIDATES)
        assert (
            held_out.candidates[np.arange(len(held_out)), held_out.target_columns].tolist() == held_out.targets.tolist()
        )
        for user, target, row in zip(held_out.users, held_out.targets, held_out.candidates.tolist(), strict=True):
            assert len(set(row)) == 1 + N_CANDIDATES
            assert row == sorted(row)
            assert not (set(row) - {target}) & excluded[user]
            assert set(row) <= set(range(N_ITEMS))


@given(histories(timed=True), st.integers(0, 9))
def test_another_test_item_changes_nothing_that_a_recommender_sees(data: Interactions, seed: int) -> None:
    items = data.items.copy()
    for user in np.unique(data.users):
        (rows,) = np.nonzero(data.users == user)
        last = rows[np.argsort(data.times[rows], kind="stable")[-1]]
        unseen = sorted(set(range(N_ITEMS)) - set(data.items[rows].tolist()))
        if len(rows) >= 3:
            items[last] = unseen[seed % len(unseen)]
    first, second = (split(one, seed, N_CANDIDATES) for one in (data, replace(data, items=items)))
    assert (first.test.targets != second.test.targets).all()
    for name in ("users", "targets", "candidates"):
        np.testing.assert_array_equal(
            getattr(first.training.validation, name), getattr(second.training.validation, name)
        )
    assert list_instances(first.training.instances, 9) == list_instances(second.training.instances, 9)


def test_a_test_item_is_a_validation_candidate_as_often_as_any_unseen_item() -> None:
    n_users = 4000
    rng = np.random.default_rng(0)
    pairs = [(user, item) for user in range(n_users) for item in rng.choice(N_ITEMS, 4, replace=False).tolist()]
    task = split(make_interactions(pairs, np.tile(np.arange(4), n_users), None), n_candidates=N_CANDIDATES)
    is_candidate = (task.training.validation.candidates == task.test.targets[:, None]).any(axis=1)
    unseen = N_ITEMS - 3  # the test item is among them
    assert binomtest(int(is_candidate.sum()), n_users, N_CANDIDATES / unseen).pvalue > 0.001


@given(st.one_of(histories(), baskets()))
def test_equal_seeds_give_equal_tasks(data: Interactions) -> None:
    assert compute_fingerprint(split(data, 5, N_CANDIDATES)) == compute_fingerprint(split(data, 5, N_CANDIDATES))


@given(histories(), st.integers(0, 3))
def test_training_matrix_has_each_training_pair_once(data: Interactions, seed: int) -> None:
    training = split(data, seed, N_CANDIDATES).training
    expected = np.zeros((data.n_users, data.n_items))
    expected[training.instances.users, training.instances.targets] = 1
    assert (training.matrix.toarray() == expected).all()
    assert training.matrix.dtype == np.float32


def test_training_matrix_is_the_union_over_baskets() -> None:
    data = make_interactions(
        [(0, 1), (0, 2), (0, 1), (0, 3)], None, np.array([0, 0, 1, 1])
    )  # too short to hold anything out
    assert split(data, 0, N_CANDIDATES).training.matrix.toarray()[0, :5].tolist() == [0, 1, 1, 1, 0]


def test_equal_times_keep_the_order_of_the_file() -> None:
    data = make_interactions([(0, 5), (0, 9), (0, 2), (0, 7)], np.array([4, 4, 1, 4]), None)
    assert split(data, 0, N_CANDIDATES).test.targets.tolist() == [7]


def make_users(n_users: int, timed: bool) -> Interactions:
    """Make users who took items 0, 1, 2, 3, in this order."""
    users, items = np.arange(n_users).repeat(4), np.tile(np.arange(4), n_users)
    times = np.tile(np.arange(4), n_users) if timed else None
    return Interactions(users, items, np.arange(n_users), np.arange(N_ITEMS), times)


def test_every_item_without_times_is_the_test_item_equally_often() -> None:
    targets = split(make_users(4000, timed=False), 0, N_CANDIDATES).test.targets
    assert chisquare(np.bincount(targets, minlength=4)).pvalue > 0.001


def test_every_item_but_the_last_is_the_validation_item_equally_often() -> None:
    targets = split(make_users(4000, timed=True), 0, N_CANDIDATES).training.validation.targets
    assert chisquare(np.bincount(targets, minlength=3)).pvalue > 0.001


@pytest.mark.parametrize("validation_item", ["random", "next-to-last"])
def test_every_item_is_a_random_test_item_equally_often(validation_item: Literal["random", "next-to-last"]) -> None:
    task = split(make_users(4000, timed=True), 0, N_CANDIDATES, test_item="random", validation_item=validation_item)
    test, validation = task.test.targets, task.training.validation.targets
    assert chisquare(np.bincount(test, minlength=4)).pvalue > 0.001
    assert (test != validation).all()
    if validation_item == "random":
        for item in range(4):
            others = np.bincount(validation[test == item], minlength=4)
            assert chisquare(np.delete(others, item)).pvalue > 0.001
    else:
        np.testing.assert_array_equal(validation, np.where(test == 3, 2, 3))
    for side in (
        task.training.validation,
        task.test,
    ):  # items 0 … 3 in this order: the context is all that came before
        for row, context in enumerate(side.contexts.last_n(4).tolist()):
            held_out = (test[row], validation[row])
            expected = [item for item in range(side.targets[row]) if item not in held_out]
            assert context == pad(expected, 4)


def test_next_to_last_validation_item_is_the_item_before_the_test_item() -> None:
    task = split(make_users(50, timed=True), 0, N_CANDIDATES, validation_item="next-to-last")
    assert set(task.training.validation.targets) == {2}
    assert set(task.test.targets) == {3}


def test_equal_times_are_ordered_by_item_on_request() -> None:
    data = make_interactions([(0, 5), (0, 9), (0, 2), (0, 7)], np.array([4, 4, 1, 4]), None)
    assert split(data, 0, N_CANDIDATES, equal_times="item-id").test.targets.tolist() == [9]


def test_an_unknown_option_or_one_without_effect_is_an_error() -> None:
    with pytest.raises(ValueError, match="equal_times=item-id has no effect"):
        split(make_users(5, timed=False), 0, N_CANDIDATES, equal_times="item-id")
    tied_over_users_only = make_interactions([(0, 5), (0, 9), (1, 2), (1, 7)], np.array([1, 2, 2, 3]), None)
    with pytest.raises(ValueError, match="equal_times=item-id has no effect: no user has two"):
        split(tied_over_users_only, 0, N_CANDIDATES, equal_times="item-id")
    with pytest.raises(ValueError, match="split_seed must be ≥ 0, not -1"):
        split(make_users(5, timed=True), -1)
    with pytest.raises(ValueError, match="n_candidates must be ≥ 0, not -1"):
        split(make_users(5, timed=True), n_candidates=-1)
    for name, wrong in (("test_item", "first"), ("validation_item", "last"), ("equal_times", "user")):
        with pytest.raises(ValueError, match=f"split: {name} must be '.*' or '.*', not '{wrong}'$"):
            split(make_users(5, timed=True), 0, N_CANDIDATES, **{name: wrong})  # type: ignore[arg-type]


def test_another_seed_gives_another_task() -> None:
    data = make_users(50, timed=True)
    assert compute_fingerprint(split(data, 0, N_CANDIDATES)) != compute_fingerprint(split(data, 1, N_CANDIDATES))


def test_a_user_with_few_unseen_items_is_ranked_among_all_of_them() -> None:
    few, many = [(0, item) for item in range(N_ITEMS - 2)], [(1, item) for item in range(3)]
    task = split(make_interactions([*few, *many], np.arange(len(few + many)), None), 0, n_candidates=5)
    (target, other) = task.test.targets.tolist()
    assert task.test.candidates.shape == (2, 6)
    assert task.test.n_candidates is not None
    assert task.test.n_candidates.tolist() == [3, 6]
    assert task.test.candidates[0].tolist() == [*sorted([target, 12, 13]), target, target, target]
    assert sorted(set(task.test.candidates[1])) == task.test.candidates[1].tolist()
    assert other in task.test.candidates[1]
    assert task.test.target_columns.tolist() == [0, task.test.candidates[1].tolist().index(other)]
    assert task.training.validation.n_candidates is not None
    assert task.training.validation.n_candidates.tolist() == [4, 6]  # the test item is like any other there
    assert task.test.take(np.array([1])).n_candidates == [6]
    assert task.report == {"users_with_fewer_candidates": 1}


@given(histories(timed=True), st.integers(0, 9))
def test_one_user_more_with_few_unseen_items_changes_no_candidates_without_it(data: Interactions, seed: int) -> None:
    task = split(data, seed, n_candidates=N_CANDIDATES)
    assert task.test.n_candidates is None
    assert task.training.validation.n_candidates is None


def test_a_user_with_every_item_only_trains_and_is_counted() -> None:
    rows = [(0, item) for item in range(N_ITEMS)] + [(1, item) for item in range(4)] + [(2, 0)]
    task = split(make_interactions(rows, np.arange(len(rows)), None), 0, n_candidates=5)
    assert task.test.users.tolist() == task.training.validation.users.tolist() == [1]
    assert (task.training.instances.users == 0).sum() == N_ITEMS
    assert task.report == {"users_that_only_train": 2, "users_with_every_item": 1}


def test_raw_ids_titles_and_dropped_rows_travel_with_the_task() -> None:
    data = Interactions.from_raw(np.array(["b", "b", "b", "a"]), np.array([5, 7, 6, 9]))
    data = replace(data, item_titles=np.array(["five", "six", "seven", "nine"], dtype=object), dropped={"rows": 4})
    task = split(data, 0, n_candidates=1)
    assert task.training.user_ids is not None
    assert task.training.item_ids is not None
    assert task.training.item_titles is not None
    assert task.training.user_ids.tolist() == ["a", "b"]
    assert task.training.item_ids.tolist() == [5, 6, 7, 9]
    assert task.training.item_titles.tolist() == ["five", "six", "seven", "nine"]
    assert task.report == {"rows": 4, "users_that_only_train": 1}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("ann", 1, 0), ("ann", 2, 0), ("bob", 2, 1), ("bob", 3, 1), ("bob", 2, 1)],
            "user bob has item 2 twice in one",
        ),
        ([("ann", 1, 0), ("bob", 2, 0), ("bob", 3, 1)], "users ann and bob have a basket together"),
        ([("ann", 1, None), ("bob", 2, None), ("bob", 2, None)], "user bob has item 2 twice, expected"),
    ],
)
def test_repeated_items_and_shared_baskets_are_errors(rows: list[tuple[str, int, int | None]], message: str) -> None:
    users, items, basket_ids = (np.array(column) for column in zip(*rows, strict=True))
    optional_baskets = None if basket_ids.dtype == object else basket_ids
    with pytest.raises(ValueError, match=message):
        split(Interactions.from_raw(users, items, baskets=optional_baskets), 0, n_candidates=1)


@given(st.one_of(histories(), baskets()))
def test_has_baskets_tells_baskets_from_histories(data: Interactions) -> None:
    instances = split(data, 0, N_CANDIDATES).training.instances
    if data.baskets is None:
        assert not instances.has_baskets
    elif instances.contexts.length.max(initial=0) > 1 or data.n_baskets > data.n_users:
        assert instances.has_baskets


@given(histories(timed=True), st.integers(0, 9))
def test_contexts_of_selected_rows_equal_rows_of_all_contexts(data: Interactions, seed: int) -> None:
    side = split(data, seed, N_CANDIDATES).training.instances
    rows = np.random.default_rng(seed).permutation(len(side))[: len(side) // 2]
    assert side.contexts.last_n(0, rows).shape == (len(rows), 0)
    assert side.contexts.last_n(4, rows).tolist() == side.contexts.last_n(4)[rows].tolist()
    assert side.contexts.take(rows).last_n(4).tolist() == side.contexts.last_n(4)[rows].tolist()


def test_models_cannot_write_to_a_task_but_to_a_copy() -> None:
    task = split(make_users(5, timed=True), 0, N_CANDIDATES)
    training = task.training
    arrays = (training.instances.targets, training.matrix.data, training.validation.candidates, task.test.users)
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    training.matrix.setdiag(9)  # makes new arrays: those of this object alone
    training.matrix.data = np.zeros(1)
    assert training.matrix.max() == 1
    copy = deepcopy(training)
    copy.instances.targets[:] = 0
    copy.matrix.data[:] = 0
    assert training.matrix.sum() > 0


def test_popular_items_are_candidates_more_often_and_never_seen() -> None:
    rng = np.random.default_rng(0)
    chance = np.arange(1, 41) / np.arange(1, 41).sum()
    pairs = [(user, item) for user in range(300) for item in rng.choice(40, 6, replace=False, p=chance)]
    users, items = np.array(pairs).T
    data = Interactions.from_raw(users, items)
    uniform, popular = (split(data, n_candidates=5, candidate_sampling=how) for how in ("uniform", "popularity"))
    for sides in ((uniform.test, popular.test), (uniform.training.validation, popular.training.validation)):
        for side in sides:
            assert side.candidates.shape == (300, 6)
            _ = side.target_columns
        counts = np.bincount(users, minlength=300)
        assert (counts == 6).all()
        popularity = popular.training.matrix.sum(axis=0).A1
        means = [popularity[side.candidates[side.candidates != side.targets[:, None]]].mean() for side in sides]
        assert means[1] > 1.3 * means[0]
    for user, row, target in zip(popular.test.users, popular.test.candidates, popular.test.targets, strict=True):
        assert not set(row.tolist()) & set(items[users == user].tolist()) - {int(target)}
    for name in ("users", "targets"):
        np.testing.assert_array_equal(getattr(uniform.test, name), getattr(popular.test, name))


def test_more_candidates_than_items_are_an_error() -> None:
    data = Interactions.from_raw(np.zeros(5, dtype=np.int64), np.arange(5))
    assert split(data, n_candidates=100).report["users_with_every_item"] == 1
    with pytest.raises(ValueError, match=r"^101 candidates: the data has 5 items; expected fewer, or all$"):
        split(data, n_candidates=101)


@given(histories(timed=True), st.sampled_from(["random", "next-to-last"]))
def test_contexts_with_validation_are_all_items_before_the_test_item(
    interactions: Interactions, validation_item: Literal["random", "next-to-last"]
) -> None:
    rest, context = (
        split(interactions, 0, N_CANDIDATES, validation_item=validation_item, test_context=which)  # type: ignore[arg-type]
        for which in ("training", "with-validation")
    )
    histories: dict[int, list[int]] = defaultdict(list)
    for row in np.lexsort((interactions.times, interactions.users)):
        histories[int(interactions.users[row])].append(int(interactions.items[row]))
    test = context.test
    for user, target, row in zip(test.users.tolist(), test.targets.tolist(), test.contexts.last_n(9), strict=True):
        assert [item for item in row.tolist() if item != N_ITEMS] + [target] == histories[user]
    swapped = replace(context, test=rest.test)  # nothing but the contexts of test items differs
    assert compute_fingerprint(swapped) == compute_fingerprint(rest)
    assert (compute_fingerprint(context) == compute_fingerprint(rest)) == (len(test) == 0)


@given(baskets())
def test_contexts_with_validation_are_all_other_items_of_a_basket(interactions: Interactions) -> None:
    rest, context = (split(interactions, 0, 2, test_context=which) for which in ("training", "with-validation"))  # type: ignore[arg-type]
    without, items = (task.test.contexts.last_n(9).tolist() for task in (rest, context))
    for row, others, item in zip(items, without, context.training.validation.targets.tolist(), strict=True):
        assert sorted(row) == sorted([*others, item][1:])


def test_contexts_with_validation_need_the_last_item_for_the_test() -> None:
    with pytest.raises(ValueError, match=r"^test_context=with-validation needs test_item=last, not random$"):
        split(make_users(5, timed=True), test_item="random", test_context="with-validation")


def capture_weights(monkeypatch: pytest.MonkeyPatch) -> list[list[float]]:
    captured, sample = [], NegativeSampler.sample_by_weight

    def remember(self: NegativeSampler, users: Any, n: int, weights: Any, rng: Any) -> Any:
        captured.append(weights.tolist())
        return sample(self, users, n, weights, rng)

    monkeypatch.setattr(NegativeSampler, "sample_by_weight", remember)
    return captured


def make_random_histories(seed: int, n_users: int = 8, n_items: int = 20) -> Interactions:
    rng = np.random.default_rng(seed)
    pairs = [(user, item) for user in range(n_users) for item in rng.choice(n_items, 6, replace=False)]
    users, items = np.array(pairs).T
    times = rng.permutation(len(users))
    return Interactions(users, items, np.arange(n_users), np.arange(n_items), times)


def test_popularity_is_that_of_training_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:

    captured = capture_weights(monkeypatch)
    training = split(make_random_histories(0), n_candidates=3, candidate_sampling="popularity").training
    counts = np.bincount(training.instances.targets, minlength=training.n_items)
    assert (counts == 0).any()
    assert captured == [np.maximum(counts, 1).tolist()] * 2


@pytest.mark.parametrize("seed", range(10))
def test_another_test_item_changes_no_popular_validation_candidate(seed: int) -> None:
    data = make_random_histories(seed)
    last = np.array([np.flatnonzero(data.users == user)[data.times[data.users == user].argmax()] for user in range(8)])
    items = data.items.copy()
    for row in last:
        items[row] = np.setdiff1d(np.arange(data.n_items), data.items[data.users == data.users[row]])[0]
    first, other = (
        split(one, n_candidates=3, candidate_sampling="popularity") for one in (data, replace(data, items=items))
    )
    assert (first.test.targets != other.test.targets).all()
    for name in ("targets", "candidates"):
        sides = [getattr(task.training.validation, name) for task in (first, other)]
        np.testing.assert_array_equal(*sides)


def test_baskets_that_only_train_are_counted() -> None:
    rows = [(user, item, 3 * user + number) for user in range(4) for number in range(3) for item in range(2 + number)]
    users, items, baskets = np.array([*rows, (4, 9, 99)]).T
    report = split(Interactions.from_raw(users, items, baskets=baskets), n_candidates=1).report
    assert (report["baskets_that_only_train"], report["users_that_only_train"]) == (5, 1)
