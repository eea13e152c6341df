"""Choose a model's settings by validation NDCG@10: `python -m sdmr.experiments.sweep model=sdm dataset=ml-100k`.

A model's space is `conf/space/MODEL.yaml`: stages, each some axes with their values. `search=staged` (the default) goes
from stage to stage: it crosses the stage's axes, everything else at the best settings so far, and goes on with the best
of all. `search=grid` crosses all axes of all stages. `search=carried from=DATASET` tries the best settings of a search
on another data set (`most=3`).

`budget=30`: single-thread minutes, of all runs that the search has used, wherever they were made; a grid has no end to
them unless one is given. When they are spent the search begins no more runs, and says which it left out. Runs are made
with `test=false`: finished ones are found again, so that the same line continues a search that died, and two searches
at once share the work. Further overrides (`epochs=20`, `model.context_length=5`) hold for every run, and take their
axis out of the space.
"""

from __future__ import annotations

import csv
import io
import shlex
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import inf, prod
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from sdmr.datasets.files import write_atomic
from sdmr.experiments import chosen
from sdmr.experiments.configs import OF_THE_DATASET, compose_run, taken_from
from sdmr.experiments.execute import Run, is_running, make_run, own_seconds, seconds_in_all, task_of, told_when_cut_off
from sdmr.experiments.jobs import CORES, at_least_one, refuse_ignored, run_all
from sdmr.harness.schema1 import translate_override
from sdmr.harness.training.optimizer import OptimizationConfig

SPACES = Path(__file__).parent / "conf" / "space"
OPTIONS = ("model", "dataset", "search", "from", "most", "budget", "jobs", "results")
COLUMNS = ("stage", "settings", "NDCG@10", "hit@10", "best_epoch", "seconds", "run", "commit", "error")
METRIC = "NDCG@10"
KINDS = ("staged", "grid", "carried")

Settings = dict[str, Any]  # of some axes: key -> value


@dataclass(frozen=True)
class Space:
    """What may be chosen for a model, as its file says."""

    name: str
    stages: list[dict[str, list[Any]]]
    model: str = ""  # if the name is not that of a model
    parts: dict[str, str] = field(default_factory=dict)  # part of the model -> the space that it is chosen from
    fixed: Settings = field(default_factory=dict)
    with_baskets: dict[str, list[Any]] = field(default_factory=dict)  # axes that have other values there; none: no axis


def space_of(name: str) -> Space:
    """The space of a model. Raises ValueError if it has none."""
    path = SPACES / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(path.stem for path in SPACES.glob("*.yaml")))
        raise ValueError(f"model={name}: there is no {path.name} in {SPACES}/; there are {known}")
    return Space(name, **OmegaConf.to_container(OmegaConf.load(path)))  # type: ignore[arg-type]


@dataclass
class Point:
    """Some settings, and what is known of their run."""

    stage: int
    settings: Settings
    job: tuple[str, ...]
    run: Run
    record: dict[str, Any] | None
    error: str = ""

    @property
    def score(self) -> float:
        """Validation NDCG@10; -1 if there is no record."""
        return self.record["validation"][METRIC]["expected"] if self.record else -1.0


