"""What the test items of a task measure, against loops."""

from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout
from hypothesis import given
from hypothesis import strategies as st

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.split import split
from sdmr.datasets.task import Task
from sdmr.experiments.core.errors import ConfigError
from sdmr.experiments.core.run import compose_task
from sdmr.experiments.report import dataset_check
from sdmr.experiments.report.dataset_check import (
    FACTS,
    SHARES,
    check_dataset,
    count_recurring,
    describe_dataset,
    describe_task,
    describe_test_items,
    format_facts,
    measure_order,
    publish_facts,
)
from sdmr.harness.schema1 import TASKS
from tests.experiments.report.published import make_record
from tests.experiments.small import make_small_dataset

START = 10**9  # seconds
UNKNOWN = ("later_training", "equal_times", "sessions")


def make_rows(seed: int) -> list[tuple[str, int, int]]:
    """Return histories of 1 to 8 items, some of them within a minute or at once."""
    rng, rows = np.random.default_rng(seed), []
    for user in range(12):
        items = rng.permutation(40)[: 1 + user % 8]
        times = START + rng.integers(300) + np.cumsum(rng.choice([0, 30, 60, 61, 900], len(items)))
        rows += [(f"u{user}", item, time) for item, time in zip(items.tolist(), times.tolist(), strict=True)]
    return rows


def make_data(rows: list[tuple[str, int, int]]) -> Interactions:
    return Interactions.from_raw(*(np.array(column) for column in zip(*rows, strict=True)))


def list_pairs(task: Task, name: str) -> list[tuple[str, int]]:
    side = task.test if name == "test" else task.training.instances
    return [
        (task.training.user_ids[u], int(task.training.item_ids[i]))
        for u, i in zip(side.users, side.targets, strict=True)
    ]


@pytest.mark.parametrize(
    "options", [{}, {"test_item": "random"}, {"test_item": "global-time", "validation_cut": 0.4, "test_cut": 0.6}]
)
@pytest.mark.parametrize("seed", range(3))
def test_facts_of_histories_with_times_equal_loops(options: dict, seed: int) -> None:
    rows = make_rows(seed)
    data = make_data(rows)
    task = split(data, seed, 5, **options)
    facts = describe_dataset(task, data)
    times = {row[:2]: row[2] for row in rows}
    test, training = list_pairs(task, "test"), list_pairs(task, "training")
    shares = [np.mean([times[pair] > times[target] for pair in training]) for target in test]
    gaps, ties = [], []
    for user, item in test:
        history = [row for row in rows if row[0] == user]  # in the order of time
        number = [row[1] for row in history].index(item)
        gaps.append(history[number][2] - history[number - 1][2] if number else 10**9)
        ties.append(sum(row[2] == history[number][2] for row in history) > 1)
    assert facts["later_training"] == pytest.approx(np.mean(shares))
    assert facts["equal_times"] == pytest.approx(np.mean(ties))
    assert facts["sessions"] == pytest.approx(np.mean(np.array(gaps) <= 60))
    assert facts["users_left_out"] == pytest.approx(1 - len(test) / 12)
    assert facts["repeated_targets"] == 0
    assert facts["cold_targets"] == task.report.get("cold_test_targets", 0)
    if "validation_cut" in options:
        assert facts["later_training"] == 0


