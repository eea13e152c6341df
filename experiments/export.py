"""Write a task for another program: `sdmr export dataset=ml-100k to=DIR`.

DIR/NAME/ holds the split and the candidates three times. NAME is the data set's, or that of `name=NAME`.

- `NAME.train.rating`, `NAME.test.rating` and `NAME.test.negative`: the layout of He et al. (2017). The validation items
  are apart, in `NAME.valid.rating` and `NAME.valid.negative`. Data with baskets have no such files, since the layout
  knows one test item a user.
- `NAME.train.inter`, `NAME.valid.inter` and `NAME.test.inter`: RecBole's atomic files. Its settings are
  `data_path: DIR`, `dataset: NAME`, `benchmark_filename: [train, valid, test]`. A basket is a `session_id`. RecBole
  1.2.1 reads its own ml-100k whatever `data_path` says, so choose another name.
- `interactions.parquet` (part, user, item, time, basket) and `candidates.parquet` (part, instance, user, candidate,
  is_target).

Users and items are numbered from 0. Times are no seconds: they only sort a user's history, or a basket. With
`protocol.test_item=random` two held-out items next to each other may be in the wrong order. An instance is a row of
`NAME.test.inter`, numbered from 0; `sdmr score` reads scores by these numbers.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from sdmr.datasets.files import write_atomic
from sdmr.datasets.task import HeldOut, Task
from sdmr.experiments.core import cli
from sdmr.experiments.core.options import FileName, TaskOptions
from sdmr.experiments.core.run import compose_task
from sdmr.harness.evaluation import check_not_empty

ATOMIC = {"user": "user_id:token", "item": "item_id:token", "time": "timestamp:float", "basket": "session_id:token"}


class Options(TaskOptions):
    to: str = Field(description="folder to write into")
    name: FileName | None = Field(None, description="name of the files, by default the data set's")


def main(options: Options) -> int:
    task = compose_task(options.dataset, options.overrides).load_task()
    print(*export_task(task, options.name or options.dataset, Path(options.to)), sep="\n")
    return 0


def export_task(task: Task, name: str, folder: Path) -> list[Path]:
    """Write the task's files into `folder`/`name`, and return them. Raises DataError if nothing is held out."""
    check_not_empty(task.test)
    held_out = {"valid": task.training.validation, "test": task.test}
    rows = _tabulate_interactions(task)
    files: dict[str, bytes] = {}
    for part, table in rows.groupby("part", sort=False):
        if "basket" not in rows:
            ratings = table.assign(rating=1)[["user", "item", "rating", "time"]]
            files[f"{name}.{part}.rating"] = _format_tsv(ratings, False)
        files[f"{name}.{part}.inter"] = _format_tsv(table.drop(columns="part").rename(columns=ATOMIC), True)
    if "basket" not in rows:
        files |= {f"{name}.{part}.negative": _format_negatives(side) for part, side in held_out.items()}
    candidates = pd.concat([_tabulate_candidates(part, side) for part, side in held_out.items()])
    files |= {
        "interactions.parquet": rows.to_parquet(index=False),
        "candidates.parquet": candidates.to_parquet(index=False),
    }
    for file, content in files.items():
        write_atomic(folder / name / file, content)
    return [folder / name / file for file in files]


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


def _tabulate_candidates(part: str, side: HeldOut) -> pd.DataFrame:
    """Return [instances × candidates] rows."""
    number = side.candidates.shape[1]
    columns = {
        "instance": np.arange(len(side)).repeat(number),
        "user": side.users.repeat(number),
        "candidate": side.candidates.ravel(),
        "is_target": (side.candidates == side.targets[:, None]).ravel(),
    }
    return pd.DataFrame({"part": part, **columns})


def _format_negatives(side: HeldOut) -> bytes:
    """Return a line an instance: (user,target) and the other candidates."""
    others = side.candidates[side.candidates != side.targets[:, None]].reshape(len(side), -1)
    pairs = zip(side.users.tolist(), side.targets.tolist(), others.tolist(), strict=True)
    return "".join(f"({user},{target})\t" + "\t".join(map(str, row)) + "\n" for user, target, row in pairs).encode()


def _format_tsv(table: pd.DataFrame, header: bool) -> bytes:
    return table.to_csv(None, sep="\t", header=header, index=False, lineterminator="\n").encode()


if __name__ == "__main__":
    sys.exit(cli.main(["export", *sys.argv[1:]]))
