"""Translate the numbers of users and items to raw ids, and back."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import write_atomic
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.raw_ids import RawArray
from sdmr.datasets.task import Training


def tabulate_users(training: Training) -> pd.DataFrame:
    """Return the number and the raw id of each user: columns user, id."""
    ids = training.user_ids
    numbers = np.arange(training.n_users)
    return pd.DataFrame({"user": numbers, "id": numbers if ids is None else ids})


def tabulate_items(training: Training) -> pd.DataFrame:
    """Return number, raw id and title of each item: columns item, id, title.

    Data without titles have no such column.
    """
    ids, titles = training.item_ids, training.item_titles
    numbers = np.arange(training.n_items)
    table = pd.DataFrame({"item": numbers, "id": numbers if ids is None else ids})
    return table if titles is None else table.assign(title=pd.Series(titles, dtype=str).fillna(""))


def find_numbers(ids: RawArray, raw: Sequence[object]) -> IntArray:
    """Return the number of each raw id. Ids are compared as text. Raises DataError for an unknown one."""
    names = [str(one) for one in raw]
    numbers = pd.Index([str(one) for one in ids]).get_indexer(pd.Index(names))
    if (numbers < 0).any():
        known = ", ".join(map(str, ids[:3]))
        raise DataError(f"there is no {names[int(numbers.argmin())]!r:.80}; expected raw ids, such as {known}")
    return numbers


def format_ids(training: Training) -> dict[str, bytes]:
    """Return the content of users.csv and of items.csv."""
    tables = {"users.csv": tabulate_users(training), "items.csv": tabulate_items(training)}
    return {name: table.to_csv(index=False, lineterminator="\n").encode() for name, table in tables.items()}


def save_ids(training: Training, folder: Path) -> str:
    """Write the files once for all runs with these ids: into folder/ids-DIGEST. Returns that name."""
    files = format_ids(training)
    target = folder / f"ids-{hashlib.sha256(b''.join(files.values())).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".ids.lock"):
        for unfinished in target.glob(".*.*.*"):  # what a process was writing when it was killed
            unfinished.unlink()
        for name, content in files.items():
            if not (target / name).exists() or (target / name).read_bytes() != content:  # missing or damaged
                write_atomic(target / name, content)
    return target.name