class Search:
    """The points of one search, in the order in which they were thought of."""

    def __init__(self, name: str, dataset: str, overrides: Sequence[str], budget: float) -> None:
        self.space, self.dataset, self.overrides, self.budget = space_of(name), dataset, tuple(overrides), budget
        self.notes: list[str] = []
        self.fixed = self.space.fixed | self._of_parts()
        keys = {_pair(override)[0] for override in overrides}
        self.given = keys | {f"model.{_in_model(key)}" for key in keys.intersection(OF_THE_DATASET)}
        self.points: dict[Path, Point] = {}
        config, _ = compose_run(self._job({}))
        self.runs = Path(config["runs"])
        self.plain = make_run(config, dataset, self.runs).config

    def _of_parts(self) -> Settings:
        """The settings that were chosen for the model's parts, as settings of the model."""
        settings = {}
        for part, name in self.space.parts.items():
            try:
                overrides = chosen.read(self.dataset, name, self.overrides)
            except chosen.NotChosen as error:
                self.notes.append(f"{part}, {name} on {self.dataset}: {error}; plain ones")
                continue
            for override in overrides:
                key, value = _pair(override)
                own = _in_model(key) if key in OF_THE_DATASET else key.removeprefix("model.")
                settings[f"model.{part}.{own}"] = value
        return settings

    def _job(self, settings: Settings) -> tuple[str, ...]:
        first = (f"model={self.space.model or self.space.name}", f"dataset={self.dataset}", "test=false")
        return (*first, *self.as_overrides(settings), *self.overrides)

    def as_overrides(self, settings: Settings) -> list[str]:
        """The settings and the fixed ones as overrides of a run, but for those that the command line has given."""
        return self._not_given(self.fixed | settings)

    def _not_given(self, settings: Settings) -> list[str]:
        return [f"{key}={_text(value)}" for key, value in settings.items() if key not in self.given]

    def rounds(self, search: str, settings: Sequence[Settings] | None = None) -> Iterator[list[Point]]:
        """The points of one stage after the other. The next is asked for when those before have been run.

        A grid has one stage, and so have given `settings`.
        """
        if settings is not None:
            yield _distinct(self.point(1, self._fitting(one)) for one in settings)
            return
        stages = self._axes()
        if search == "grid":
            stages = [{axis: values for stage in stages for axis, values in stage.items()}]
        for number, axes in enumerate(stages, 1):
            yield self._crossed(number, axes)

    def later(self, number: int) -> int:
        """The points of a staged search after this stage; each stage finds the best of those before there."""
        return sum(prod(map(len, axes.values())) - 1 for axes in self._axes()[number:])

    @cached_property
    def _of_baskets(self) -> Mapping[str, list[Any]]:
        """The axes that have other values on this data set because it has baskets."""
        of_task = [o for o in self.overrides if o.lstrip("+").startswith(("dataset.", "split_seed=", "protocol."))]
        training = task_of([f"dataset={self.dataset}", *of_task])[0].training
        return self.space.with_baskets if training.instances.has_baskets else {}

    def _fitting(self, settings: Settings) -> Settings:
        """Settings carried over from another data set, without those that this one's baskets rule out."""
        own = self._of_baskets
        return {k: v for k, v in settings.items() if k not in own or str(v) in map(str, own[k])}

    def _axes(self) -> list[dict[str, list[Any]]]:
        """The axes of each stage on this data set, without those that the command line has set."""
        stages = []
        for stage in self.space.stages:
            values = {axis: self._of_baskets.get(axis, v) for axis, v in stage.items()}
            stages.append({axis: v for axis, v in values.items() if v and axis not in self.given})
        return [stage for stage in stages if stage] or [{}]

    def _crossed(self, number: int, axes: dict[str, list[Any]]) -> list[Point]:
        """The points of a stage, those nearest to the best so far (at first, to plain settings) first."""
        start = self.best.settings if self.best else {}
        here = {axis: start.get(axis, _value(self.plain, axis)) for axis in axes}

        def distance(values: Sequence[Any]) -> int:
            steps = 0
            for (axis, all_values), value in zip(axes.items(), values, strict=True):
                if here[axis] in all_values:
                    steps += abs(all_values.index(value) - all_values.index(here[axis]))
            return steps

        crossed = sorted(product(*axes.values()), key=distance)
        return [self.point(number, start | dict(zip(axes, values, strict=True))) for values in crossed]

    def point(self, stage: int, settings: Settings) -> Point:
        """The point of these settings: one that is known by now, or a new one."""
        job = self._job(settings)
        run = make_run(*compose_run(job), self.runs)
        point = self.points.setdefault(run.folder, Point(stage, settings, job, run, run.record))
        point.settings |= settings  # it may be found again by an axis that it had left at its plain value
        return point

    @property
    def best(self) -> Point | None:
        """The point with the best score, the first of equal ones."""
        finished = [point for point in self.points.values() if point.record]
        return max(finished, key=lambda point: point.score, default=None)

    @property
    def minutes(self) -> float:
        """Single-thread minutes of all runs that were used, parts included."""
        records = [point.record for point in self.points.values() if point.record]
        return seconds_in_all(records, self.runs) / 60

    def within_budget(self, points: Iterable[Point]) -> Iterator[tuple[str, ...]]:
        """The jobs to do, while there is budget for one more; those that another process is at work on come last.

        What is running, and the next one, are taken to need what the others needed in the mean, parts aside, which are
        there by then.
        """
        waiting = [point for point in points if point.record is None]
        begun: list[Point] = []
        while waiting:
            finished = [own_seconds(point.record) for point in self.points.values() if point.record]
            running = sum(point.record is None and not point.error for point in begun)
            if self.minutes + (running + 1) * sum(finished) / max(len(finished), 1) / 60 > self.budget:
                return
            point = next((point for point in waiting if not is_running(point.run)), waiting[0])
            waiting.remove(point)
            begun.append(point)
            yield point.job

    def run(self, points: Sequence[Point], workers: int) -> None:
        """Run the points that have no record yet, and note what comes of them."""
        by_job = {point.job: point for point in points}
        for outcome in run_all(self.within_budget(points), self.runs, workers):
            point = by_job[outcome.overrides]
            point.record, point.error = outcome.record, " ".join(outcome.error.split())
            print(f"  {self.line(point)} ({self.minutes:.1f} of {self.budget:g} min)", flush=True)

    @property
    def unfinished(self) -> list[Point]:
        """The points that failed, or that the budget has left out."""
        return [point for point in self.points.values() if point.record is None]

    def chosen(self, point: Point) -> list[str]:
        """The overrides that make the point's settings, without those of the data set and of this machine."""
        given = [o for o in self.overrides if _pair(o)[0].startswith("model.") or _pair(o)[0] in OF_THE_DATASET]
        return [*self.as_overrides(point.settings), *given]

    def _settings(self, point: Point) -> list[str]:
        """The point's settings of the model, as the run had them: with what the command line set in their place."""
        own = self._not_given(point.settings)
        for key, value in map(_pair, self.overrides):
            in_model = f"model.{_in_model(key)}" if key in OF_THE_DATASET else key
            if key.startswith("model.") or in_model in point.settings:
                own.append(f"{in_model}={value}")
        return own

    def provenance(self, point: Point, search: str, options: dict[str, str]) -> list[str]:
        """How the point came to be chosen, in a few lines."""
        assert point.record is not None
        values = [f"{metric} {point.record['validation'][metric]['expected']:.4f}" for metric in (METRIC, "hit@10")]
        if "best_epoch" in point.record:
            late = ", among the last five allowed" if point.record["best_among_last_5_allowed"] else ""
            values.append(f"best epoch {point.record['best_epoch']}{late}")
        finished = [p.record for p in self.points.values() if p.record]
        commits = sorted({record["environment"]["commit"] or "unknown" for record in finished})
        own = [f"{key}={options[key]}" for key in ("search", "from", "most", "budget", "results") if key in options]
        given = [o for o in self.overrides if not o.startswith("runs=")]
        lines = [
            f"validation {', '.join(values)}, seed {point.record['config']['seed']}; run {point.run.folder.name}",
            f"{search} search: {len(finished)} runs, {self.minutes:.1f} of {self.budget:g} single-thread minutes",
            f"space: experiments/conf/space/{self.space.name}.yaml; all points: "
            f"{options.get('results', 'results')}/sweeps/{self.dataset}/{self.space.name}.csv",
            f"commit {', '.join(commits)}",
            chosen.COMMAND.removeprefix("# ")
            + shlex.join([f"model={self.space.name}", f"dataset={self.dataset}", *own, *given]),
        ]
        return [*lines, *self.notes, *(self.line(p) for p in self.unfinished)]

    def as_csv(self) -> str:
        """One row a point, the failed ones and those left out among them; the seconds are without those of parts."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for point in self.points.values():
            row = [point.stage, " ".join(self._settings(point))]
            if record := point.record:
                row += [f"{record['validation'][metric]['expected']:.6f}" for metric in (METRIC, "hit@10")]
                row += [record.get("best_epoch", ""), f"{own_seconds(record):.1f}"]
                row += [point.run.folder.name, record["environment"]["commit"], ""]
            else:
                row += ["", "", "", "", point.run.folder.name, "", point.error or "left out"]
            writer.writerow(row)
        return text.getvalue()

    def label(self, point: Point) -> str:
        """The point's settings, without what all points have in common."""
        return " ".join(self._not_given(point.settings)) or "plain settings"

    def line(self, point: Point) -> str:
        """A point in one line."""
        if point.record is None:
            return f"{self.label(point)}: {f'FAILED, {point.error}' if point.error else 'left out'}"
        return f"{self.label(point)}: validation {METRIC} {point.score:.4f}"