def test_repeated_targets_of_baskets_are_counted_and_times_are_unknown() -> None:
    items = [[1, 2, 3, 4], [5, 4, 1, 6], [1, 2, 3], [7, 8, 9]]  # the test items 4, 6, 3 and 9
    rows = [(number // 2, item, number) for number, basket in enumerate(items) for item in basket]
    users, taken, baskets = (np.array(column) for column in zip(*rows, strict=True))
    data = Interactions.from_raw(users, taken, baskets=baskets)
    task = split(data, 0, 2)
    facts = describe_dataset(task, data)
    assert [facts[name] for name in UNKNOWN] == [None, None, None]
    history = {user: set(task.training.matrix[user].indices) for user in (0, 1)}
    expected = np.mean(
        [target in history[user] for user, target in zip(task.test.users, task.test.targets, strict=True)]
    )
    assert facts["repeated_targets"] == expected > 0
    assert facts["users_left_out"] == 0


@pytest.mark.parametrize("times", [None, np.arange(12)])
def test_rows_in_place_of_times_tell_nothing(times: np.ndarray | None) -> None:
    data = Interactions.from_raw(np.arange(12) // 4, np.arange(12) % 7, times)
    facts = describe_dataset(split(data, 0, 1), data)
    assert [facts[name] for name in UNKNOWN] == [None, None, None]
    lines = format_facts(facts)
    assert "–  of the test items come within 60 s" in " ".join(lines)
    assert lines[-1] == "–: unknown, since the data have baskets, or no times that can be compared between users"
    assert format_facts(facts | {"later_training": 0.1})[-1] == "–: unknown, since the unit of the times is unknown"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30))
def test_recurring_transitions_equal_a_count_of_pairs(rows: list[tuple[int, int]]) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    sequences, items = np.array(rows, dtype=int).reshape(-1, 2).T
    transitions = Counter(
        (first[1], second[1])
        for (i, first), (j, second) in combinations(enumerate(rows), 2)
        if first[0] == second[0] and j - i <= 5
    )
    assert count_recurring(sequences, items) == sum(n * (n - 1) // 2 for n in transitions.values())


@pytest.mark.parametrize(("is_ordered", "low", "high"), [(True, 1.5, 100), (False, 0.9, 1.1)])
def test_order_matters_where_users_take_items_one_after_the_other(is_ordered: bool, low: float, high: float) -> None:
    rng, rows = np.random.default_rng(0), []
    for user in range(200):
        items = (rng.integers(60) + np.arange(20)) % 60
        rows += [
            (f"u{user}", item, START + n) for n, item in enumerate(items if is_ordered else rng.permutation(items))
        ]
    effect = measure_order(split(make_data(rows), 0, 5).training.instances)
    assert effect is not None
    assert low < effect < high


def test_published_facts_are_found_by_the_task_of_records(tmp_path: Path) -> None:
    task = split(make_data(make_rows(0)), 0, 5)
    facts = describe_dataset(task, make_data(make_rows(0))) | {"order_effect": 2.5}
    old, new = next(iter(TASKS.items()))
    for data, values in (("other", facts | {"sessions": None}), (new, facts | {"sessions": 0.5})):
        publish_facts(tmp_path / FACTS, "ml-100k", [], data, values)
    publish_facts(tmp_path / FACTS, "ml-100k", ["protocol.test_item=random"], "other", facts | {"order_effect": None})
    text = (tmp_path / FACTS).with_suffix(".md").read_text()
    assert text.count("| ml-100k") == 2
    for data in (old, new):
        (line,) = describe_test_items(tmp_path, [make_record(data=data)] * 2)
        assert line.startswith(
            f"The {facts['test_items']:,} test items of ml-100k: {facts['later_training']:.1%} of the training "
        )
        assert "; 50.0% of the test items come within 60 s of their user's interaction before; " in line
        assert line.endswith("; transitions recur 2.50 times as often as in shuffled histories.")
    (line,) = describe_test_items(tmp_path, [make_record(data="other")])
    assert line.endswith("; 0 rows repeat an item of their user (with baskets: of the same basket), and are dropped.")
    cold = facts | {"test_items": 69, "cold_targets": 7}
    publish_facts(tmp_path / FACTS, "ml-100k", ["protocol.test_item=global-time"], "cold", cold)
    (line,) = describe_test_items(tmp_path, [make_record(data="cold")])
    assert line.startswith("The 69 test items of ml-100k: ")
    assert (
        "; 7 are cold (no training item of anyone), and so misses in every row, behind all items in a mean rank: hit"
        in line
    )
    assert line.endswith(" 62 are 1.113 times those shown.")
    publish_facts(tmp_path / FACTS, "ml-100k", ["protocol.test_item=global-time"], "cold", cold | {"test_items": 7})
    assert describe_test_items(tmp_path, [make_record(data="cold")])[0].endswith("behind all items in a mean rank.")
    assert describe_test_items(tmp_path, [make_record(data="a third one")]) == []
    assert describe_test_items(tmp_path / "empty", [make_record(data=new)]) == []


def test_facts_that_are_not_published_are_found_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dataset_check.MAX_INTERACTIONS == 2_000_000
    _, *overrides = make_small_dataset(tmp_path, monkeypatch)
    run = compose_task("csv", overrides)
    record = make_record(dataset="csv", config=run.config)
    (line,) = describe_task(record)
    facts = describe_dataset(run.load_task(), make_data(make_rows(0)))
    assert line.startswith("The 40 test items of csv: 0.0% of the test items are training items of their user, too; ")
    assert f"; transitions recur {facts['order_effect']:.2f} times as often" in line
    monkeypatch.setattr(dataset_check, "MAX_INTERACTIONS", 159)
    assert describe_task(record) == []


def test_facts_after_a_cut_in_time_are_those_of_the_retrained_split(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["user,item,time", *(",".join(map(str, row)) for row in make_rows(0))]) + "\n")
    settings = [f"dataset.path={path}", "dataset.time=time", "protocol.test_item=global-time"]
    settings += ["protocol.validation_cut=0.4", "protocol.test_cut=0.6"]
    first, second = (check_dataset("csv", [*settings, f"protocol.retrain={answer}"]) for answer in ("false", "true"))
    counts = [int(lines[0].split(" items, ")[1].split(" interactions")[0]) for lines in (first, second)]
    assert counts[0] < counts[1]
    with pytest.raises(ConfigError, match=r"protocol.select_on has no effect here"):
        check_dataset("csv", [*settings, "protocol.select_on=test"])


def test_facts_are_written_by_one_command_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, *overrides = make_small_dataset(tmp_path, monkeypatch)

    def write(path: Path, *_: object) -> None:
        with pytest.raises(Timeout):
            FileLock(path.with_name(f".{FACTS}.lock")).acquire(timeout=0)
        path.touch()

    monkeypatch.setattr(dataset_check, "publish_facts", write)
    check_dataset("csv", overrides, tmp_path / "results")
    assert (tmp_path / "results" / FACTS).exists()


def test_every_share_and_dropped_row_has_a_line() -> None:
    task = split(make_data(make_rows(0)), 0, 5)
    task.report.update(duplicate_rows=7, users_left_out=12)  # type: ignore[attr-defined]
    facts = describe_dataset(task, task)
    n_rows = len(make_rows(0))
    assert facts["duplicates"] == 7
    assert facts["users_left_out"] == pytest.approx((12 + 12 - len(task.test)) / 24)
    counts, *lines = format_facts(facts)
    assert counts == f"12 users, {task.training.n_items} items, {n_rows} interactions, {len(task.test)} test items"
    assert [line.partition("  of ")[2] for line in (line.strip() for line in lines[: len(SHARES)])] == [
        meaning.removeprefix("of ") for meaning in SHARES.values()
    ]
