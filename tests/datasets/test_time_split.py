"""The split by time, against loops; nothing after a cut is known before it. Retraining on validation items."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.prepare import compute_fingerprint
from sdmr.datasets.split import split
from sdmr.datasets.task import HeldOut, Instances, Task
from sdmr.datasets.times import UNITS, find_cut, find_unit
from tests.datasets.test_split import (
    N_CANDIDATES,
    baskets,
    capture_weights,
    compute_naive_context,
    get_sequences,
    histories,
    list_instances,
    make_random_histories,
    pad,
)

N_ITEMS, LENGTH = 14, 20
DAY = 86_400
Row = tuple[int, int, tuple[int, ...]]  # user, item, context


@st.composite
def timed(draw: st.DrawFn) -> Interactions:
    """Generate up to 5 users with up to 9 distinct items at some of 10 times, in random rows."""
    items = draw(st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=9), min_size=2, max_size=5))
    pairs = draw(st.permutations([(10 * user, 7 * item) for user, row in enumerate(items) for item in row]))
    assume(pairs)
    times = draw(st.lists(st.integers(0, 9), min_size=len(pairs), max_size=len(pairs)))
    users, taken = np.array(pairs).T
    return Interactions.from_raw(users, taken, np.array(times))


cuts = st.tuples(st.integers(1, 9), st.integers(1, 9)).map(lambda pair: (min(pair) / 10, max(pair) / 10))


@dataclass(frozen=True)
class NaiveSplit:
    """The parts of a split by time, in raw ids."""

    training: list[Row]
    validation: list[Row]
    test: list[Row]
    trained: set[int]
    known: dict[str, dict[int, set[int]]]  # of each held-out side: what each user has before its cut


def split_naively(data: Interactions, validation_cut: float, test_cut: float, retrain: bool) -> NaiveSplit | None:
    """Split by loops; None where nothing can be held out, or users follow one another."""
    assert data.times is not None
    columns = (data.user_ids[data.users], data.item_ids[data.items], data.times)
    rows = sorted(zip(*(column.tolist() for column in columns), strict=True), key=lambda row: row[2])
    spans = {user: [time for other, _, time in rows if other == user] for user, _, _ in rows}
    overlap = any(
        min(times) <= max(spans[other]) and min(spans[other]) <= max(times)
        for user, times in spans.items()
        for other in spans
        if other != user
    )
    first, second = (rows[int(cut * len(rows))][2] for cut in (validation_cut, test_cut))
    if first >= second or not (overlap or len(spans) == 1):
        return None
    histories = {
        user: [(item, 0 if time < first else 1 if time < second else 2) for u, item, time in rows if u == user]
        for user in sorted(spans)
    }
    histories = {user: history for user, history in histories.items() if history[0][1] == 0}
    limit = 2 if retrain else 1
    trained = {item for history in histories.values() for item, period in history if period < limit}
    parts: dict[int, list[Row]] = {0: [], 1: [], 2: []}
    known: dict[str, dict[int, set[int]]] = {"validation": {}, "test": {}}
    for user, history in histories.items():
        for number, (item, period) in enumerate(history):
            before = tuple(other for other, earlier in history[:number] if earlier < limit)
            if period < limit:
                parts[0].append((user, item, before))
            if period and history[number - 1][1] < period:
                if period == 2:
                    before = tuple(other for other, earlier in history[:number] if other in trained and earlier < 2)
                taken = {other for other, earlier in history if earlier < period}
                known["test" if period == 2 else "validation"][user] = taken
                if trained - taken - {item}:
                    parts[period].append((user, item, before))
    periods = {period for history in histories.values() for _, period in history}
    return NaiveSplit(*parts.values(), trained, known) if {1, 2} <= periods else None


def split_by_time(
    data: Interactions, validation_cut: float, test_cut: float, retrain: bool, seed: int = 0, **options: str
) -> Task:
    cuts = {"validation_cut": validation_cut, "test_cut": test_cut}
    return split(data, seed, N_CANDIDATES, test_item="global-time", retrain=retrain, **cuts, **options)


def list_rows(task: Task, side: Instances) -> list[Row]:
    """List user, item and context of each instance, in raw ids."""
    users, items = task.training.user_ids, task.training.item_ids
    contexts = side.contexts.last_n(LENGTH)
    return [
        (int(users[user]), int(items[item]), tuple(items[context[context < len(items)]].tolist()))
        for user, item, context in zip(side.users, side.targets, contexts, strict=True)
    ]


def list_candidates(task: Task, side: HeldOut) -> list[list[int]]:
    width = side.candidates.shape[1]
    numbers = np.full(len(side), width) if side.n_candidates is None else side.n_candidates
    items = task.training.item_ids
    return [items[row[:number]].tolist() for row, number in zip(side.candidates, numbers, strict=True)]


@given(timed(), cuts, st.booleans(), st.sampled_from(["uniform", "popularity"]))
def test_split_by_time_equals_loops(
    data: Interactions, pair: tuple[float, float], retrain: bool, candidate_sampling: str
) -> None:
    naive = split_naively(data, *pair, retrain)
    if naive is None:
        with pytest.raises(ValueError, match=r"cut|each user begins"):
            split_by_time(data, *pair, retrain)
        return
    task = split_by_time(data, *pair, retrain, candidate_sampling=candidate_sampling)
    assert list_rows(task, task.training.instances) == naive.training
    assert list_rows(task, task.training.validation) == naive.validation
    assert list_rows(task, task.test) == naive.test
    for name, side in (("validation", task.training.validation), ("test", task.test)):
        rows, known = list_rows(task, side), naive.known[name]
        for (user, target, _), row, is_cold in zip(rows, list_candidates(task, side), side.is_cold, strict=True):
            others = set(row) - {target}
            assert others <= naive.trained - known[user]
            assert len(others) == min(N_CANDIDATES, len(naive.trained - known[user] - {target}))
            assert len(row) == len(set(row)) == len(others) + (target in naive.trained)
            assert is_cold == (target not in naive.trained)
        assert side.candidates[np.arange(len(side)), side.target_columns].tolist() == side.targets.tolist()
        assert task.report.get(f"cold_{name}_targets", 0) == side.is_cold.sum()
    seen = [set(task.training.item_ids[row.indices].tolist()) for row in task.seen]
    for user, target, _ in naive.test:
        number = int(np.searchsorted(task.training.user_ids, user))
        assert seen[number] & naive.trained == (naive.known["test"][user] | {target}) & naive.trained


@settings(max_examples=40)
@given(timed(), cuts, st.booleans(), st.integers(0, 9))
def test_events_after_the_cut_change_nothing_before_it(
    data: Interactions, pair: tuple[float, float], retrain: bool, seed: int
) -> None:
    naive = split_naively(data, *pair, retrain)
    assume(naive is not None)
    task = split_by_time(data, *pair, retrain, seed)
    assert data.times is not None
    is_after = data.times >= find_cut(data.times, pair[1])
    users = data.users.tolist()
    first_after = {users[row]: row for row in reversed(np.argsort(data.times, kind="stable").tolist()) if is_after[row]}
    items = data.item_ids[data.items].copy()
    is_later = is_after & ~np.isin(np.arange(len(data)), [*first_after.values()])
    items[is_later] += 1  # items that nobody had before
    changed = split_by_time(make(data, items), *pair, retrain, seed)
    for side in ("test", "validation"):
        assert describe(changed, side) == describe(task, side)
    items[is_after] += 1000  # every target after the cut is another, unknown item
    other = split_by_time(make(data, items), *pair, retrain, seed)
    assert list_rows(other, other.training.instances) == list_rows(task, task.training.instances)
    assert describe(other, "validation") == describe(task, "validation")
    assert other.test.is_cold.all()


def make(data: Interactions, items: np.ndarray) -> Interactions:
    return Interactions.from_raw(data.user_ids[data.users], items, data.times)


def describe(task: Task, name: str) -> tuple[list[Row], list[list[int]]]:
    side = task.test if name == "test" else task.training.validation
    return list_rows(task, side), list_candidates(task, side)


def make_history(rows: Sequence[tuple[int, int, int]]) -> Interactions:
    return Interactions.from_raw(*(np.array(column) for column in zip(*rows, strict=True)))


ROWS = [(1, 5, 0), (2, 6, 1), (1, 6, 2), (2, 7, 3), (1, 7, 4), (2, 5, 5), (1, 8, 6), (2, 9, 7), (1, 9, 8), (2, 8, 9)]


def test_dates_cut_times_of_any_unit_alike() -> None:
    rows = [(user, item, (10_000 + time) * DAY) for user, item, time in ROWS]
    options = {"test_item": "global-time", "validation_cut": "1997-05-22", "test_cut": "1997-05-25T00:00"}
    tasks = []
    for name, (_, ticks) in UNITS.items():
        data = make_history([(user, item, round(time / 60 * ticks)) for user, item, time in rows])
        assert find_unit(data.times) == name
        tasks.append(split(data, n_candidates=0, **options))
    assert len({compute_fingerprint(task) for task in tasks}) == 1
    assert list_rows(tasks[0], tasks[0].training.validation) == [(1, 7, (5, 6)), (2, 7, (6,))]
    assert [row[:2] for row in list_rows(tasks[0], tasks[0].test)] == [(1, 8), (2, 9)]


def test_popular_trained_items_are_drawn_more_often() -> None:
    rng = np.random.default_rng(0)
    chance = np.arange(1, 41) / np.arange(1, 41).sum()
    users, items = np.array([(u, item) for u in range(300) for item in rng.choice(40, 6, replace=False, p=chance)]).T
    data = Interactions.from_raw(users, items, np.tile(np.arange(6), 300))
    means = []
    for sampling in ("uniform", "popularity"):
        task = split(data, 0, 5, "global-time", validation_cut=0.6, test_cut=0.8, candidate_sampling=sampling)
        popularity = task.training.matrix.sum(axis=0).A1
        for side in (task.training.validation, task.test):
            means.append(popularity[side.candidates[side.candidates != side.targets[:, None]]].mean())
    assert means[2] > 1.2 * means[0]
    assert means[3] > 1.2 * means[1]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"times": None}, {}, "needs histories with times, and this data has no times: use last or random"),
        ({"baskets": np.arange(10) % 2}, {}, "this data has baskets: use last or random"),
        ({"times": np.array([0, 5, 1, 6, 2, 7, 3, 8, 4, 9])}, {}, "each user begins when another has ended"),
        ({}, {"test_cut": 0.5}, "validation_cut=0.8 is not before test_cut=0.5: set an earlier one"),
        ({}, {"test_cut": 1.5}, "test_cut must be > 0 and < 1 or text, not 1.5"),
        ({}, {"test_cut": "1998-03-01"}, "'1998-03-01' is a date, but the times are no dates"),
        ({"times": np.arange(10) * DAY * 2000}, {"test_cut": "March"}, "'March' is no date, expected one such as"),
        ({}, {"validation_item": "next-to-last"}, "validation_item=next-to-last has no effect on test_item=global"),
        ({}, {"test_item": "last", "test_cut": 0.7}, "no effect on test_item=last: set global-time"),
        (
            {"times": np.array([0, 4, 1, 6, 2, 7, 3, 8, 4, 9])},
            {"validation_cut": 0.5, "test_cut": 0.6},
            "no user has interactions before validation_cut=0.5 and after test_cut=0.6: set other cuts",
        ),
    ],
)
def test_data_or_option_that_no_cut_fits_is_an_error(change: dict, options: dict, message: str) -> None:
    data = replace(make_history(ROWS), **change)
    with pytest.raises(ValueError, match=message):
        split(data, n_candidates=1, **({"test_item": "global-time"} | options))


@given(st.one_of(histories(timed=True), baskets()), st.integers(1, 10), st.integers(0, 9))
def test_retraining_adds_the_validation_items_to_training_and_to_contexts_alone(
    data: Interactions, length: int, seed: int
) -> None:
    task, retrained = (split(data, seed, N_CANDIDATES, retrain=value) for value in (False, True))
    for side in (lambda task: task.test, lambda task: task.training.validation):
        for name in ("users", "targets", "candidates"):
            np.testing.assert_array_equal(getattr(side(task), name), getattr(side(retrained), name))
    tested = dict(zip(task.test.contexts.start.tolist(), task.test.targets.tolist(), strict=True))
    assert len(tested) == len(task.test)
    expected_training, expected_test = [], []
    keys = data.users if data.baskets is None else data.baskets
    owner = dict(zip(keys.tolist(), data.users.tolist(), strict=True))
    for key, items in sorted(get_sequences(data).items()):
        training = items[:-1] if len(items) >= 3 else items
        for position, item in enumerate(training):
            context = compute_naive_context(training, position, item, data.baskets is not None)
            expected_training.append((owner[key], item, tuple(pad(context, length))))
        if len(items) >= 3:
            context = compute_naive_context(training, len(training), None, data.baskets is not None)
            expected_test.append((owner[key], items[-1], tuple(pad(context, length))))
    assert list_instances(retrained.training.instances, length) == expected_training
    assert list_instances(retrained.test, length) == expected_test


@pytest.mark.parametrize("retrain", [False, True])
def test_popularity_of_a_split_by_time_is_that_before_the_cut(retrain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    captured, options = capture_weights(monkeypatch), {"validation_cut": 0.6, "test_cut": 0.8, "retrain": retrain}
    task = split(make_random_histories(0), 0, 3, "global-time", candidate_sampling="popularity", **options)
    _, counts = np.unique(task.training.instances.targets, return_counts=True)
    assert captured == [counts.tolist()] * 2


def test_a_cold_target_among_all_its_candidates_has_no_fewer() -> None:
    rows = [
        (1, 5, 0),
        (2, 6, 1),
        (1, 6, 2),
        (2, 7, 3),
        (1, 7, 4),
        (2, 5, 5),
        (1, 8, 6),
        (2, 9, 7),
        (1, 9, 8),
        (2, 8, 9),
    ]
    users, items, times = np.array(rows).T
    rest = np.repeat(np.arange(3, 7), 2), np.arange(20, 28), np.tile([0, 5], 4)  # more trained items
    data = Interactions.from_raw(*(np.append(one, more) for one, more in zip((users, items, times), rest, strict=True)))
    task = split(data, n_candidates=2, test_item="global-time", validation_cut=0.4, test_cut=0.75)
    assert task.report["cold_test_targets"] == task.test.is_cold.sum() == 5
    assert task.test.n_candidates is not None
    assert (task.test.n_candidates - ~task.test.is_cold == 2).all()
    assert "users_with_fewer_candidates" not in task.report


def test_text_ids_that_are_numbers_once_others_are_left_out_keep_their_histories() -> None:
    """As text, "10" comes before "9"; without user "a", who trains nothing, both are numbers."""
    rows = [("9", 0, 0), ("10", 1, 1), ("9", 2, 2), ("10", 3, 3), ("9", 6, 4), ("10", 6, 5), ("9", 7, 8), ("10", 7, 9)]
    rows += [("a", 9, 8), ("a", 8, 9)]
    users, items, times = (np.array(column) for column in zip(*rows, strict=True))
    task = split(Interactions.from_raw(users, items, times), 0, 1, "global-time", validation_cut=0.4, test_cut=0.75)
    side, ids = task.training.instances, task.training.item_ids
    contexts = [ids[row[row < len(ids)]].tolist() for row in side.contexts.last_n(3)]
    names, targets = task.training.user_ids[side.users].tolist(), ids[side.targets].tolist()
    expected = [(9, 0, []), (9, 2, [0]), (10, 1, []), (10, 3, [1])]
    assert list(zip(names, targets, contexts, strict=True)) == expected
