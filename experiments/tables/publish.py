"""Publish Tables 3 and 4: copy this machine's records to `results/`, and write the tables made from them.

`python -m sdmr.experiments.tables.publish 3 --datasets ml-100k --seeds 3`. Nothing is trained. A cell that this machine
has no records for keeps the ones published before, and the commit they were made with.
"""

from __future__ import annotations

import csv
import io
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdmr.datasets.files import write_atomic
from sdmr.experiments import chosen
from sdmr.experiments.configs import MODELS, compose_run, ties_of
from sdmr.experiments.execute import OF_THE_PAPER, Run, make_run, seconds_in_all
from sdmr.experiments.tables.accuracy import arguments_of, has_seed, job, number, p_value
from sdmr.experiments.tables.cells import (
    DATASETS,
    METRICS,
    Cell,
    Comparison,
    cells_of,
    chosen_beside,
    comparisons,
    improvements,
    ranks_beside,
    records_of,
    rows,
)
from sdmr.harness.records import read_record

COLUMNS = (
    *("dataset", "model", "metric", "paper", "ours", "spread", "seeds", "optimistic", "pessimistic"),
    *("low", "high", "verdict", "settings", "marks"),
)
NOT_OF_THE_RANKED = (
    "select_on",
    "validation_item",
    *OF_THE_PAPER,
)  # deviations that leave the test items and candidates
LATE = "best_among_last_5_allowed"
NOTE = (
    "Each cell: the paper's value | ours ± sample standard deviation over seeds (– for one seed, or a model without), "
    "[95 % bootstrap interval over users] | where the paper's value lies, seen from that interval. Ties count with "
    "their expected value. Settings: plain (d 64, one setting a model on every data set), or chosen on validation."
)
MARKS = (
    "g+ (g−): NDCG@10 is above (below) that of the general baseline that is best on validation, s+ (s−) of the "
    "sequential one; paired t-tests over users (the mean over seeds, and over a user's baskets), Holm-corrected over "
    "the comparisons on the data set, p < .05."
)


def copy_records(table: Path, dataset: str, model: str, runs: Sequence[Run], config: str) -> None:
    """Put records and ranks of all seeds of a model, and its chosen settings, in place of those published before."""
    settings = chosen_beside(table / dataset, model)
    if config == "chosen":
        write_atomic(settings, chosen.path_of(dataset, model).read_bytes())
    else:
        settings.unlink(missing_ok=True)
    for seed, run in enumerate(runs):
        target = table / dataset / f"{model}-{seed}-record.json"
        write_atomic(ranks_beside(target), (run.folder / "ranks.npz").read_bytes())
        write_atomic(target, (run.folder / "record.json").read_bytes())


def marks_of(comparisons: Sequence[Comparison]) -> dict[tuple[str, str, str], str]:
    """The marks of each cell, by data set, model and metric."""
    marks: dict[tuple[str, str, str], str] = {}
    for c in comparisons:
        place = c.dataset, c.model, "NDCG@10"
        marks[place] = f"{marks.get(place, '')} {c.mark}".strip()
    return marks


