"""Rank by scores made elsewhere: `sdmr score scores=FILE dataset=ml-100k name=SASRec`.

FILE is parquet or csv with the columns instance, candidate and score. It has one row for every test instance and
candidate of an export's `candidates.parquet`, in any order; a higher score is better. The record is that of a run, tie
bounds included. Without `name` the file's name names it.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import compute_sha256
from sdmr.datasets.parsing import Layout, check_no_duplicates, read_columns
from sdmr.datasets.table_file import TableFile
from sdmr.datasets.task import HeldOut
from sdmr.experiments.core import cli
from sdmr.experiments.core.deviations import describe_result, list_deviations
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import FileName, Numbers, TaskOptions
from sdmr.experiments.core.plan import read_tie_policy
from sdmr.experiments.core.ranking import compute_novelty_metrics, compute_test_digests, place_cold_targets
from sdmr.experiments.core.record import Record, TieCounts, read_environment, save_record
from sdmr.experiments.core.run import Run, compose_task
from sdmr.experiments.core.run_files import RANKS, RECORD
from sdmr.experiments.core.task_files import select_candidates
from sdmr.experiments.report.writers import make_table
from sdmr.harness.evaluation import check_not_empty
from sdmr.harness.ids import save_ids
from sdmr.harness.metrics import CUTOFFS, METRIC_NAMES, count_ranks, count_ties, summarize
from sdmr.harness.records import compute_run_key, get_peak_memory, read_ranks, save_ranks

COLUMNS: dict[str, type[int] | type[float] | type[str]] = {"instance": int, "candidate": int, "score": float}
PARQUET_KINDS = {"instance": "iu", "candidate": "iu", "score": "iuf"}  # of any width


class Options(TaskOptions):
    scores: str = Field(description="file of scores, parquet or csv")
    name: FileName | None = Field(None, description="name of the model, by default that of the file")
    cutoffs: Numbers = Field(list(CUTOFFS), description="k of the hit@k and NDCG@k that are printed")
    runs: str = Field("runs", description="folder of this machine's records")


def main(options: Options) -> int:
    path = Path(options.scores)
    name = options.name or path.name.partition(".")[0] or path.name
    record, folder = score(path, compose_task(options.dataset, options.overrides, Path(options.runs)), name)
    print(describe_result(record, folder, read_tie_policy(options.overrides)))
    metrics = summarize(read_ranks(folder / RANKS)[1], options.cutoffs, METRIC_NAMES)
    rows = [{"metric": one, **{policy: f"{value:.4f}" for policy, value in metrics[one].items()}} for one in metrics]
    print(make_table(rows, "text", right=list(rows[0])[1:]))
    return 0


def score(path: Path, run: Run, name: str) -> tuple[Record, Path]:
    """Rank by the scores in a file, on the task of a run. Returns the record, which is written, and its folder.

    Raises UsageError for a protocol that ranks other candidates than the split's.
    """
    start = time.perf_counter()
    if run.protocol.candidates == "all":
        raise UsageError("protocol.candidates=all: only the candidates of the split can be scored, such as 100")
    task = run.load_task()
    scores = read_scores(path, task.test)
    ranks = count_ranks(scores, task.test.target_columns, keep_sort_position=run.protocol.keeps_sort_position)
    ranks = place_cold_targets(ranks, task.test, task.training.n_items)
    config = {key: run.config[key] for key in ("dataset", "split_seed", "protocol")} | {"scores": path.name}
    digest = compute_sha256(path)
    folder = run.folder.with_name(f"{name}-{compute_run_key(config, run.data, digest)}")
    record = Record(
        run=folder.name,
        model=name,
        dataset=run.dataset,
        config=config,
        data=run.data,
        source=digest,
        data_report=dict(task.report),
        deviations=list_deviations(run),
        validation={},
        ids=save_ids(task.training, run.folder.parent),
        test=summarize(ranks),
        ties=TieCounts.model_validate(count_ties(ranks)),
        seconds={"rank": time.perf_counter() - start},
        peak_memory_mib=get_peak_memory(),
        environment=read_environment(),
        **compute_novelty_metrics(task, ranks),
        **compute_test_digests(task),
    )
    save_ranks(folder / RANKS, task.test.users, ranks)
    save_record(record, folder / RECORD)
    return record, folder


def read_scores(path: Path, instances: HeldOut) -> NDArray[np.floating]:
    """Return the file's scores of the instances' candidates: [n, C], −∞ for padding.

    Raises DataError at the first row that is unknown, a duplicate, or has no finite score. A missing row also raises
    it, and so does a lack of instances.
    """
    check_not_empty(instances)
    table, first_line = _read_table(path)
    is_candidate = select_candidates(instances)
    expected = pd.DataFrame({"instance": np.nonzero(is_candidate)[0], "candidate": instances.candidates[is_candidate]})
    cells = table.merge(expected.reset_index(names="cell"), "left", ["instance", "candidate"])["cell"]
    if cells.isna().any():
        row = int(cells.isna().argmax())
        raise DataError(
            f"{path}, line {row + first_line}: item {table['candidate'].iloc[row]} is no candidate of instance "
            f"{table['instance'].iloc[row]}, expected one of the {'' if is_candidate.all() else 'at most '}"
            f"{is_candidate.shape[1]} of an instance from 0 to {len(instances) - 1}"
        )
    check_no_duplicates(path, table, ["instance", "candidate"], first_line)
    values = table["score"].to_numpy(np.float64, na_value=np.nan)
    if not np.isfinite(values).all():
        row = int((~np.isfinite(values)).argmax())
        raise DataError(f"{path}, line {row + first_line}: the score is {values[row]}, expected a finite number")
    if len(table) < len(expected):
        instance, candidate = expected.drop(cells).iloc[0]
        raise DataError(
            f"{path}: found {len(table)} rows, expected {len(expected)}; the first missing one is instance {instance}, "
            f"candidate {candidate}"
        )
    scores = np.full(is_candidate.shape, -np.inf)
    ordered = np.empty(len(expected))
    ordered[cells.to_numpy(np.intp)] = values
    scores[is_candidate] = ordered
    return scores


def _read_table(path: Path) -> tuple[pd.DataFrame, int]:
    """Return the file's three columns, and the line of its first row.

    That is 1 in a parquet file.
    """
    if TableFile(path).resolved_format == "parquet":
        return _read_parquet(path), 1
    header = TableFile(path, "csv").names
    if not set(COLUMNS) <= set(header):
        raise DataError(f"{path}, line 1: found columns {', '.join(header):.80}, expected {', '.join(COLUMNS)}")
    others = tuple(name for name in header if name not in COLUMNS)
    types = {name: COLUMNS.get(name, str) for name in header}
    layout = Layout(types, ",", header=True, quoted=True, optional=others)
    return read_columns(path, layout, list(COLUMNS)), 2


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if any(name not in table or table[name].dtype.kind not in kinds for name, kinds in PARQUET_KINDS.items()):
        columns = ", ".join(f"{name} ({dtype})" for name, dtype in table.dtypes.items())
        raise DataError(f"{path}: found columns {columns}, expected instance, candidate (int) and score (number)")
    return table[list(COLUMNS)]


if __name__ == "__main__":
    sys.exit(cli.main(["score", *sys.argv[1:]]))
