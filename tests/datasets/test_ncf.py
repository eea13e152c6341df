from pathlib import Path

import numpy as np
import pytest

from sdmr.datasets.errors import DataError
from sdmr.datasets.ncf import load_ncf
from sdmr.datasets.prepare import compute_fingerprint

# User 1's rows are not in the order of time. User 2 has one training row. Item 39 occurs only as a negative.
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
    write_lines(prefix, ".train.rating", ["\t".join(map(str, row)) for row in TRAIN])
    write_lines(prefix, ".test.rating", ["\t".join(map(str, row)) for row in TEST])
    write_lines(prefix, ".test.negative", NEGATIVE_LINES)
    return prefix


def write_lines(prefix: Path, suffix: str, content: list[str]) -> None:
    Path(f"{prefix}{suffix}").write_text("".join(f"{line}\n" for line in content))


def format_negatives(user: int, item: int) -> str:
    return "\t".join([f"({user},{item})", *map(str, NEGATIVE[user])])


NEGATIVE_LINES = [format_negatives(row[0], row[1]) for row in TEST]
ITEM_IDS = np.array(sorted({row[1] for row in TRAIN + TEST} | {item for items in NEGATIVE.values() for item in items}))


def test_items_and_candidates_of_the_test_files_are_used_unchanged(files: Path) -> None:
    task = load_ncf(str(files))
    assert (task.training.n_users, task.training.n_items) == (3, len(ITEM_IDS))
    assert task.test.users.tolist() == [0, 1, 2]
    assert ITEM_IDS[task.test.targets].tolist() == [11, 10, 12]
    assert ITEM_IDS[task.test.candidates].tolist() == [
        sorted([11, *NEGATIVE[0]]),
        sorted([10, *NEGATIVE[1]]),
        sorted([12, *NEGATIVE[2]]),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_one_item_of_each_user_with_two_training_rows_is_held_out_for_validation(files: Path, seed: int) -> None:
    task = load_ncf(str(files), split_seed=seed)
    validation, training = task.training.validation, task.training.instances
    assert validation.users.tolist() == [0, 1]
    pairs = [
        *zip(training.users.tolist(), ITEM_IDS[training.targets].tolist(), strict=True),
        *zip(validation.users.tolist(), ITEM_IDS[validation.targets].tolist(), strict=True),
    ]
    assert sorted(pairs) == sorted(row[:2] for row in TRAIN)
    assert validation.candidates.shape == (2, 4)
    for user, target, row in zip(validation.users, validation.targets, validation.candidates.tolist(), strict=True):
        user_items = {item for owner, item, *_ in TRAIN if owner == user}  # a test item may be drawn like any other
        assert len(set(row)) == 4
        assert target in row
        assert not (set(ITEM_IDS[row].tolist()) - {int(ITEM_IDS[target])}) & user_items


@pytest.mark.parametrize("seed", range(5))
def test_contexts_follow_times_and_for_equal_times_the_file(files: Path, seed: int) -> None:
    task = load_ncf(str(files), split_seed=seed)
    order = {0: [6, 7, 8, 5], 1: [9, 6, 5], 2: [5]}
    held_out = dict(
        zip(task.training.validation.users.tolist(), ITEM_IDS[task.training.validation.targets], strict=True)
    )
    padded_ids = np.append(ITEM_IDS, -1)
    for user, context in zip(task.test.users.tolist(), padded_ids[task.test.contexts.last_n(4)].tolist(), strict=True):
        expected = [item for item in order[user] if item != held_out.get(user)]
        assert context == [-1] * (4 - len(expected)) + expected


def test_training_rows_without_times_keep_the_order_of_the_file(files: Path) -> None:
    write_lines(files, ".train.rating", [f"{user}\t{item}" for user, item, *_ in TRAIN])
    task = load_ncf(str(files))
    targets = ITEM_IDS[task.training.instances.targets[task.training.instances.users == 0]].tolist()
    assert targets == [item for item in (5, 6, 7, 8) if item in targets]
    assert len(targets) == 3


@pytest.mark.parametrize("suffix", [".train.rating", ".test.rating", ".test.negative"])
def test_error_names_a_missing_file(files: Path, suffix: str) -> None:
    Path(f"{files}{suffix}").unlink()
    with pytest.raises(DataError, match=f"set{suffix} cannot be read"):
        load_ncf(str(files))


def test_equal_seeds_give_equal_tasks_and_other_seeds_other_tasks(files: Path) -> None:
    assert compute_fingerprint(load_ncf(str(files), 1)) == compute_fingerprint(load_ncf(str(files), 1))
    assert len({compute_fingerprint(load_ncf(str(files), seed)) for seed in range(4)}) > 1


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".train.rating", ["0\t5\t3\t30\t7"], "train.rating: .*line 1: Expected 4 columns, got 5"),
        (".train.rating", ["0"], "train.rating: .*line 1: Expected 2 columns, got 1"),
        (".train.rating", ["0\t5\t3\t30", "0\t6\t3"], "train.rating: .*line 2: Expected 4 columns, got 3"),
        (".test.rating", ["1\t10", "1\t11", "2\t12"], "test.rating, line 2: user 1 is already in line 1"),
        (".test.rating", ["1\t10", "0\t8", "2\t12"], "user 0 has item 8 in .*train.rating as well, expected it once"),
        (".test.negative", NEGATIVE_LINES[:2], "negative: found 2 lines, expected 3"),
        (".test.negative", [*NEGATIVE_LINES, NEGATIVE_LINES[2]], "negative: found 4 lines, expected 3"),
        (".test.negative", [], "negative: the file is empty"),
    ],
)
def test_error_names_file_line_and_fault(files: Path, suffix: str, content: list[str], message: str) -> None:
    write_lines(files, suffix, content)
    with pytest.raises(DataError, match=message):
        load_ncf(str(files))