def markdown(
    table: int,
    cells: Sequence[Cell],
    records: Sequence[dict[str, Any]],
    comparisons: Sequence[Comparison],
    searches: Sequence[str],
) -> str:
    """The table for reading, the rows of improvement under it, then how the cells were made."""
    lines = [f"# Table {table}, reproduced", "", NOTE, "", *deviations_of(records)]
    datasets, marks = list(dict.fromkeys(cell.dataset for cell in cells)), marks_of(comparisons)
    for dataset in datasets:
        lines += [f"## {dataset}", "", "| model | " + " | ".join(METRICS) + " | ties | settings | seeds | commit |"]
        lines += ["|---|---|---|---|---|---:|---|"]
        for model in dict.fromkeys(cell.model for cell in cells):
            own = [cell for cell in cells if (cell.dataset, cell.model) == (dataset, model)]
            if own and any(cell.values for cell in own):
                texts = " | ".join(_readable(cell, marks) for cell in own)
                made = f"{own[0].settings} | {len(own[0].values)} | {own[0].commit}"
                lines.append(f"| {model} | {texts} | {_ties(own[-1])} | {made} |")
            elif any(cell.paper is not None for cell in own):
                papers = " | ".join(f"{number(cell.paper)} \\| not run" for cell in own)
                lines.append(f"| {model} | {papers} | – | – | 0 | – |")
        gains = [g for g in improvements(table, cells) if g[0] == dataset]
        for model, group in dict.fromkeys((g[2], g[3]) for g in gains):
            values = {g[1]: f"{_percent(g[4])} \\| {_percent(g[5])}" for g in gains if (g[2], g[3]) == (model, group)}
            texts = " | ".join(values.get(metric, "–") for metric in METRICS)
            lines.append(f"| {model} over the best {group} baseline | {texts} | | | | |")
        lines += ["", "Ties: NDCG@10 if every tie went against, or for, the target; – where both agree.", ""]
        tests = [c for c in comparisons if c.dataset == dataset]
        if tests:
            lines += [MARKS, "", "| NDCG@10 of | less that of | difference, 95 % interval | p | corrected |"]
            lines += ["|---|---|---|---:|---:|"]
        for c in tests:
            between = f"{c.difference:+.3f} ({c.interval[0]:+.3f} … {c.interval[1]:+.3f})"
            lines.append(
                f"| {c.model} | {c.baseline} ({c.group}) | {between} | {p_value(c.p)} | {p_value(c.corrected)} |"
            )
        lines += [""] * bool(tests)
    late = [f"{r['model']} on {r['dataset']}, seed {r['config']['seed']}" for r in records if r.get(LATE)]
    if late:
        lines += [f"Best epoch among the last five allowed, so that more might help: {'; '.join(late)}.", ""]
    machines = sorted({f"{r['environment']['processor']}, {r['environment']['threads']} thread(s)" for r in records})
    versions = sorted({f"torch {r['environment']['versions']['torch']}" for r in records})
    lines += [f"{line}\n" for line in searches]
    seconds = seconds_in_all(records)
    lines.append(
        f"Made from {len(records)} records on {'; '.join(machines)}; {'; '.join(versions)}; {seconds:.0f} s in all."
    )
    return "\n".join(lines) + "\n"


def deviations_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """A caption for records that were not made by the default protocol; nothing, if there are none."""
    named: dict[str, set[str]] = {}
    for record in records:
        found = record.get("deviations")
        if found:
            told = ", ".join(f"{name}={value}" for name, value in found.items())
            named.setdefault(told, set()).add(f"{record['model'].rpartition('.')[2]} on {record['dataset']}")
    texts = [f"{told} ({', '.join(sorted(models))})" for told, models in named.items()]
    return [f"**Departs from the default protocol**: {'; '.join(texts)}.", ""] if texts else []


def new_and_repeated(dataset: str, records: Mapping[str, Sequence[Path]]) -> str:
    """The metrics of new and of repeated targets (see `execute.by_novelty`), the mean over the records of each model.

    Nothing, where the records tell no such targets apart.
    """
    lines: list[str] = []
    for model, paths in records.items():
        read = [read_record(path) for path in paths]
        if not read or any("test_new" not in record for record in read):
            continue
        sides = [[record[side] for record in read] for side in ("test_new", "test_repeated")]
        if not lines:
            new, repeated = (f"{side[0]['instances']:,}" for side in sides)
            lines += [f"\n## {dataset}, {new} new and {repeated} repeated targets", ""]
            lines += [f"| model | {' | '.join(f'{m}, {s}' for s in ('new', 'repeated') for m in METRICS)} |"]
            lines += ["|---|---|---|---|---|"]
        values = [statistics.mean(one[metric]["expected"] for one in side) for side in sides for metric in METRICS]
        lines.append(f"| {MODELS[model].name} | {' | '.join(map(number, values))} |")
    return "".join(f"{line}\n" for line in lines)


