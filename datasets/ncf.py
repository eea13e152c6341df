"""The layout of He et al. (Neural Collaborative Filtering, WWW 2017) and of SDMR's authors: the split is given."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.parsing import DataError, Layout, open_raw, read_columns, refuse_duplicates
from sdmr.datasets.split import MINIMUM, Rows, assemble, seen_items
from sdmr.datasets.task import Task
from sdmr.datasets.unseen import Unseen

_FIELDS = {"user": int, "item": int, "rating": float, "time": int}


def ncf(path: str, split_seed: int = 0) -> Task:
    """The task in `path`.train.rating, `path`.test.rating and `path`.test.negative.

    Fields are separated by tabs: user, item and, if given, rating and time; a line of test.negative is (user,item) and
    the items to rank it among. Test items and their candidates are used as they are. Training rows are in the order of
    time, file order on equal times or without them. The layout knows no development items: of each test user with at
    least two training rows, one is drawn at random (`split_seed`), with as many unseen candidates as the test has.

    Raises DataError at the first line that does not fit.
    """
    train_path, test_path, negative_path = (
        Path(f"{path}{end}") for end in (".train.rating", ".test.rating", ".test.negative")
    )
    train_users, train_items, train_times = _ratings(train_path)
    test_users, test_items, _ = _ratings(test_path)
    if len(np.unique(test_users)) < len(test_users):
        raise DataError(f"{test_path}: expected one test item of each user, found several of one")
    both = set(zip(train_users.tolist(), train_items.tolist(), strict=True)) & set(
        zip(test_users.tolist(), test_items.tolist(), strict=True)
    )
    if both:
        raise DataError(
            f"{test_path}: user {min(both)[0]} has item {min(both)[1]} in {train_path} as well, expected it once"
        )
    negatives = _negatives(negative_path, test_users, test_items)

    # Ids are numbered by their order, over all three files.
    ids = Interactions.from_raw(
        np.concatenate([train_users, test_users, test_users.repeat(negatives.shape[1])]),
        np.concatenate([train_items, test_items, negatives.ravel()]),
    )
    n_train, n_test = len(train_users), len(test_users)
    positive = n_train + n_test
    users, items = ids.users[:positive], ids.items[:positive]
    candidates = np.column_stack([items[n_train:], ids.items[positive:].reshape(negatives.shape)])

    # One sequence a user, the test item at its end.
    is_test = np.arange(positive) >= n_train
    times = np.concatenate([train_times, np.zeros(n_test, dtype=np.int64)])
    order = np.lexsort((times, is_test, users))
    users, items, is_test = users[order], items[order], is_test[order]
    test_rows = np.flatnonzero(is_test)

    development_rng, candidate_rng = np.random.default_rng(split_seed).spawn(2)
    size = np.bincount(users)
    drawn_from = test_rows[size[users[test_rows]] >= MINIMUM]
    development_rows = drawn_from - 1 - development_rng.integers(size[users[drawn_from]] - 1)
    unseen = Unseen(seen_items(users, items, ids.n_users, ids.n_items), ids.user_ids)
    others = unseen.draw_distinct(users[development_rows], negatives.shape[1], candidate_rng)
    by_user = np.argsort(ids.users[n_train:positive])  # test.rating need not be in the order of the users
    return assemble(
        Rows(users, items, users, in_baskets=False),
        (ids.n_users, ids.n_items),
        (development_rows, np.column_stack([items[development_rows], others])),
        (test_rows, candidates[by_user]),
    )


def _ratings(path: Path) -> tuple[IntArray, IntArray, IntArray]:
    """Users, items and times ([rows] each) of a .rating file; without times, the row numbers."""
    with open_raw(path) as raw:
        n_fields = raw.readline().count(b"\t") + 1
    if not 2 <= n_fields <= len(_FIELDS):
        raise DataError(f"{path}, line 1: found {n_fields} fields separated by tabs, expected 2 to {len(_FIELDS)}")
    layout = Layout(dict(list(_FIELDS.items())[:n_fields]))
    table = read_columns(path, layout, [name for name in layout.columns if name != "rating"])
    refuse_duplicates(path, table, ["user", "item"])
    times = table["time"].to_numpy() if "time" in table else np.arange(len(table))
    return table["user"].to_numpy(), table["item"].to_numpy(), times


def _negatives(path: Path, users: IntArray, items: IntArray) -> IntArray:
    """[test rows, number] the items to rank each test item among."""
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
