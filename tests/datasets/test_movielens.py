from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from sdmr.datasets import movielens
from sdmr.datasets.movielens import ML_100K, ml_100k
from sdmr.datasets.parsing import DataError
from sdmr.datasets.prepare import fingerprint
from sdmr.datasets.sources import cache_folder, data_folder
from sdmr.datasets.split import split


def lines_of_the_right_size() -> list[str]:
    """100,000 lines of 943 users and 1,682 items: the two counts have no common divisor, so no pair comes twice."""
    return [f"{row % 943 + 1}\t{row % 1682 + 1}\t{row % 5 + 1}\t{1000 + row // 7}\n" for row in range(100_000)]


@pytest.fixture
def u_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up u.data of the right size in a data folder; its checksum is taken for the published one."""
    path = tmp_path / "ml-100k" / "u.data"
    path.parent.mkdir()
    path.write_text("".join(lines_of_the_right_size()))
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(movielens, "ML_100K", dataclasses.replace(ML_100K, sha256=checksum))
    return path


def test_every_rating_is_an_interaction(u_data: Path) -> None:
    data = ml_100k()
    assert (data.n_users, data.n_items, len(data)) == (943, 1682, 100_000)
    assert data.users[:3].tolist() == [0, 1, 2]
    assert data.items[1681:1684].tolist() == [1681, 0, 1]
    assert data.times is not None
    assert data.times[:8].tolist() == [1000] * 7 + [1001]
    assert data.baskets is None


@pytest.mark.parametrize(
    ("row", "line", "complaint"),
    [
        (99, "5\t6\t3\n", "line 100: found 3 fields, expected 4 fields"),
        (99, "5\t6\tgood\t7\n", "line 100: rating is 'good', expected a whole number"),
        (99, "1\t1\t3\t7\n", "line 100: user 1, item 1 stands in line 1 already, expected no duplicates"),
        (99, "", "found 943 users, 1,682 items and 99,999 rows, expected 943, 1,682 and 100,000"),
        (0, "944\t1\t3\t7\n", "found 944 users, 1,682 items and 100,000 rows"),
        (99, "100\t100\t5\t9\n", "its sha256 is .*: not the published file"),
    ],
)
def test_a_damaged_file_is_an_error_that_says_where(u_data: Path, row: int, line: str, complaint: str) -> None:
    lines = lines_of_the_right_size()
    u_data.write_text("".join([*lines[:row], line, *lines[row + 1 :]]))
    with pytest.raises(DataError, match=f"^{u_data}.*{complaint}"):
        ml_100k()


def test_golden_split_of_the_published_file() -> None:
    folders = [folder for folder in (data_folder(), cache_folder() / "raw") if folder is not None]
    if not any((folder / ML_100K.name).is_file() for folder in folders):
        pytest.skip("ML-100k is neither in SDMR_DATA nor in the cache")
    data = ml_100k()
    assert data.user_ids.tolist() == list(range(1, 944))
    task = split(data)
    assert hashlib.sha256(task.test.targets.astype("<i8").tobytes()).hexdigest() == GOLDEN_TEST_TARGETS
    assert fingerprint(task) == GOLDEN_TASK
    # The last items by a stable sort on time, from loops.
    assert data.times is not None
    last: dict[int, tuple[int, int]] = {}
    for user, item, time in zip(data.users.tolist(), data.items.tolist(), data.times.tolist(), strict=True):
        if user not in last or time >= last[user][0]:
            last[user] = (time, item)
    assert task.test.targets.tolist() == [last[user][1] for user in range(943)]
    assert np.array_equal(task.test.users, np.arange(943))


GOLDEN_TEST_TARGETS = "0b9d0a66e2cfb273f6e90a3a630d9babf6093194ec62c53bae71fea6896ace67"
GOLDEN_TASK = "d53ace5eacca96932d981002dc2401d03e132ac573cede6e63ff6a54a19cda2c"
