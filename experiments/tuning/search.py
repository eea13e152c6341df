"""A search for a model's best settings.

It makes its points stage by stage, within a budget of single-thread minutes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf, prod
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import Field

from sdmr.experiments.core.arguments import SHARED_SETTINGS, flatten
from sdmr.experiments.core.execute import compute_runtime
from sdmr.experiments.core.options import Names, RunOptions, UsageError
from sdmr.experiments.core.parallel import run_all
from sdmr.experiments.core.plan import check_overrides
from sdmr.experiments.core.record import Record
from sdmr.experiments.core.run import Run, compose_run
from sdmr.experiments.core.tuned import is_user_data
from sdmr.experiments.tuning.space import METRIC, Axes, Settings, Space, format_overrides, get_model_key, parse_override

DEFAULT_BUDGET = 30.0


class SearchOptions(RunOptions):
    """The options of a search."""

    model: Names = Field(description="models to tune, one after the other")
    dataset: str = Field("ml-100k", description="data set")
    search: Literal["staged", "grid", "transferred"] = Field("staged", description="which settings are tried")
    source: str | None = Field(None, description="data set whose best settings are tried by search=transferred")
    top: int = Field(3, ge=1, description="how many of its settings are tried")
    budget: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="single-thread minutes a model; null: 30, a grid has no limit"
    )


@dataclass
class Point:
    """Settings that are tried, and what is known of their run."""

    stage: int
    settings: Settings
    overrides: tuple[str, ...]
    run: Run
    record: Record | None
    error: str = ""

    @property
    def score(self) -> float:
        """Return the validation NDCG@10, or -1 without a record."""
        return self.record.validation[METRIC]["expected"] if self.record else -1.0


class Search:
    """The points of a model's search, in the order in which they were made.

    Raises UsageError for options that make no search.
    """

    def __init__(self, name: str, options: SearchOptions) -> None:
        _check_options(options)
        self.options, self.space = options, Space.load(name)
        self.runs, self.results = Path(options.runs), Path(options.results)
        default_budget = inf if options.search == "grid" else DEFAULT_BUDGET
        self.budget = default_budget if options.budget is None else options.budget  # single-thread minutes
        self.points: dict[Path, Point] = {}
        self.overrides = dict(map(parse_override, options.overrides))
        self.overridden = {*self.overrides, *map(get_model_key, self.overrides)}
        self.fixed = self.space.fixed
        parts, self.notes = self.space.read_part_settings(options.dataset, self._compose({}).config["dataset"])
        self.fixed = self.space.fixed | parts
        self.default = self._compose({})
        has_baskets = self.default.load_task().training.instances.has_baskets
        self.axes = self.space.select_axes(has_baskets, self.overridden)
        if options.search == "grid":
            self.axes = [{axis: values for stage in self.axes for axis, values in stage.items()}]
        self.transferred: list[Settings] = []
        if options.source is not None:
            best = self.space.read_best_settings(self.results, options.source, options.top)
            self.transferred = [self.space.drop_impossible(settings, has_baskets) for settings in best]

    @property
    def best(self) -> Point | None:
        """Return the point with the best score, the first of equal ones."""
        finished = [point for point in self.points.values() if point.record]
        return max(finished, key=lambda point: point.score, default=None)

    @property
    def records(self) -> list[Record]:
        """Return the records of the points that have one."""
        return [point.record for point in self.points.values() if point.record]

    @property
    def unfinished(self) -> list[Point]:
        """Return the points that failed, or that the budget leaves out."""
        return [point for point in self.points.values() if point.record is None]

    @property
    def minutes(self) -> float:
        """Return the single-thread minutes of all runs of the search, parts included."""
        return compute_runtime(self.records, self.runs) / 60

    def plan_stages(self) -> Iterator[list[Point]]:
        """Yield the points of each stage. A stage depends on the runs of the stages before it."""
        if self.transferred:
            points = [self.add_point(1, settings) for settings in self.transferred]
            yield list({point.run.folder: point for point in points}.values())
        else:
            for stage, axes in enumerate(self.axes, 1):
                yield self._cross(stage, axes)

    def count_remaining(self, stage: int) -> int:
        """Return the number of points after a stage. The best of the stages before is a point of each stage."""
        return 0 if self.transferred else sum(prod(map(len, axes.values())) - 1 for axes in self.axes[stage:])

    def add_point(self, stage: int, settings: Settings) -> Point:
        """Return the point of these settings: a known one, or a new one."""
        run = self._compose(settings)
        if run.folder not in self.points:
            self.points[run.folder] = Point(stage, settings, self._list_overrides(settings), run, run.record)
        point = self.points[run.folder]
        point.settings |= settings  # an axis whose default value is the point's may be new to it
        return point

    def run(self, points: Sequence[Point]) -> Iterator[Point]:
        """Make the missing runs, and yield each point as its run ends."""
        planned_points = {point.overrides: point for point in points}
        for outcome in run_all(self.select_affordable(points), self.runs, self.options.workers):
            point = planned_points[outcome.overrides]
            point.record, point.error = outcome.record, " ".join(outcome.error.split())
            yield point

    def select_affordable(self, points: Iterable[Point]) -> Iterator[tuple[str, ...]]:
        """Yield the overrides of missing runs, while the budget allows one more.

        Runs of another process come last. A run that is not finished is expected to take the mean of the finished
        ones, parts aside, which exist by then.
        """
        pending = [point for point in points if point.record is None]
        started: list[Point] = []
        while pending:
            running = sum(point.record is None and not point.error for point in started)
            expected = fmean([record.runtime for record in self.records] or [0.0]) / 60
            if self.minutes + (running + 1) * expected > self.budget:
                return
            point = next((point for point in pending if not point.run.is_running), pending[0])
            pending.remove(point)
            started.append(point)
            yield point.overrides

    def get_tuned_settings(self, point: Point) -> Settings:
        """Return the settings that make the point's model, on any data and machine."""
        overrides = {k: v for k, v in self.overrides.items() if k.startswith("model.") or k in SHARED_SETTINGS}
        return self._drop_overridden(self.fixed | point.settings) | overrides

    def get_varied_settings(self, point: Point) -> Settings:
        """Return the point's settings, and the overrides of the model.

        An override replaces the point's setting of the same key. The fixed settings of the space are left out.
        """
        settings = self._drop_overridden(point.settings)
        for key, value in self.overrides.items():
            if key.startswith("model.") or get_model_key(key) in point.settings:
                settings[get_model_key(key)] = value
        return settings

    def format_settings(self, point: Point) -> str:
        """Return the point's settings without what all points share."""
        return " ".join(format_overrides(self._drop_overridden(point.settings))) or "default settings"

    def describe(self, point: Point) -> str:
        """Return a point in one line: its settings, and its score or fate."""
        result = f"FAILED, {point.error}" if point.error else "left out"
        if point.record is not None:
            result = f"validation {METRIC} {point.score:.4f}"
        return f"{self.format_settings(point)}: {result}"

    def _compose(self, settings: Settings) -> Run:
        return compose_run(self._list_overrides(settings), self.runs)

    def _list_overrides(self, settings: Settings) -> tuple[str, ...]:
        first = (f"model={self.space.model or self.space.name}", f"dataset={self.options.dataset}", "test=false")
        varied = format_overrides(self._drop_overridden(self.fixed | settings))
        return (*first, *varied, *self.options.overrides)

    def _drop_overridden(self, settings: Settings) -> Settings:
        return {key: value for key, value in settings.items() if key not in self.overridden}

    def _cross(self, stage: int, axes: Axes) -> list[Point]:
        """Return the points of a stage, the nearest to the best so far first.

        At the first stage, that is the nearest to the default settings.
        """
        start = self.best.settings if self.best else {}
        center = flatten(self.default.config) | start

        def measure_distance(settings: Settings) -> int:
            return sum(
                abs(values.index(settings[axis]) - values.index(center[axis]))
                for axis, values in axes.items()
                if center.get(axis) in values
            )

        points = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
        return [self.add_point(stage, start | settings) for settings in sorted(points, key=measure_distance)]


def _check_options(options: SearchOptions) -> None:
    """Raise UsageError for options that make no search, and for overrides it does not allow."""
    is_transferred = options.search == "transferred"
    if is_transferred != (options.source is not None) or ("top" in options.model_fields_set and not is_transferred):
        raise UsageError("source=DATASET and top=N are options of search=transferred, which needs a source")
    check_overrides(options.overrides, fixed=("settings",))
    for override in options.overrides:
        key = override.partition("=")[0]
        if key == "test":
            raise UsageError(f"{override}: a search never ranks the test items")
        is_other_data = key.startswith("dataset.") and not is_user_data(options.dataset)
        if is_other_data or key.startswith("protocol.") or key == "split_seed":
            raise UsageError(
                f"{override}: tuned settings are for the default protocol, and for {options.dataset} as its name "
                "defines it; for others, search by `sdmr run -m test=false`"
            )
