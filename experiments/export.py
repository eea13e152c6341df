"""Write a task for somebody else's program: `python -m sdmr.experiments.export dataset=ml-100k to=DIR`.

DIR/NAME/ holds the split and the candidates three times, NAME being the data set's, or what `name=NAME` says:

- `NAME.train.rating`, `NAME.test.rating` and `NAME.test.negative`, the layout of He et al. (2017), and the validation
  items apart, in `NAME.valid.rating` and `NAME.valid.negative`. Not of baskets: the layout knows one test item a user;
- `NAME.train.inter`, `NAME.valid.inter` and `NAME.test.inter`, RecBole's atomic files: `data_path: DIR`,
  `dataset: NAME`, `benchmark_filename: [train, valid, test]`. A basket is a `session_id`. RecBole 1.2.1 has an ml-100k
  of its own and reads that one whatever `data_path` says: give another name;
- `interactions.parquet` (part, user, item, time, basket) and `candidates.parquet` (part, instance, user, candidate,
  is_target).

Users and items are numbered from 0, as everywhere in this suite. Times are no seconds: they sort a user's history (or a
basket), no more; with `protocol.test_item=random` two held-out items next to each other may be the wrong way round. An
instance, for `sdmr.experiments.score`, is a row of `NAME.test.inter`, numbered from 0.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.datasets.files import write_atomic
from sdmr.datasets.task import HeldOut, Task
from sdmr.experiments.configs import taken_from
from sdmr.experiments.execute import task_of
from sdmr.harness.evaluation import check_not_empty

ATOMIC = {"user": "user_id:token", "item": "item_id:token", "time": "timestamp:float", "basket": "session_id:token"}


def export(task: Task, name: str, folder: Path) -> list[Path]:
    """Write the task's files into `folder`/`name`; returns them. Raises DataError if nothing is held out."""
    check_not_empty(task.test)
    held_out = {"valid": task.training.validation, "test": task.test}
    rows = _interactions(task)
    files: dict[str, bytes] = {}
    for part, of in rows.groupby("part", sort=False):
        if "basket" not in rows:
            files[f"{name}.{part}.rating"] = _tabbed(of.assign(rating=1)[["user", "item", "rating", "time"]], False)
        table = of.drop(columns="part").rename(columns=ATOMIC)
        files[f"{name}.{part}.inter"] = _tabbed(table, True)
    if "basket" not in rows:
        files |= {f"{name}.{part}.negative": _negatives(side) for part, side in held_out.items()}
    files["interactions.parquet"] = _parquet(rows)
    files["candidates.parquet"] = _parquet(pd.concat([_candidates(part, side) for part, side in held_out.items()]))
    (folder / name).mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        write_atomic(folder / name / file, content)
    return [folder / name / file for file in files]


def _interactions(task: Task) -> pd.DataFrame:
    """Every row of the data: part, user, item, time and, if there are any, basket; a part in the order of instances."""
    tables = []
    # A held-out item stands before the training item of its place, the validation item before the test item.
    for part, side, late in (
        ("train", task.training.instances, 2),
        ("valid", task.training.validation, 0),
        ("test", task.test, 1),
    ):
        columns = {"user": side.users, "item": side.targets, "time": 3 * side.contexts.position + late}
        tables.append(pd.DataFrame({"part": part, **columns, "basket": side.contexts.start}))
    rows = pd.concat(tables, ignore_index=True)
    return rows if task.training.instances.has_baskets else rows.drop(columns="basket")


def _candidates(part: str, side: HeldOut) -> pd.DataFrame:
    """[instances × candidates] rows."""
    number = side.candidates.shape[1]
    columns = {
        "instance": np.arange(len(side)).repeat(number),
        "user": side.users.repeat(number),
        "candidate": side.candidates.ravel(),
        "is_target": (side.candidates == side.targets[:, None]).ravel(),
    }
    return pd.DataFrame({"part": part, **columns})


def _negatives(side: HeldOut) -> bytes:
    """A line an instance: (user,target) and the other candidates."""
    others = side.candidates[side.candidates != side.targets[:, None]].reshape(len(side), -1)
    pairs = zip(side.users.tolist(), side.targets.tolist(), others.tolist(), strict=True)
    return "".join(f"({user},{target})\t" + "\t".join(map(str, row)) + "\n" for user, target, row in pairs).encode()


def _tabbed(table: pd.DataFrame, header: bool) -> bytes:
    return table.to_csv(None, sep="\t", header=header, index=False, lineterminator="\n").encode()


def _parquet(table: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    table.to_parquet(content, index=False)
    return content.getvalue()


def main() -> int:
    try:
        given, overrides = taken_from(sys.argv[1:], ("to", "name"))
        if "to" not in given:
            sys.exit("say to=DIR, the folder to write into, and dataset=NAME")
        task, run = task_of(overrides)
        paths = export(task, given.get("name", run.dataset), Path(given["to"]))
    except ValueError as error:
        sys.exit(str(error))
    print(*paths, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
