from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdmr.datasets.ncf import ncf
from sdmr.datasets.parsing import DataError
from sdmr.datasets.prepare import fingerprint

# User 1 has its rows out of order; user 2 has one training row only; item 39 stands among the negatives only.
TRAIN = [
    (0, 5, 3, 30),
    (0, 6, 3, 10),
    (0, 7, 3, 20),
    (0, 8, 3, 20),
    (1, 5, 4, 9),
    (1, 9, 4, 1),
    (1, 6, 4, 5),
    (2, 5, 1, 1),
]
TEST = [(1, 10, 5, 99), (0, 11, 5, 99), (2, 12, 5, 99)]
NEGATIVE = {1: [20, 39, 21], 0: [5 + 20, 22, 23], 2: [30, 31, 32]}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    prefix = tmp_path / "set"
    lines(prefix, ".train.rating", ["\t".join(map(str, row)) for row in TRAIN])
    lines(prefix, ".test.rating", ["\t".join(map(str, row)) for row in TEST])
    lines(prefix, ".test.negative", [negative(row[0], row[1]) for row in TEST])
    return prefix


def lines(prefix: Path, end: str, content: list[str]) -> None:
    Path(f"{prefix}{end}").write_text("".join(f"{line}\n" for line in content))


def negative(user: int, item: int) -> str:
    return "\t".join([f"({user},{item})", *map(str, NEGATIVE[user])])


ITEM_IDS = np.array(sorted({row[1] for row in TRAIN + TEST} | {item for items in NEGATIVE.values() for item in items}))


def test_test_items_and_candidates_are_used_as_they_are(files: Path) -> None:
    task = ncf(str(files))
    assert (task.training.n_users, task.training.n_items) == (3, len(ITEM_IDS))
    assert task.test.users.tolist() == [0, 1, 2]
    assert ITEM_IDS[task.test.targets].tolist() == [11, 10, 12]
    assert ITEM_IDS[task.test.candidates].tolist() == [
        sorted([11, *NEGATIVE[0]]),
        sorted([10, *NEGATIVE[1]]),
        sorted([12, *NEGATIVE[2]]),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_one_training_item_of_each_user_with_two_is_for_development(files: Path, seed: int) -> None:
    task = ncf(str(files), split_seed=seed)
    development, training = task.training.development, task.training.instances
    assert development.users.tolist() == [0, 1]
    pairs = [
        *zip(training.users.tolist(), ITEM_IDS[training.targets].tolist(), strict=True),
        *zip(development.users.tolist(), ITEM_IDS[development.targets].tolist(), strict=True),
    ]
    assert sorted(pairs) == sorted(row[:2] for row in TRAIN)
    assert development.candidates.shape == (2, 4)
    for user, target, row in zip(development.users, development.targets, development.candidates.tolist(), strict=True):
        own = {item for owner, item, *_ in TRAIN + TEST if owner == user}
        assert len(set(row)) == 4
        assert target in row
        assert not (set(ITEM_IDS[row].tolist()) - {int(ITEM_IDS[target])}) & own


@pytest.mark.parametrize("seed", range(5))
def test_contexts_follow_the_times_and_ties_the_file(files: Path, seed: int) -> None:
    task = ncf(str(files), split_seed=seed)
    order = {0: [6, 7, 8, 5], 1: [9, 6, 5], 2: [5]}
    held = dict(zip(task.training.development.users.tolist(), ITEM_IDS[task.training.development.targets], strict=True))
    padded_ids = np.append(ITEM_IDS, -1)
    for user, context in zip(task.test.users.tolist(), padded_ids[task.test.contexts.latest(4)].tolist(), strict=True):
        expected = [item for item in order[user] if item != held.get(user)]
        assert context == [-1] * (4 - len(expected)) + expected


def test_without_times_the_file_is_the_order(files: Path) -> None:
    lines(files, ".train.rating", [f"{user}\t{item}" for user, item, *_ in TRAIN])
    task = ncf(str(files))
    targets = ITEM_IDS[task.training.instances.targets[task.training.instances.users == 0]].tolist()
    assert targets == [item for item in (5, 6, 7, 8) if item in targets]
    assert len(targets) == 3


@pytest.mark.parametrize("end", [".train.rating", ".test.rating", ".test.negative"])
def test_an_absent_file_is_named(files: Path, end: str) -> None:
    Path(f"{files}{end}").unlink()
    with pytest.raises(DataError, match=f"set{end} cannot be read"):
        ncf(str(files))


def test_the_seed_decides(files: Path) -> None:
    assert fingerprint(ncf(str(files), 1)) == fingerprint(ncf(str(files), 1))
    assert len({fingerprint(ncf(str(files), seed)) for seed in range(4)}) > 1


@pytest.mark.parametrize(
    ("end", "content", "complaint"),
    [
        (
            ".train.rating",
            ["0\t5\t3\t30\t7"],
            "train.rating, line 1: found 5 fields separated by tabs, expected 2 to 4",
        ),
        (".train.rating", ["0\t5\t3\t30", "0\t6\t3"], "train.rating, line 2: found 3 fields, expected 4"),
        (".train.rating", ["0\t5\t3\t1", "0\t5\t3\t2"], "line 2: user 0, item 5 stands in line 1 already"),
        (".test.rating", ["1\t10", "1\t11", "2\t12"], "test.rating: expected one test item of each user"),
        (".test.rating", ["1\t10", "0\t8", "2\t12"], "user 0 has item 8 in .*train.rating as well, expected it once"),
        (".test.negative", [negative(1, 10), negative(0, 11)], "negative: found 2 lines, expected 3"),
        (
            ".test.negative",
            [negative(1, 10), negative(0, 11), negative(2, 12), negative(2, 12)],
            "line 4: expected 3 lines",
        ),
        (".test.negative", [negative(0, 11)], r"line 1: found '\(0,11\)', expected \(1,10\)"),
        (".test.negative", ["1,10\t5"], r"line 1: found '1,10', expected \(1,10\)"),
        (".test.negative", ["(1,10)\t20\tx\t21"], "line 1: expected whole numbers"),
        (".test.negative", ["(1,10)"], "line 1: expected whole numbers"),
        (".test.negative", ["(1,10)\t20\t20\t21"], "line 1: expected distinct items"),
        (".test.negative", ["(1,10)\t20\t10\t21"], "line 1: expected distinct items other than the test item"),
        (".test.negative", [negative(1, 10), "(0,11)\t22"], "line 2: found 1 items, expected 3"),
    ],
)
def test_what_does_not_fit_is_named(files: Path, end: str, content: list[str], complaint: str) -> None:
    lines(files, end, content)
    with pytest.raises(DataError, match=complaint):
        ncf(str(files))


def test_a_user_with_too_few_unseen_items_is_named_by_its_own_id(tmp_path: Path) -> None:
    prefix = tmp_path / "set"
    lines(prefix, ".train.rating", ["7\t1", "7\t2"])
    lines(prefix, ".test.rating", ["7\t3"])
    lines(prefix, ".test.negative", ["(7,3)\t1\t2"])
    with pytest.raises(ValueError, match="user 7 has 0 unseen items, 2"):
        ncf(str(prefix))
