"""The file layout of Neural Collaborative Filtering (He et al., WWW 2017).

The split comes with the data. SDMR's authors use this layout too.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.parsing import Layout, check_no_duplicates, open_raw, read_columns
from sdmr.datasets.split import MIN_SEQUENCE_LENGTH, Rows, assemble_task, build_untested_sampler
from sdmr.datasets.task import Task

_FIELDS = {"user": int, "item": int, "rating": float, "time": int}


def load_ncf(path: str, split_seed: int = 0) -> Task:
    """Load the task in `path`.train.rating, `path`.test.rating and `path`.test.negative.

    Tabs separate the fields: user, item and optionally rating and time. A line of test.negative is (user,item) and the
    items to rank it among. The test items and their candidates are used as they are. Times order the training rows;
    without times, and for equal times, the order of the file does.

    The layout has no validation items. Of each test user with at least two training rows, a random one is held out for
    validation. It gets as many candidates as the test items have, drawn without knowledge of the test items.

    Args:
        split_seed: Seed of the validation items and their candidates.

    Raises:
        DataError: A file cannot be read, or a line does not fit.
        ValueError: A user has too few unseen items.
    """
    train_path, test_path, negative_path = (
        Path(f"{path}{suffix}") for suffix in (".train.rating", ".test.rating", ".test.negative")
    )
    train_users, train_items, train_times = _read_ratings(train_path)
    test_users, test_items, _ = _read_ratings(test_path)
    if len(np.unique(test_users)) < len(test_users):
        raise DataError(f"{test_path}: expected one test item of each user, found several of one")
    repeated = set(zip(train_users.tolist(), train_items.tolist(), strict=True)) & set(
        zip(test_users.tolist(), test_items.tolist(), strict=True)
    )
    if repeated:
        user, item = min(repeated)
        raise DataError(f"{test_path}: user {user} has item {item} in {train_path} as well, expected it once")
    negatives = _read_negatives(negative_path, test_users, test_items)

    # Number the ids of all three files in sorted order.
    ids = Interactions.from_raw(
        np.concatenate([train_users, test_users, test_users.repeat(negatives.shape[1])]),
        np.concatenate([train_items, test_items, negatives.ravel()]),
    )
    n_train, n_test = len(train_users), len(test_users)
    n_positives = n_train + n_test
    users, items = ids.users[:n_positives], ids.items[:n_positives]
    candidates = np.column_stack([items[n_train:], ids.items[n_positives:].reshape(negatives.shape)])

    # One sequence per user, with the test item at its end.
    is_test = np.arange(n_positives) >= n_train
    times = np.concatenate([train_times, np.zeros(n_test, dtype=np.int64)])
    order = np.lexsort((times, is_test, users))
    users, items, is_test = users[order], items[order], is_test[order]
    test_rows = np.flatnonzero(is_test)

    validation_rng, candidate_rng = np.random.default_rng(split_seed).spawn(2)
    size = np.bincount(users)
    last_rows = test_rows[size[users[test_rows]] >= MIN_SEQUENCE_LENGTH]
    validation_rows = last_rows - 1 - validation_rng.integers(size[users[last_rows]] - 1)
    sampler = build_untested_sampler(users, items, test_rows, ids)
    validation_negatives = sampler.sample_distinct(users[validation_rows], negatives.shape[1], candidate_rng)
    user_order = np.argsort(ids.users[n_train:n_positives])  # test.rating may list the users in any order
    return assemble_task(
        Rows(users, items, users, has_baskets=False),
        (ids.n_users, ids.n_items),
        (validation_rows, np.column_stack([items[validation_rows], validation_negatives])),
        (test_rows, candidates[user_order]),
    )


def _read_ratings(path: Path) -> tuple[IntArray, IntArray, IntArray]:
    """Read users, items and times ([n] each); without times, the row numbers."""
    with open_raw(path) as raw:
        n_fields = raw.readline().count(b"\t") + 1
    if not 2 <= n_fields <= len(_FIELDS):
        raise DataError(f"{path}, line 1: found {n_fields} fields separated by tabs, expected 2 to {len(_FIELDS)}")
    layout = Layout(dict(list(_FIELDS.items())[:n_fields]))
    table = read_columns(path, layout, [name for name in layout.columns if name != "rating"])
    check_no_duplicates(path, table, ["user", "item"])
    times = table["time"].to_numpy() if "time" in table else np.arange(len(table))
    return table["user"].to_numpy(), table["item"].to_numpy(), times


def _read_negatives(path: Path, users: IntArray, items: IntArray) -> IntArray:
    """Read the items to rank each test item among: [n_test, n_negatives]."""
    rows: list[list[int]] = []
    with open_raw(path) as raw:
        for number, line in enumerate(raw, start=1):
            head, *fields = line.decode("utf-8", errors="replace").rstrip("\r\n").split("\t")
            where = f"{path}, line {number}"
            if number > len(users):
                raise DataError(f"{where}: expected {len(users)} lines, as many as the test file has")
            pair = re.fullmatch(r"\((\d+), ?(\d+)\)", head)
            if pair is None or (int(pair[1]), int(pair[2])) != (users[number - 1], items[number - 1]):
                raise DataError(f"{where}: found {head!r}, expected ({users[number - 1]},{items[number - 1]})")
            if not fields or not all(field.isdecimal() for field in fields):
                raise DataError(f"{where}: expected whole numbers separated by tabs after the pair")
            row = [int(field) for field in fields]
            if len(set(row)) < len(row) or items[number - 1] in row:
                raise DataError(f"{where}: expected distinct items other than the test item")
            if rows and len(row) != len(rows[0]):
                raise DataError(f"{where}: found {len(row)} items, expected {len(rows[0])} as in line 1")
            rows.append(row)
    if len(rows) != len(users):
        raise DataError(f"{path}: found {len(rows)} lines, expected {len(users)}, as many as the test file has")
    return np.array(rows, dtype=np.int64)
