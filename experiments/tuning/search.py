"""Search for a model's best settings by a number of trials, within CPU minutes."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from functools import reduce
from math import prod
from operator import getitem
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import Field

from sdmr.experiments.core.arguments import SHARED_SETTINGS, flatten
from sdmr.experiments.core.cluster import ClusterOptions, get_launcher
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.options import Names, NotTunedError, RunOptions, UsageError
from sdmr.experiments.core.parallel import Outcome, run_all
from sdmr.experiments.core.plan import check_overrides
from sdmr.experiments.core.registry import GRID, list_datasets
from sdmr.experiments.core.run import Run, compose_run, make_run
from sdmr.experiments.core.trackers import Watch
from sdmr.experiments.core.tuned import is_user_data, read_tuned
from sdmr.experiments.tuning.pruning import make_watch, read_history, summarize
from sdmr.experiments.tuning.sampler import Sampler
from sdmr.experiments.tuning.space import (
    METRIC,
    Parts,
    Settings,
    Space,
    format_overrides,
    get_model_key,
    parse_override,
    read_budget,
)
from sdmr.experiments.tuning.study import Study, Trial, select_best

TRIALS = 20  # of search=tpe


class SearchOptions(RunOptions, ClusterOptions):
    """The options of a search."""

    model: Names = Field(description="models to tune, one after the other")
    dataset: str = Field("ml-100k", description="data set")
    search: Literal["tpe", "grid"] = Field(
        "tpe", description="Optuna's sampler, or every combination of the paper's grid"
    )
    trials: int | None = Field(
        None, ge=1, description=f"trials of a model, pruned ones included; null: {TRIALS}, or the grid"
    )
    budget: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="CPU minutes of a model at most; null: those of conf/budgets.yaml",
    )
    prune: bool = Field(True, description="stop trials with a hopeless validation curve; false: continue stopped ones")


class Search:
    """The trials of a model, those of before included.

    Raises UsageError for options that make no search.
    """

    def __init__(self, name: str, options: SearchOptions) -> None:
        _check_options(options)
        self.options, self.space = options, Space.load(name)
        self.runs, self.results = Path(options.runs), Path(options.results)
        self.overrides = dict(map(parse_override, options.overrides))
        self.overridden = {*self.overrides, *map(get_model_key, self.overrides)}
        self.fixed = self.space.fixed
        self.parts, self.default = Parts(), compose_run(self.list_overrides({}), self.runs)
        if self.space.parts:
            self.parts = self.space.read_parts(options.dataset, self.default.config["dataset"])
            self.fixed = self.space.fixed | self.parts.settings
            self.default = compose_run(self.list_overrides({}), self.runs)
        is_grid = options.search == "grid"
        left_out = self.overridden | set(self.space.beyond_paper + self.space.readings if is_grid else ())
        self.axes = self.space.select_axes(self.default.load_task().training.instances.has_baskets, left_out)
        size = prod(map(len, self.axes.values()))
        self.limit = min(options.trials or (size if is_grid else TRIALS), size)
        self.budget = read_budget(options.dataset) if options.budget is None else options.budget
        compose_config(self.list_overrides({axis: values[-1] for axis, values in self.axes.items()}))  # as a check
        shared = {key: value for key, value in self.overrides.items() if key.startswith("model.")}
        shared |= {key: v for k, v in self.overrides.items() if (key := get_model_key(k)) in self.space.axes}
        path = self.results / "sweeps" / options.dataset / f"{name}.csv"
        lock = self.runs / options.dataset / f".{name}.search"
        self.study = Study(path, lock, self.axes, self._make_run, shared)
        first = None if is_grid else self._list_first_settings()
        self.sampler = Sampler(self.axes, self.study.read_settings(self.default), first, self.default.config["seed"])
        self.trials = self.study.read()
        self._started: set[str] = set()  # runs that this search has started, which it does not try again

    @property
    def best(self) -> Trial | None:
        """Return the finished trial with the best score, the first of equal ones."""
        best = select_best(self.trials)
        return best if best and best.record else None

    @property
    def best_in_paper(self) -> Trial | None:
        """Return the best one of those that do not leave what the paper searches."""
        return select_best(trial for trial in self.trials if not self.list_axes_beyond_paper(trial))

    @property
    def minutes(self) -> float:
        """Return the CPU minutes of all trials, without those of parts."""
        return sum(trial.cpu_seconds for trial in self.trials) / 60

    @property
    def spent(self) -> str:
        """Return the CPU minutes, and the budget."""
        return f"{self.minutes:.1f} of {self.budget:g} CPU minutes"

    @property
    def is_capped(self) -> bool:
        """Tell whether the budget leaves no room for a further trial."""
        return len(self.trials) < self.limit and not self.allows(self.trials)

    def select(self, *states: str) -> list[Trial]:
        """Return the trials in these states."""
        return [trial for trial in self.trials if trial.state in states]

    def list_axes_beyond_paper(self, trial: Trial) -> list[str]:
        """Return the axes on which a trial leaves what the paper searches."""
        default = self.sampler.default
        axes = [axis for axis in self.space.beyond_paper if trial.settings.get(axis) != default.get(axis)]
        return self.parts.beyond_paper + axes

    def run(self) -> Iterator[Trial]:
        """Make the runs of pending and new trials; yield each as it ends.

        The budget may forbid one more trial while others run, and allow it when these have ended early.
        """
        launch, n_started = get_launcher(self.options, self.runs), -1
        while n_started < (n_started := len(self._started)):
            trials: dict[tuple[str, ...], Trial] = {}
            watches: dict[tuple[str, ...], Watch] = {}
            tasks = self._start_trials(trials, watches)
            for outcome in run_all(tasks, self.runs, self.options.workers, watches, launch, trials):
                trial = trials[outcome.overrides]
                _save_outcome(trial, outcome)
                self.study.tell(trial)
                self.trials = self.study.read()
                yield trial

    def allows(self, trials: Sequence[Trial]) -> bool:
        """Tell whether the budget allows one more trial beside those that run.

        Each of them is expected to take the mean of those that have ended.
        """
        ended = [trial.cpu_seconds for trial in trials if trial.state != "running"]
        running = sum(trial.state == "running" and self.study.is_claimed(trial.run) for trial in trials)
        return sum(ended) + (running + 1) * fmean(ended or [0.0]) <= 60 * self.budget

    def is_pending(self, trial: Trial) -> bool:
        """Tell whether a trial of the file is to be run.

        It was interrupted or has failed or, with prune=false, was pruned. Or it is the best one without a record.
        """
        states = ("running", "failed") if self.options.prune else ("running", "failed", "pruned")
        return (trial.state in states or trial.is_lost) and trial.run.folder.name not in self._started

    def get_tuned_settings(self, trial: Trial) -> Settings:
        """Return the settings that make the trial's model, on any data and machine."""
        overrides = {k: v for k, v in self.overrides.items() if k.startswith("model.") or k in SHARED_SETTINGS}
        return self._drop_overridden(self.fixed | trial.settings) | overrides

    def list_overrides(self, settings: Settings) -> tuple[str, ...]:
        """Return the command line of the run with these settings."""
        first = (f"model={self.space.model or self.space.name}", f"dataset={self.options.dataset}", "test=false")
        varied = format_overrides(self._drop_overridden(self.fixed | settings))
        return (*first, *varied, *self.options.overrides)

    def describe(self, trial: Trial) -> str:
        """Return a trial in one line: its settings, and its score or fate."""
        result = {
            "complete": f"validation {METRIC} {trial.score:.4f}",
            "pruned": f"pruned after epoch {trial.epoch}, validation {METRIC} {trial.score:.4f}",
            "failed": f"FAILED, {trial.error}",
            "running": "not finished",
        }
        return f"{trial.description}: {result[trial.state]}"

    def _start_trials(
        self, started: dict[tuple[str, ...], Trial], watches: dict[tuple[str, ...], Watch]
    ) -> Iterator[tuple[str, ...]]:
        """Yield the overrides of each trial to run, while the budget allows it."""
        while trial := self.study.ask(self._suggest, self.allows, self.is_pending):
            self._started.add(trial.run.folder.name)
            self.trials = self.study.read()
            known = [one.record.history or [] for one in self.trials if one.record and one.number in trial.known]
            overrides = self.list_overrides(trial.settings)
            if self.options.prune and (watch := make_watch(known)):
                watches[overrides] = watch
            started[overrides] = trial
            yield overrides
        self.trials = self.study.read()  # with those whose runs exist already

    def _suggest(self, trials: Sequence[Trial]) -> Settings | None:
        return self.sampler.suggest(trials) if len(trials) < self.limit else None

    def _list_first_settings(self) -> list[Settings]:
        """Return tuned settings: of other data sets, and of this row inside the paper's grid."""
        name, dataset = self.space.name, self.options.dataset
        rows = [(one, name.removesuffix(GRID)) for one in list_datasets() if one != dataset and not is_user_data(one)]
        settings = []
        for row in [*rows, (dataset, name)] if name.endswith(GRID) else rows:
            with suppress(NotTunedError):
                tuned = {get_model_key(key): value for key, value in flatten(read_tuned(*row)).items()}
                pairs = [(axis, values, tuned.get(get_model_key(axis))) for axis, values in self.axes.items()]
                settings.append({axis: values[values.index(one)] for axis, values, one in pairs if one in values})
        return settings

    def _make_run(self, settings: Settings) -> Run:
        """Return the run of settings, as `compose_run` does, in less time."""
        config = deepcopy(self.default.config)
        for key, value in settings.items():
            *path, last = get_model_key(key).split(".")
            reduce(getitem, path, config)[last] = value
        return make_run(config, self.options.dataset, self.runs)

    def _drop_overridden(self, settings: Settings) -> Settings:
        return {key: value for key, value in settings.items() if key not in self.overridden}


def _save_outcome(trial: Trial, outcome: Outcome) -> None:
    """Fill in what came of a trial without a record."""
    trial.error = " ".join(outcome.error.split())
    if outcome.record is None:
        trial.state = "pruned" if outcome.is_stopped else "failed"
        trial.epoch, trial.score, trial.cpu_seconds = summarize(read_history(trial.run.folder))


def _check_options(options: SearchOptions) -> None:
    """Raise UsageError for overrides that a search does not allow."""
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