def latex(table: int, cells: Sequence[Cell], comparisons: Sequence[Comparison]) -> str:
    """The same cells as a LaTeX tabular (booktabs)."""
    datasets, marks = list(dict.fromkeys(cell.dataset for cell in cells)), marks_of(comparisons)
    lines = [f"% Table {table}: the paper's value | ours ± spread", f"% {MARKS}"]
    for dataset, kind in dict.fromkeys((cell.dataset, cell.settings) for cell in cells if cell.values):
        models = dict.fromkeys(c.model for c in cells if c.values and (c.dataset, c.settings) == (dataset, kind))
        lines.append(f"% {dataset}, {kind} settings: {', '.join(models)}")
    lines.append(rf"\begin{{tabular}}{{l{'rr' * len(datasets)}}}")
    lines += [r"\toprule", " & ".join(["", *(rf"\multicolumn{{2}}{{c}}{{{d}}}" for d in datasets)]) + r" \\"]
    lines += [" & ".join(["", *list(METRICS) * len(datasets)]) + r" \\", r"\midrule"]
    index = {(cell.dataset, cell.model, cell.metric): cell for cell in cells}
    for model in dict.fromkeys(cell.model for cell in cells):
        values = [index[dataset, model, metric] for dataset in datasets for metric in METRICS]
        texts = [f"{number(v.paper)} $|$ {number(v.ours)}" + _spread(v, r" $\pm$ ") + _raised(v, marks) for v in values]
        lines.append(" & ".join([model.replace("_", r"\_"), *texts]) + r" \\")
    lines.append(r"\midrule")
    gains = improvements(table, cells)
    for model, group in dict.fromkeys((g[2], g[3]) for g in gains):
        by_place = {
            (g[0], g[1]): f"{_percent(g[4])} $|$ {_percent(g[5])}" for g in gains if (g[2], g[3]) == (model, group)
        }
        texts = [
            by_place.get((dataset, metric), "--").replace("%", r"\%") for dataset in datasets for metric in METRICS
        ]
        lines.append(" & ".join([f"{model} over best {group}", *texts]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]).replace("–", "--") + "\n"


def _raised(cell: Cell, marks: Mapping[tuple[str, str, str], str]) -> str:
    """The marks of a cell as a superscript."""
    mark = marks.get((cell.dataset, cell.model, cell.metric), "").replace("−", "-").replace(" ", r"\,")
    return rf"$^{{\mathrm{{{mark}}}}}$" if mark else ""


def tidy(cells: Sequence[Cell], comparisons: Sequence[Comparison]) -> str:
    """One row a cell, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    marks = marks_of(comparisons)
    for c in cells:
        spread = "–" if len(c.values) == 1 and c.spread is None else number(c.spread) if c.values else ""
        ours = [_exact(c.ours), spread, len(c.values), _exact(c.optimistic), _exact(c.pessimistic)]
        judged = [*(_exact(bound) for bound in c.interval or (None, None)), c.verdict, c.settings if c.values else ""]
        judged.append(marks.get((c.dataset, c.model, c.metric), "").replace("−", "-"))
        writer.writerow([c.dataset, c.model, c.metric, "" if c.paper is None else f"{c.paper:.3f}", *ours, *judged])
    return text.getvalue()


def searches_of(results: Path, dataset: str) -> list[str]:
    """What it took to choose the settings of a data set: a line, if any were chosen."""
    found = []
    for path in (results / "sweeps" / dataset).glob("*.csv"):
        with path.open(encoding="utf-8") as lines:
            found += [float(row["seconds"]) for row in csv.DictReader(lines) if row["seconds"]]
    where = f"on validation items (results/sweeps/{dataset}/)"
    minutes = f"{sum(found) / 60:.0f} single-thread minutes"
    return [f"Settings on {dataset} were chosen from {len(found)} runs, {minutes}, {where}."] if found else []


def _readable(cell: Cell, marks: Mapping[tuple[str, str, str], str]) -> str:
    bounds = f" [{cell.interval[0]:.3f}, {cell.interval[1]:.3f}]" if cell.interval else ""
    mark = marks.get((cell.dataset, cell.model, cell.metric), "")
    ours = f"{number(cell.ours)}{_spread(cell, ' ± ')}{bounds}{mark and f' {mark}'}"
    return f"{number(cell.paper)} \\| {ours} \\| {cell.verdict or '–'}"


def _spread(cell: Cell, sign: str) -> str:
    return "" if not cell.values else f"{sign}–" if cell.spread is None else f"{sign}{cell.spread:.3f}"


def _ties(cell: Cell) -> str:
    same = f"{cell.pessimistic:.3f}" == f"{cell.optimistic:.3f}"
    return "–" if same else f"{cell.pessimistic:.3f} … {cell.optimistic:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1f} %"


def _ranked(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells a record's test instances and candidates from others, with which no user can be paired."""
    deviations = {k: v for k, v in record.get("deviations", {}).items() if k not in NOT_OF_THE_RANKED}
    return record["data"], record["config"].get("split_seed", 0), tuple(sorted(deviations.items()))