def _distinct(points: Iterable[Point]) -> list[Point]:
    return list({point.run.folder: point for point in points}.values())


def _text(value: Any) -> str:
    """A value as Hydra's command line reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(config: dict[str, Any], path: str) -> Any:
    """The value at a dotted path."""
    for key in path.split("."):
        config = config[key]
    return config


def carried(results: Path, dataset: str, name: str, most: int) -> list[Settings]:
    """The best settings of a search on another data set, the best first. Raises ValueError if there are none."""
    path = results / "sweeps" / dataset / f"{name}.csv"
    if not path.exists():
        raise ValueError(f"from={dataset}: there was no search of {name}, that is no {path}")
    with path.open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row[METRIC]]
    if not rows or most < 1:
        raise ValueError(f"from={dataset} most={most}: no settings to carry over; {path} has {len(rows)} with a score")
    rows.sort(key=lambda row: -float(row[METRIC]))
    return [dict(_pair(translate_override(override)) for override in row["settings"].split()) for row in rows[:most]]


def _in_model(key: str) -> str:
    """Where a model's config has a setting of OF_THE_DATASET."""
    return f"optimization.{key}" if hasattr(OptimizationConfig, key) else key


def _pair(override: str) -> tuple[str, str]:
    key, _, value = override.lstrip("+").partition("=")
    return key, value


