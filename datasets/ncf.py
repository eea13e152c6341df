"""The file layout of Neural Collaborative Filtering (He et al., WWW 2017).

The split comes with the data. SDMR's authors use this layout too.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.datasets.assembly import assemble_task
from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.parsing import Layout, check_no_duplicates, check_values, drop_duplicates, read_columns
from sdmr.datasets.raw import open_raw
from sdmr.datasets.split import MIN_SEQUENCE_LENGTH, build_sampler
from sdmr.datasets.task import Task

_FIELDS = {"user": int, "item": int, "rating": float, "time": int}


def load_ncf(path: str, split_seed: int = 0) -> Task:
    """Load the task in `path`.train.rating, `path`.test.rating and `path`.test.negative.

    Tabs separate the fields: user, item and optionally rating and time. A line of test.negative is (user,item) and the
    items to rank it among. The test items and their candidates are used as they are; a candidate that is the test item
    or is repeated counts once. Times order the training rows; without times, and for equal times, the order of the file
    does. The first of training rows with the same pair counts.

    The layout has no validation items. Of each test user with at least two training rows, a random one is held out for
    validation. It gets as many candidates as the test items have, drawn without knowledge of the test items.

    Args:
        path: The files' common name: PATH.train.rating, PATH.test.rating and PATH.test.negative.
        split_seed: Seed of the validation items and their candidates.

    Raises:
        DataError: A file cannot be read, or a line does not fit.
    """
    train_path, test_path, negative_path = (
        Path(f"{path}{suffix}") for suffix in (".train.rating", ".test.rating", ".test.negative")
    )
    train, test = _read_ratings(train_path), _read_ratings(test_path)
    n_rows = len(train)
    train = drop_duplicates(train.sort_values("time", kind="stable"), ["user", "item"]).sort_index()
    check_no_duplicates(test_path, test, ["user"])
    for user, item in test.merge(train, on=["user", "item"])[["user", "item"]].to_numpy():
        raise DataError(f"{test_path}: user {user} has item {item} in {train_path} as well, expected it once")
    raw_candidates = np.column_stack([test["item"], _read_negatives(negative_path, test)])

    # Number the ids of all three files in sorted order.
    n_train, n_candidates = len(train), raw_candidates.shape[1]
    ids = Interactions.from_raw(
        np.concatenate([train["user"], test["user"].repeat(n_candidates)]),
        np.concatenate([train["item"], raw_candidates.ravel()]),
    )
    candidates = np.sort(ids.items[n_train:].reshape(raw_candidates.shape))
    is_repeated = np.diff(candidates, prepend=-1) == 0
    candidates[is_repeated] = ids.n_items
    dropped = {
        "repeated_training_rows": n_rows - n_train,
        "lines_with_repeated_candidates": is_repeated.any(axis=1).sum(),
    }
    ids = replace(ids, dropped={reason: int(count) for reason, count in dropped.items() if count})

    # One sequence per user, with the test item, the first of the candidates, at its end.
    positives = ids.take(np.append(np.arange(n_train), np.arange(n_train, len(ids), n_candidates)))
    is_test = np.arange(len(positives)) >= n_train
    order = np.lexsort((np.append(train["time"], test["time"]), is_test, positives.users))
    ordered = positives.take(order)
    users, test_rows = ordered.users, np.flatnonzero(is_test[order])

    validation_rng, candidate_rng = np.random.default_rng(split_seed).spawn(2)
    size = np.bincount(users)
    last_rows = test_rows[size[users[test_rows]] >= MIN_SEQUENCE_LENGTH]
    validation_rows = last_rows - 1 - validation_rng.integers(size[users[last_rows]] - 1)
    sampler = build_sampler(ordered, excluded_rows=test_rows)
    negatives = sampler.sample_distinct(users[validation_rows], n_candidates - 1, candidate_rng)
    user_order = np.argsort(positives.users[n_train:])  # test.rating may list the users in any order
    return assemble_task(
        ordered,
        (validation_rows, np.column_stack([ordered.items[validation_rows], negatives])),
        (test_rows, candidates[user_order]),
    )


def _read_ratings(path: Path) -> pd.DataFrame:
    """Read the columns user, item and time; without times, the row numbers."""
    layout = Layout(dict(list(_FIELDS.items())[: max(_count_fields(path), 2)]))
    table = read_columns(path, layout)
    return table if "time" in table else table.assign(time=np.arange(len(table)))


def _read_negatives(path: Path, test: pd.DataFrame) -> IntArray:
    """Read the items to rank each test item among: [n_test, n_negatives]."""
    names = [f"item {number}" for number in range(1, max(_count_fields(path), 2))]
    table = read_columns(path, Layout({"pair": str} | dict.fromkeys(names, int)))
    if len(table) != len(test):
        raise DataError(f"{path}: found {len(table)} lines, expected {len(test)}, as many as the test file has")
    pairs = "(" + test["user"].astype(str) + "," + test["item"].astype(str) + ")"
    is_same = table["pair"].str.replace(" ", "") == pairs
    check_values(path, table["pair"], is_same, f"{pairs[is_same.argmin()]} as in the test file")
    return table[names].to_numpy()


def _count_fields(path: Path) -> int:
    """Count the fields of the first line."""
    with open_raw(path) as raw:
        return raw.readline().count(b"\t") + 1