def _exact(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def main() -> int:
    arguments = arguments_of(__doc__)
    if foreign := [model for model in arguments.models if model not in MODELS]:
        sys.exit(f"{', '.join(foreign)}: only the models of this suite are published")
    if given := [o for o in arguments.overrides if not o.startswith(("dataset.", "protocol.", "split_seed="))]:
        sys.exit(f"{' '.join(given)}: what is published has the plain settings, or the chosen ones")
    if strange := [dataset for dataset in arguments.datasets if dataset not in DATASETS[arguments.table]]:
        sys.exit(f"{', '.join(strange)}: table {arguments.table} has {', '.join(DATASETS[arguments.table])}")
    if ties_of(arguments.overrides) != "expected":
        sys.exit("protocol.tie_policy: what is published counts ties with their expected value, and tells the bounds")
    folder = arguments.results / "records" / f"table{arguments.table}"
    for dataset in arguments.datasets:
        complete = {}
        for model in arguments.models:
            seeds = range(arguments.seeds if has_seed(model) else 1)
            try:
                jobs = [job(dataset, model, seed, arguments.config, arguments.overrides) for seed in seeds]
                runs = [make_run(*compose_run(overrides), arguments.runs) for overrides in jobs]
            except ValueError as error:  # never tuned, or no such data
                print(f"{MODELS[model].name} on {dataset} is left out: {error}")
                continue
            name, published = f"{MODELS[model].name} on {dataset}", len(records_of(folder, dataset, model))
            found = [run.record for run in runs if run.record]
            if published > len(runs):
                print(f"{name} keeps its {published} published seeds: {len(runs)} are fewer")
            elif len(found) < len(runs):
                print(f"{name}: not all of {len(runs)} runs are in {arguments.runs}/")
            else:
                complete[model] = runs
        kept = [path for model in rows() if model not in complete for path in records_of(folder, dataset, model)]
        ranked = {_ranked(read_record(path)) for path in kept}
        for model, runs in complete.items():
            if ranked - {_ranked(run.record) for run in runs if run.record}:
                name = f"{MODELS[model].name} on {dataset}"
                print(f"{name} is left out: the other published models have ranked other candidates")
            else:
                copy_records(folder, dataset, model, runs, arguments.config)
    cells, records, tests, searches, apart = [], [], [], [], ""
    for dataset in DATASETS[arguments.table]:
        of = {model: records_of(folder, dataset, model) for model in rows()}
        if not any(of.values()):
            continue
        records += [read_record(path) for paths in of.values() for path in paths]
        for model, paths in of.items():
            settings = "chosen" if chosen_beside(folder / dataset, model).exists() else "plain"
            cells += [
                replace(c, settings=settings) for c in cells_of(arguments.table, dataset, MODELS[model].name, paths)
            ]
        tests += comparisons(dataset, of)
        if any(cell.dataset == dataset and cell.settings == "chosen" for cell in cells):
            searches += searches_of(arguments.results, dataset)
        apart += new_and_repeated(dataset, of)
    if not cells:
        print(f"nothing to publish: no complete runs in {arguments.runs}/", file=sys.stderr)
        return 1
    made = {
        "md": markdown(arguments.table, cells, records, tests, searches) + apart,
        "tex": latex(arguments.table, cells, tests),
        "csv": tidy(cells, tests),
    }
    for suffix, text in made.items():
        write_atomic(arguments.results / f"table{arguments.table}.{suffix}", text.encode())
    print(made["md"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