def searched(name: str, overrides: Sequence[str], options: dict[str, str]) -> tuple[Search, list[Settings] | None]:
    """The search that a command line asks for, and the settings that it is to try, if they are carried over.

    Raises ValueError if there is no such search.
    """
    kind = options.get("search", "staged")
    if kind not in KINDS or (kind == "carried") != ("from" in options):
        raise ValueError(f"search must be {', '.join(KINDS)}, and from=DATASET goes with carried; not search={kind}")
    refuse_ignored(overrides)
    dataset = options.get("dataset", "ml-100k")
    for override in overrides:
        key = _pair(override)[0]
        if key == "test":
            raise ValueError("test: a search never ranks the test items")
        if (
            key.startswith("protocol.")
            or key == "split_seed"
            or (key.startswith("dataset.") and dataset not in chosen.FILES)
        ):
            raise ValueError(
                f"{override}: what is chosen is for the default protocol's items, and for {dataset} as its name has "
                "it; for others, search by `python -m sdmr.experiments.run -m test=false`"
            )
    budget = float(options.get("budget", inf if kind == "grid" else 30))
    search = Search(name, dataset, overrides, budget)
    if kind != "carried":
        return search, None
    results = Path(options.get("results", "results"))
    return search, carried(results, options["from"], name, int(options.get("most", 3)))


def search_one(name: str, overrides: Sequence[str], options: dict[str, str]) -> bool:
    """Search, write what was chosen, copy the records. Whether no run has failed."""
    kind, results = options.get("search", "staged"), Path(options.get("results", "results"))
    search, given = searched(name, overrides, options)
    dataset = search.dataset
    print(f"{name} on {dataset}: {kind} search, {search.budget:g} single-thread minutes", flush=True)
    for note in search.notes:
        print(f"  {note}")
    workers, before, start = at_least_one(options.get("jobs", str(CORES))), search.minutes, time.perf_counter()
    for number, points in enumerate(search.rounds(kind, given), 1):
        found = sum(point.record is not None for point in points)
        print(f" stage {number}: {len(points)} points, {found} of them there", flush=True)
        search.run(points, workers)
    for point in search.unfinished:
        print(f"  {search.line(point)}", file=sys.stderr if point.error else sys.stdout)
    wall, own = time.perf_counter() - start, 60 * (search.minutes - before)
    print(f"  took {wall:.0f} s; what was run took {own:.0f} s, by {workers} workers: {own / workers:.0f} s")
    folder = results / "sweeps" / dataset
    write_atomic(folder / f"{name}.csv", search.as_csv().encode())
    for point in search.points.values():
        if point.record:
            write_atomic(folder / f"{point.run.folder.name}.json", (point.run.folder / "record.json").read_bytes())
    if search.best is None:
        print("  no run has finished, so that nothing is chosen", file=sys.stderr)
    else:
        replaced = chosen.score(dataset, name)
        if replaced and round(search.best.score, 4) < replaced:  # as the file has it
            print(f"  in place of settings that were better, validation {METRIC} {replaced:.4f}", file=sys.stderr)
        path = chosen.write(dataset, name, search.chosen(search.best), search.provenance(search.best, kind, options))
        print(f"  chosen: {search.line(search.best)}\n  written to {path}; records in {folder}/", flush=True)
    return not any(point.error for point in search.points.values())


def main() -> int:
    options, overrides = taken_from(sys.argv[1:], OPTIONS)
    if not options.get("model"):
        print(__doc__, file=sys.stderr)
        return 2
    whole = True
    for name in options["model"].split(","):
        try:
            whole &= search_one(name, overrides, options)
        except (ValueError, ArgumentTypeError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            whole = False
    return 0 if whole else 1


if __name__ == "__main__":
    with told_when_cut_off():
        sys.exit(main())
