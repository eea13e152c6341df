"""Tables 3 and 4: train what this machine has not, and print paper, published and own values side by side.

`python -m sdmr.experiments.tables.accuracy 3 --datasets ml-100k --seeds 1 --config plain`
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sdmr.datasets.errors import DataError
from sdmr.experiments import chosen
from sdmr.experiments.configs import CONF, MODELS, compose_run, model_of, ties_of
from sdmr.experiments.execute import make_run, told_when_cut_off
from sdmr.experiments.jobs import CORES, at_least_one, heeded, run_all
from sdmr.experiments.tables.cells import (
    METRICS,
    Cell,
    best_on_validation,
    cells_of,
    comparisons,
    per_user,
    records_of,
    rows,
)
from sdmr.experiments.uncertainty import paired
from sdmr.harness.metrics import TiePolicy
from sdmr.harness.records import read_record

DEFAULTS = {3: ["ml-100k"], 4: ["ta-feng"]}
FIRST_TO_LAST = {"sdm": 0, "sdp": 1, "sdmr": 3}


def arguments_of(description: str) -> argparse.Namespace:
    """The command line that `accuracy` and `publish` share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("table", type=int, choices=(3, 4))
    parser.add_argument("--datasets", nargs="+", help="default: ml-100k for Table 3, ta-feng for Table 4")
    parser.add_argument(
        "--models", nargs="+", help=f"default: every model of the table; of {', '.join(MODELS)}, or package.Class"
    )
    parser.add_argument("--seeds", type=at_least_one, default=1, help="seeds 0 … n − 1 of each model that has one")
    parser.add_argument("--config", choices=("plain", "chosen"), default="plain", help="settings of the models")
    parser.add_argument("--jobs", type=at_least_one, default=CORES, help="runs side by side, on one thread each")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="this machine's records")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the published ones")
    parser.add_argument("overrides", nargs="*", type=heeded, default=[], help="of every run, such as epochs=2")
    arguments = parser.parse_intermixed_args()
    arguments.datasets = arguments.datasets or DEFAULTS[arguments.table]
    arguments.models = arguments.models or rows()
    known = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml"))
    for dataset in arguments.datasets:
        if dataset not in known:
            parser.error(f"--datasets: {dataset!r} is none of {', '.join(known)}")
    for model in arguments.models:
        if model not in MODELS and "." not in model:
            parser.error(f"--models: {model!r} is none of {', '.join(MODELS)}, nor a class such as package.Class")
    return arguments


def job(dataset: str, model: str, seed: int, config: str, overrides: Sequence[str] = ()) -> tuple[str, ...]:
    """The overrides of `sdmr.experiments.run` for one run of the table.

    A class of one's own has the settings of its constructor, however the others' were found. Raises NotChosen if the
    model was never tuned, or on other data.
    """
    tuned = chosen.read(dataset, model, overrides) if config == "chosen" and model in MODELS else []
    return (f"model={model}", f"dataset={dataset}", f"seed={seed}", *tuned, *overrides)


def has_seed(model: str) -> bool:
    """Whether a model draws anything, as anyone's own may. Those that do not are run once."""
    return model not in MODELS or "optimization" in compose_run([f"model={model}"])[0]["model"]


def print_table(
    table: int, datasets: Sequence[str], cells: Sequence[Cell], published: Path, overrides: Sequence[str]
) -> None:
    """One line a model: for each metric the paper's value, the published one, and this machine's.

    The caption names the overrides, such as those of the protocol, that the runs were made and read with.
    """
    known, settings = _published(published)
    width = max(12, *(len(cell.model) + 2 for cell in cells))
    made_with = f", made with {' '.join(overrides)}" if overrides else ""
    for dataset in datasets:
        how = f" ({', '.join(sorted(settings[dataset]))} settings)" if dataset in settings else ""
        print(f"\nTable {table}, {dataset}{made_with}: paper | published{how} | this machine (± over seeds)")
        print(" " * width + "".join(f"{metric:^32}" for metric in METRICS))
        for model in dict.fromkeys(cell.model for cell in cells):
            line = f"{model:{width}}"
            for cell in (c for c in cells if (c.dataset, c.model) == (dataset, model)):
                spread = "" if cell.spread is None else f" ±{cell.spread:.3f}"
                own = number(cell.ours) + spread
                line += f"{number(cell.paper):>6} | {number(known.get((dataset, model, cell.metric))):>5} | {own:<14}"
            print(line.rstrip())


def told_comparisons(dataset: str, records: Mapping[str, Sequence[Path]], ties: TiePolicy) -> Iterator[str]:
    """A line for each class of one's own, against the best baseline, and for the paper's models against each group's.

    `records`: those of each model on the data set; `ties`: how the metrics read one.
    """
    for c in comparisons(dataset, {model: paths for model, paths in records.items() if model in MODELS}, ties):
        low, high = c.interval
        yield (
            f"{dataset}, {c.model} less {c.baseline}, the best {c.group} baseline here by validation: NDCG@10 "
            f"{c.difference:+.3f} ({low:+.3f} … {high:+.3f}), p {p_value(c.corrected, '= ')} "
            "(paired t-test over users, Holm)"
        )
    ours = {m: paths for m, paths in records.items() if m in MODELS}
    baselines = {m: paths for m, paths in ours.items() if MODELS[m].target.startswith("sdmr.baselines.")}
    for model in (model for model in records if model not in MODELS and baselines):
        best = best_on_validation(baselines)
        texts = []
        for metric in METRICS:
            mean, (low, high), p = paired(*(per_user(records[one], metric, ties) for one in (model, best)))
            texts.append(f"{metric} {mean:+.3f} ({low:+.3f} … {high:+.3f}), p {p_value(p, '= ')}")
        yield (
            f"{dataset}, {model_of(model).name} less {MODELS[best].name}, the best baseline here by validation: "
            f"{'; '.join(texts)} (paired t-test over users)"
        )