@pytest.mark.parametrize(
    ("number", "line", "message"),
    [
        (1, "(0,11)\t20\t39\t21", r"line 1: pair is '\(0,11\)', expected \(1,10\)"),
        (1, "1,10\t20\t39\t21", r"line 1: pair is '1,10', expected \(1,10\)"),
        (1, "(1,10)\t20\tx\t21", "line 1: .* invalid value 'x'"),
        (1, "(1,10)", "line 1: Expected 2 columns, got 1"),
        (2, "(0,11)\t22", "line 2: Expected 4 columns, got 2"),
        (2, "(0,11)\t22\t23\t24\t25", "line 2: Expected 4 columns, got 5"),
    ],
)
def test_error_names_the_wrong_line_of_candidates(files: Path, number: int, line: str, message: str) -> None:
    write_lines(files, ".test.negative", [*NEGATIVE_LINES[: number - 1], line, *NEGATIVE_LINES[number:]])
    with pytest.raises(DataError, match=f"set.test.negative.*{message}"):
        load_ncf(str(files))


@pytest.mark.parametrize("line", ["(1,10)\t20\t20\t21", "(1,10)\t20\t10\t21"])
def test_a_candidate_that_is_repeated_or_the_target_counts_once_and_is_reported(files: Path, line: str) -> None:
    write_lines(files, ".test.negative", [line, *NEGATIVE_LINES[1:]])
    task = load_ncf(str(files))
    ids = task.training.item_ids
    assert ids is not None
    assert task.test.n_candidates is not None
    assert task.test.n_candidates.tolist() == [4, 3, 4]
    assert ids[task.test.candidates[1]].tolist() == [10, 20, 21, 10]
    assert task.report == {"lines_with_repeated_candidates": 1, "users_with_fewer_candidates": 1}


def test_a_repeated_training_row_is_dropped_and_the_earliest_is_kept(files: Path) -> None:
    expected = load_ncf(str(files))
    write_lines(files, ".train.rating", ["\t".join(map(str, row)) for row in [(0, 5, 1, 40), *TRAIN, (1, 9, 4, 8)]])
    task = load_ncf(str(files))
    assert compute_fingerprint(task) == compute_fingerprint(expected)
    assert task.report == {"repeated_training_rows": 2}


def test_a_space_within_the_pair_is_accepted(files: Path) -> None:
    expected = compute_fingerprint(load_ncf(str(files)))
    write_lines(files, ".test.negative", [line.replace(",", ", ") for line in NEGATIVE_LINES])
    assert compute_fingerprint(load_ncf(str(files))) == expected


@pytest.mark.parametrize("digits", [20, 5000])
def test_a_number_of_too_many_digits_is_one_short_error(files: Path, digits: int) -> None:
    write_lines(files, ".train.rating", ["0\t5", f"0\t{'9' * digits}"])
    with pytest.raises(DataError, match=r"train\.rating: column item: line 2: .* invalid value '9{19}") as error:
        load_ncf(str(files))
    assert len(str(error.value)) < 800
