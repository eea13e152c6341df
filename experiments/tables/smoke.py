"""Every model on every data set for one epoch, what it costs in time and memory.

`python -m sdmr.experiments.tables.smoke`
Plain settings, seed 0, SDMR on an SDP and an SDM of one epoch each. The metrics of such a run say nothing, so none is
printed. A data set whose file is not to be had is left out, and keeps what was published.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import write_atomic
from sdmr.experiments.configs import MODELS, compose_run
from sdmr.experiments.execute import make_run
from sdmr.experiments.jobs import CORES, at_least_one, heeded, run_all
from sdmr.experiments.tables.accuracy import job

DATASETS = ("ml-100k", "ml-1m", "netflix-sample", "epinions", "ta-feng", "ijcai-15")
COLUMNS = ("dataset", "model", "epoch_seconds", "rank_seconds", "peak_mib", "commit")
NOTE = (
    "Each cell: seconds of an epoch (of the whole fit, where there are none) + seconds to rank all validation and "
    "test instances | peak memory of the process in MiB, of which some 400 are PyTorch and the other packages. One "
    "thread; by the wall clock, other runs beside it, so that the seconds are upper bounds. –: not run yet."
)


def costs(folder: Path) -> list[dict[str, str]]:
    """A row for every record in `folder`/DATASET/MODEL.json, in the order of `DATASETS` and `MODELS`."""
    rows = []
    for dataset in DATASETS:
        for model in MODELS:
            path = folder / dataset / f"{model}.json"
            if path.exists():
                record = json.loads(path.read_text(encoding="utf-8"))
                epoch = record["history"][1]["fit_seconds"] if "history" in record else record["seconds"]["fit"]
                numbers = (epoch, record["seconds"]["rank"], record["peak_memory_mib"])
                texts = (dataset, model, *(f"{value:.1f}" for value in numbers), record["environment"]["commit"])
                rows.append(dict(zip(COLUMNS, texts, strict=True)))
    return rows


def markdown(rows: Sequence[dict[str, str]], overrides: Sequence[str] = ()) -> str:
    """The table for reading: a line a model, a column a data set. `overrides`: of the runs that were made last."""
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    made_with = [f"**Some of it is made with {' '.join(overrides)}.**", ""] if overrides else []
    lines = ["# One epoch of every model on every data set", "", NOTE, "", *made_with]
    lines += [f"| model | {' | '.join(datasets)} |", "|---|" + "---:|" * len(datasets)]
    cells = {(row["dataset"], row["model"]): row for row in rows}
    for model in dict.fromkeys(row["model"] for row in rows):
        texts = []
        for dataset in datasets:
            cell = cells.get((dataset, model))
            texts.append(
                f"{float(cell['epoch_seconds']):.0f} + {float(cell['rank_seconds']):.0f} s \\| "
                f"{float(cell['peak_mib']):,.0f}"
                if cell
                else "–"
            )
        lines.append(f"| {MODELS[model].name} | {' | '.join(texts)} |")
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    return "\n".join([*lines, "", f"Made from {len(rows)} records of commit {commits}."]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--jobs", type=at_least_one, default=CORES, help="runs side by side, on one thread each")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="this machine's records")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the published ones")
    parser.add_argument("overrides", nargs="*", type=heeded, default=[], help="of every run")
    arguments = parser.parse_intermixed_args()
    failures, jobs = [], {}
    for dataset in arguments.datasets:
        for model in arguments.models:
            overrides = job(dataset, model, 0, "plain", ["epochs=1", *arguments.overrides])
            try:
                make_run(*compose_run(overrides), arguments.runs)
            except DataError as error:
                print(f"{dataset} is left out: {error}")
                break
            except ValueError as error:  # no such setting
                failures.append(f"{model} on {dataset}: {error}")
                continue
            jobs[overrides] = (dataset, model)
    folder = arguments.results / "records" / "smoke"
    for outcome in tqdm(run_all(list(jobs), arguments.runs, arguments.jobs), total=len(jobs), unit="run", disable=None):
        dataset, model = jobs[outcome.overrides]
        if outcome.record is None:
            failures.append(f"{model} on {dataset}: {outcome.error}")
            continue
        text = json.dumps(outcome.record, indent=1, ensure_ascii=False) + "\n"
        write_atomic(folder / dataset / f"{model}.json", text.encode())
    rows = costs(folder)
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    text = markdown(rows, arguments.overrides)
    write_atomic(arguments.results / "smoke.csv", table.getvalue().encode())
    write_atomic(arguments.results / "smoke.md", text.encode())
    print(text)
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
