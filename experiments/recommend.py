"""List top items of users, from a trained run: `sdmr recommend run=NAME users=[1,2] k=10`.

The items that a user has in training, validation or test are left out, and so are items that nobody trains after a cut
in time. The context is the user's last training items or, with baskets, those of the user's last basket. Of items with
equal scores, the one that comes first in `items.csv` comes first. Users and items are raw ids. Models without saved
parameters, such as Item-KNN, are fitted again.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv, parquet
from pydantic import Field
from tqdm import tqdm

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import open_atomic
from sdmr.experiments.core import cli
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.finished import find_runs
from sdmr.experiments.core.options import CommandOptions, Names, Numbers
from sdmr.experiments.core.trained import load_trained
from sdmr.experiments.report.writers import make_table
from sdmr.harness.ids import find_numbers, tabulate_users
from sdmr.harness.top_k import count_items, recommend, summarize_lists

BLOCK = 1024  # users whose lists are in memory at a time
WRITERS: dict[str, Any] = {".csv": csv.CSVWriter, ".parquet": parquet.ParquetWriter}


class Options(CommandOptions):
    text_options = ("users",)
    run: str = Field(description="name of a finished run, or its folder")
    users: Names | None = Field(None, description="raw ids of users; null: all, which needs to=FILE")
    k: int = Field(10, ge=1, description="items in a list")
    cutoffs: Numbers | None = Field(
        None, description="print coverage, popularity and novelty of the first items of all lists, so many; null: none"
    )
    to: str | None = Field(None, description="file to write, .csv or .parquet; null: print")
    runs: str = Field("runs", description="folder of this machine's records")


def main(options: Options) -> int:
    path = Path(options.to or "")
    if options.to is None and options.users is None:
        raise UsageError("to=FILE.csv or to=FILE.parquet is missing, or users=[ID,ID] to print the lists of some users")
    if options.to is not None and path.suffix not in WRITERS:
        raise UsageError(f"to={path}: expected a name that ends in {' or '.join(WRITERS)}")
    if options.cutoffs and max(options.cutoffs) > options.k:
        raise UsageError(f"cutoffs=...: lists have no {max(options.cutoffs)} items; use k={max(options.cutoffs)}")
    model, task = load_trained(find_run(options.run, Path(options.runs)))
    numbers = np.arange(task.training.n_users)
    if options.users is not None:
        try:
            numbers = pd.unique(find_numbers(tabulate_users(task.training)["id"].to_numpy(), options.users))
        except DataError as error:
            raise UsageError(f"users=...: {error}") from error
    blocks = np.split(numbers, range(BLOCK, len(numbers), BLOCK))
    longest = min(max(options.cutoffs or [0]), task.training.n_items)
    counts = np.zeros((longest, task.training.n_items), dtype=np.int64)

    def make_lists() -> Iterator[pd.DataFrame]:
        for block in tqdm(blocks, unit="block", disable=None):
            lists = recommend(model, task, block, options.k)
            if options.cutoffs:
                counts[:] += count_items(lists, task.training, longest)
            yield lists

    if options.to is None:
        lists = pd.concat(make_lists())
        lists = lists.assign(score=lists["score"].map("{:.6g}".format))
        print(make_table(lists, "text", right=("rank", "score")))
    else:
        _write(make_lists(), path)
        print(path)
    if options.cutoffs:
        metrics = summarize_lists(counts, task.training, options.cutoffs)
        print(", ".join(f"{name} {value:.3f}" for name, value in metrics.items()))
    return 0


def _write(lists: Iterator[pd.DataFrame], path: Path) -> None:
    """Write lists block after block."""
    first = pa.Table.from_pandas(next(lists), preserve_index=False)
    with open_atomic(path) as file, WRITERS[path.suffix](file, first.schema) as writer:
        writer.write_table(first)
        for block in lists:
            writer.write_table(pa.Table.from_pandas(block, first.schema, preserve_index=False))


def find_run(name: str, runs: Path) -> Path:
    """Return the folder of a finished run. Raises UsageError if there is none, or if there are several.

    Args:
        name: The run's name, its folder, or the path of its record.
        runs: The folder of runs, where a name is looked for.
    """
    folder, *others = find_runs("run", [name], runs)
    if others:
        raise UsageError(f"run={name}: {1 + len(others)} runs have this name, expected one; the first is {folder}")
    return folder


if __name__ == "__main__":
    sys.exit(cli.main(["recommend", *sys.argv[1:]]))
