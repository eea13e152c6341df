"""Write a task as files for another program; `experiments/export.py` describes them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from sdmr.datasets.files import open_atomic
from sdmr.datasets.task import HeldOut, Task
from sdmr.harness.evaluation import check_not_empty
from sdmr.harness.ids import format_ids

BLOCK = 4096  # instances whose candidates are written at a time
ATOMIC = {"user": "user_id:token", "item": "item_id:token", "time": "timestamp:float", "basket": "session_id:token"}


def export_task(task: Task, name: str, folder: Path) -> list[Path]:
    """Write the task's files into `folder`/`name`, and return them. Raises DataError if nothing is held out."""
    check_not_empty(task.test)
    held_out = {"valid": task.training.validation, "test": task.test}
    rows = _tabulate_interactions(task)
    paths: list[Path] = []

    def create(file: str) -> AbstractContextManager[IO[bytes]]:
        paths.append(folder / name / file)
        return open_atomic(paths[-1])

    for part, table in rows.groupby("part", sort=False):
        if "basket" not in rows:
            with create(f"{name}.{part}.rating") as file:
                _write_tsv(table.assign(rating=1)[["user", "item", "rating", "time"]], file, header=False)
        with create(f"{name}.{part}.inter") as file:
            _write_tsv(table.drop(columns="part").rename(columns=ATOMIC), file, header=True)
    for part, side in held_out.items() if "basket" not in rows else ():
        with create(f"{name}.{part}.negative") as file:
            for _, block in _split_blocks(side):
                file.write(_format_negatives(block))
    with create("interactions.parquet") as file:
        rows.to_parquet(file, index=False)
    schema = pa.Schema.from_pandas(_tabulate_candidates("", 0, task.test.take(np.arange(1))))
    with create("candidates.parquet") as file, parquet.ParquetWriter(file, schema) as writer:
        for part, side in held_out.items():
            for first, block in _split_blocks(side):
                writer.write_table(pa.Table.from_pandas(_tabulate_candidates(part, first, block), schema))
    for ids, content in format_ids(task.training).items():
        with create(ids) as file:
            file.write(content)
    return paths


def _split_blocks(side: HeldOut) -> Iterator[tuple[int, HeldOut]]:
    """Yield the number of the first instance of each block, and the block."""
    for first in range(0, len(side), BLOCK):
        yield first, side.take(np.arange(first, min(first + BLOCK, len(side))))


def select_candidates(side: HeldOut) -> NDArray[np.bool_]:
    """Tell which cells of `candidates` [n, C] are no padding."""
    number = side.n_candidates
    width = side.candidates.shape[1]
    return np.arange(width) < (np.full(len(side), width) if number is None else number)[:, None]


def _tabulate_interactions(task: Task) -> pd.DataFrame:
    """Return every row of the data: part, user, item, time and, if any, basket.

    The rows of a part are in the order of its instances.
    """
    training, tables = task.training, []
    # A held-out item comes before the training item of its position, the validation item before the test item.
    for part, side, delay in (
        ("train", training.instances, 2),
        ("valid", training.validation, 0),
        ("test", task.test, 1),
    ):
        columns = {"user": side.users, "item": side.targets, "time": 3 * side.contexts.position + delay}
        tables.append(pd.DataFrame({"part": part, **columns, "basket": side.contexts.start}))
    rows = pd.concat(tables, ignore_index=True)
    return rows if task.training.instances.has_baskets else rows.drop(columns="basket")


def _tabulate_candidates(part: str, first: int, side: HeldOut) -> pd.DataFrame:
    """Return a row for each instance, numbered from `first`, and candidate."""
    row, column = np.nonzero(select_candidates(side))
    candidates = side.candidates[row, column]
    columns = {"part": part, "instance": row + first, "user": side.users[row], "candidate": candidates}
    return pd.DataFrame(columns).assign(is_target=candidates == side.targets[row])


def _format_negatives(side: HeldOut) -> bytes:
    """Return a line an instance: (user,target) and the other candidates."""
    others = select_candidates(side) & (side.candidates != side.targets[:, None])
    rows = [row[is_other].tolist() for row, is_other in zip(side.candidates, others, strict=True)]
    pairs = zip(side.users.tolist(), side.targets.tolist(), rows, strict=True)
    return "".join(f"({user},{target})\t" + "\t".join(map(str, row)) + "\n" for user, target, row in pairs).encode()


def _write_tsv(table: pd.DataFrame, file: IO[bytes], header: bool) -> None:
    table.to_csv(file, sep="\t", header=header, index=False, lineterminator="\n", mode="wb")
