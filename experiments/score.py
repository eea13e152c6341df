"""Rank by scores made elsewhere: `python -m sdmr.experiments.score scores=FILE dataset=ml-100k name=SASRec`.

FILE is parquet or csv with the columns instance, candidate and score: one row for every test instance and candidate of
an export's `candidates.parquet`, in any order, higher is better. The record is that of a run, tie bounds included;
without `name` it is known by the file's name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import compute_sha256
from sdmr.datasets.parsing import Layout, check_no_duplicates, open_raw, read_columns
from sdmr.datasets.task import HeldOut
from sdmr.experiments.configs import taken_from, ties_of
from sdmr.experiments.execute import by_novelty, deviations, result_line, task_of
from sdmr.harness.evaluation import check_not_empty
from sdmr.harness.files import save_arrays, save_json
from sdmr.harness.metrics import count_ranks, count_ties, summarize
from sdmr.harness.protocol import Protocol
from sdmr.harness.records import collect_environment, compute_run_key

COLUMNS: dict[str, type[int] | type[float] | type[str]] = {"instance": int, "candidate": int, "score": float}


def read_scores(path: Path, instances: HeldOut) -> NDArray[np.floating]:
    """[n, C] the file's scores of the instances' candidates.

    Raises DataError at the first row that is unknown, stands there twice, or has no finite score; or if one is missing;
    or if there are no instances.
    """
    check_not_empty(instances)
    table, first_line = _read(path)
    instance, candidate, scores = (table[name].to_numpy() for name in COLUMNS)
    # Rows of candidates are sorted, and so are the keys, row after row.
    n_items = 1 + int(instances.candidates.max())
    keys = (np.arange(len(instances))[:, None] * n_items + instances.candidates).ravel()
    unknown = (instance < 0) | (instance >= len(instances)) | (candidate < 0) | (candidate >= n_items)
    of_row, of_column = (np.where(unknown, 0, given).astype(np.int64) for given in (instance, candidate))
    key = of_row * n_items + of_column
    place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
    unknown |= keys[place] != key
    if unknown.any():
        row = int(unknown.argmax())
        raise DataError(
            f"{path}, line {row + first_line}: item {candidate[row]} is no candidate of instance {instance[row]}, "
            f"expected one of the {instances.candidates.shape[1]} of an instance from 0 to {len(instances) - 1}"
        )
    check_no_duplicates(path, table, ["instance", "candidate"], first_line)
    if not np.isfinite(scores).all():
        row = int((~np.isfinite(scores)).argmax())
        raise DataError(f"{path}, line {row + first_line}: the score is {scores[row]}, expected a finite number")
    if len(table) < len(keys):
        is_there = np.zeros(len(keys), dtype=bool)
        is_there[place] = True
        number, column = divmod(int((~is_there).argmax()), instances.candidates.shape[1])
        raise DataError(
            f"{path}: found {len(table)} rows, expected {len(keys)}; the first missing one is instance {number}, "
            f"candidate {instances.candidates[number, column]}"
        )
    found = np.empty(len(keys), dtype=scores.dtype)
    found[place] = scores
    return found.reshape(instances.candidates.shape)


def _read(path: Path) -> tuple[pd.DataFrame, int]:
    """The file's three columns, and the line number of the first row (of parquet, which has no lines, 1)."""
    if path.suffix == ".parquet":
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        for name, kind in COLUMNS.items():
            is_kind = pd.api.types.is_integer_dtype if kind is int else pd.api.types.is_float_dtype
            if name not in table or not is_kind(table[name]):
                found = ", ".join(f"{column} ({dtype})" for column, dtype in table.dtypes.items())
                raise DataError(f"{path}: found columns {found}, expected instance, candidate (int) and score (float)")
        return table[list(COLUMNS)], 1
    with open_raw(path) as raw:
        header = raw.readline().decode("utf-8-sig", errors="replace").strip().split(",")
    if not set(COLUMNS) <= set(header) or len(set(header)) < len(header):
        raise DataError(f"{path}, line 1: found columns {', '.join(header)}, expected {', '.join(COLUMNS)}")
    layout = Layout({name: COLUMNS.get(name, str) for name in header}, ",", header=True)
    return read_columns(path, layout, list(COLUMNS)), 2


def score(path: Path, overrides: list[str], name: str) -> tuple[dict[str, Any], Path]:
    """The record of the scores in `path`, which is written, and its folder.

    Raises ValueError for overrides that ranking does not heed, and for a name that is a path.
    """
    for key in (override.lstrip("+").partition("=")[0] for override in overrides):
        is_heeded = key in ("dataset", "split_seed", "runs") or key.startswith(("dataset.", "protocol."))
        if not is_heeded or key == "protocol.select_on":
            raise ValueError(f"{key} has no effect here: the scores are there already, and the test items are ranked")
    if Path(name).name != name or name in ("", ".."):
        raise ValueError(f"name={name}: expected the name of a model, not a path")
    task, run = task_of(overrides)
    protocol = Protocol(**run.config["protocol"])
    if protocol.candidates == "all":
        raise ValueError("protocol.candidates=all: only the candidates of the split can be scored, 100 or 99")
    scores = read_scores(path, task.test)
    ranks = count_ranks(scores, task.test.target_columns, keep_sort_position=protocol.keeps_sort_position)
    config = {key: run.config[key] for key in ("dataset", "split_seed", "protocol")} | {"scores": path.name}
    digest = compute_sha256(path)
    folder = run.folder.parent / f"{name}-{compute_run_key(config, run.data, digest)}"
    record = {
        "model": name,
        "dataset": run.dataset,
        "config": config,
        "data": run.data,
        "scores": digest,
        "deviations": deviations(run),
        "test": summarize(ranks),
        "ties": count_ties(ranks),
        **by_novelty(task, ranks),
        "environment": collect_environment(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_arrays(folder / "ranks.npz", users=task.test.users, **ranks.to_arrays())
    save_json(record, folder / "record.json")
    return record, folder


def main() -> int:
    try:
        given, overrides = taken_from(sys.argv[1:], ("scores", "name"))
        if "scores" not in given:
            sys.exit("say scores=FILE, parquet or csv, and dataset=NAME")
        path = Path(given["scores"])
        record, folder = score(path, overrides, given.get("name", path.name.partition(".")[0]))
    except ValueError as error:
        sys.exit(str(error))
    print(result_line(record, folder, ties_of(overrides)))
    for metric, readings in record["test"].items():
        print(f"{metric:8}" + "  ".join(f"{reading} {value:.4f}" for reading, value in readings.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