def number(value: float | None) -> str:
    """Three decimals, a dash for nothing."""
    return "–" if value is None else f"{value:.3f}"


def p_value(p: float, equals: str = "") -> str:
    """Two digits, after `equals`; a bound for what is too small to be told from 0."""
    return f"{equals}{p:.2g}" if p else "< 1e-300"


def _published(path: Path) -> tuple[dict[tuple[str, str, str], float], dict[str, set[str]]]:
    """The published value of each data set, model and metric; and with what settings those of a data set were made."""
    if not path.exists():
        return {}, {}
    with path.open(encoding="utf-8") as lines:
        cells = [row for row in csv.DictReader(lines) if row["ours"]]
    settings: dict[str, set[str]] = {}
    for row in cells:
        settings.setdefault(row["dataset"], set()).add(row["settings"])
    return {(row["dataset"], row["model"], row["metric"]): float(row["ours"]) for row in cells}, settings


def wanted(arguments: argparse.Namespace) -> dict[tuple[str, ...], tuple[str, str]]:
    """The overrides of each run of the table, and its data set and model."""
    jobs = {}
    for dataset in arguments.datasets:
        for model in arguments.models:
            for seed in range(arguments.seeds if has_seed(model) else 1):
                try:
                    jobs[job(dataset, model, seed, arguments.config, arguments.overrides)] = (dataset, model)
                except chosen.NotChosen as error:
                    print(f"{model_of(model).name} on {dataset} is left out: {error}")
                    break
    return jobs


def estimate(published: Path, waiting: Sequence[tuple[str, str]], models: Sequence[str], workers: int) -> str:
    """How long the waiting runs (data set, model) may take, by the seconds of their published records.

    Parts that are among the table's `models` are runs of their own there, and are not counted twice.
    """
    rows = {model_of(model).target.rpartition(".")[2] for model in models}

    def taken(record: dict[str, Any]) -> float:
        of_rows = all(name.partition("-")[0] in rows for name in record["parts"].values())
        return sum(s for phase, s in record["seconds"].items() if phase != "parts" or not of_rows)

    seconds, unknown = 0.0, 0
    for dataset, model in waiting:
        records = [read_record(path) for path in records_of(published, dataset, model)]
        seconds += statistics.mean(map(taken, records)) if records else 0
        unknown += not records
    without = f", and {unknown} for which there is no estimate" if unknown else ""
    return f"about {seconds / workers / 60:.0f} min, if this machine is as fast as the one that published{without}"


def main() -> int:
    arguments = arguments_of(__doc__)
    start, ties = time.perf_counter(), ties_of(arguments.overrides)
    jobs = wanted(arguments)
    failures, ready, absent = [], {}, set()
    for overrides, (dataset, _) in jobs.items():
        if dataset in absent:
            continue
        try:
            ready[overrides] = make_run(*compose_run(overrides), arguments.runs)
        except DataError as error:  # looked for once, since it may take a while to find that nobody has it
            absent.add(dataset)
            failures.append(f"{dataset}: {error}")
        except ValueError as error:  # such as a setting that it must be given
            failures.append(f"{' '.join(overrides)}: {error}")
    waiting = [overrides for overrides, run in ready.items() if run.record is None]
    # The longest run first; SDMR last, since it waits for SDP and SDM of its seed.
    waiting.sort(key=lambda overrides: FIRST_TO_LAST.get(jobs[overrides][1], 2))
    print(f"{len(ready) - len(waiting)} runs are there, {len(waiting)} to do, {arguments.jobs} side by side")
    if waiting:
        published = arguments.results / "records" / f"table{arguments.table}"
        of_waiting = [jobs[overrides] for overrides in waiting]
        print(estimate(published, of_waiting, arguments.models, arguments.jobs), flush=True)
    outcomes = run_all(waiting, arguments.runs, arguments.jobs)
    for outcome in tqdm(outcomes, total=len(waiting), unit="run", disable=None if waiting else True):
        if outcome.record is None:
            failures.append(f"{' '.join(outcome.overrides)}: {outcome.error}")
            continue
        values = " ".join(f"{metric} {outcome.record['test'][metric][ties]:.3f}" for metric in METRICS)
        seconds = sum(outcome.record["seconds"].values())
        late = ", best epoch among the last five allowed" if outcome.record.get("best_among_last_5_allowed") else ""
        tqdm.write(f"{' '.join(outcome.overrides)}: {values} ({seconds:.0f} s{late})")
    records: dict[tuple[str, str], list[Path]] = {}
    for overrides, run in ready.items():
        if run.record is not None:
            records.setdefault(jobs[overrides], []).append(run.folder / "record.json")
    cells = [
        cell
        for dataset in arguments.datasets
        for model in arguments.models
        for cell in cells_of(arguments.table, dataset, model_of(model).name, records.get((dataset, model), []), ties)
    ]
    published = arguments.results / f"table{arguments.table}.csv"
    print_table(arguments.table, arguments.datasets, cells, published, arguments.overrides)
    print()
    for dataset in arguments.datasets:
        of_dataset = {model: paths for (of, model), paths in records.items() if of == dataset}
        for line in told_comparisons(dataset, of_dataset, ties):
            print(line)
    print(f"{time.perf_counter() - start:.0f} s in all; records in {arguments.runs}/")
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    with told_when_cut_off():
        sys.exit(main())
