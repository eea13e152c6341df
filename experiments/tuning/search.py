"""Search for a model's best settings by a number of trials, within CPU minutes."""

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from statistics import fmean

from sdmr.experiments.core.cluster import get_launcher
from sdmr.experiments.core.parallel import Outcome, run_all
from sdmr.experiments.core.trackers import Watch
from sdmr.experiments.tuning.options import TRIALS, SearchOptions, check_options
from sdmr.experiments.tuning.pruning import make_watch, read_history, summarize
from sdmr.experiments.tuning.row import SearchedRow
from sdmr.experiments.tuning.sampler import Sampler
from sdmr.experiments.tuning.space import METRIC, Settings, read_budget
from sdmr.experiments.tuning.study import Study
from sdmr.experiments.tuning.trial import Trial, select_best


class Search:
    """The trials of a model, those of before included.

    Raises UsageError for options that make no search.
    """

    def __init__(self, name: str, options: SearchOptions) -> None:
        check_options(options)
        self.options, self.row = options, SearchedRow(name, options)
        axes, is_grid = self.row.axes, options.search == "grid"
        n_combinations = prod(map(len, axes.values()))
        self.limit = min(options.trials or (n_combinations if is_grid else TRIALS), n_combinations)
        self.budget = read_budget(options.dataset) if options.budget is None else options.budget
        path = Path(options.results) / "sweeps" / options.dataset / self.row.file_name
        lock = Path(options.runs) / options.dataset / f".{path.stem}.search"
        self.study = Study(path, lock, axes, self.row.make_run, self.row.shared_settings)
        default, first = self.study.read_settings(self.row.default), self.row.list_first_settings()
        self.sampler = Sampler(axes, default, first, self.row.default.config["seed"], is_grid)
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
        axes = [axis for axis in self.row.space.beyond_paper if trial.settings.get(axis) != default.get(axis)]
        return self.row.parts.beyond_paper + axes

    def run(self) -> Iterator[Trial]:
        """Make the runs of pending and new trials; yield each as it ends.

        The budget may forbid one more trial while others run, and allow it when these have ended early. So the search
        ends when it could start none.
        """
        while True:
            n_started = len(self._started)
            yield from self._run_trials()
            if len(self._started) == n_started:
                return

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

    def describe(self, trial: Trial) -> str:
        """Return a trial in one line: its settings, and its score or fate."""
        result = {
            "complete": f"validation {METRIC} {trial.score:.4f}",
            "pruned": f"pruned after epoch {trial.epoch}, validation {METRIC} {trial.score:.4f}",
            "failed": f"FAILED, {trial.error}",
            "running": "not finished",
        }
        return f"{trial.description}: {result[trial.state]}"

    def _run_trials(self) -> Iterator[Trial]:
        """Make runs while the budget allows one more; yield the trial of each."""
        runs = Path(self.options.runs)
        trials: dict[tuple[str, ...], Trial] = {}
        watches: dict[tuple[str, ...], Watch] = {}
        tasks = self._start_trials(trials, watches)
        for outcome in run_all(tasks, runs, self.options.workers, watches, get_launcher(self.options, runs), trials):
            trial = trials[outcome.overrides]
            _save_outcome(trial, outcome)
            self.study.tell(trial)
            self.trials = self.study.read()
            yield trial

    def _start_trials(
        self, started: dict[tuple[str, ...], Trial], watches: dict[tuple[str, ...], Watch]
    ) -> Iterator[tuple[str, ...]]:
        """Yield the overrides of each trial to run, while the budget allows it."""
        while trial := self.study.ask(self._suggest, self.allows, self.is_pending):
            self._started.add(trial.run.folder.name)
            self.trials = self.study.read()
            known = [one.record.history or [] for one in self.trials if one.record and one.number in trial.known]
            overrides = self.row.list_overrides(trial.settings)
            if watch := make_watch(known, 60 * (self.budget - self.minutes), self.options.prune):
                watches[overrides] = watch
            started[overrides] = trial
            yield overrides
        self.trials = self.study.read()  # with those whose runs exist already

    def _suggest(self, trials: Sequence[Trial]) -> Settings | None:
        return self.sampler.suggest(trials) if len(trials) < self.limit else None


def _save_outcome(trial: Trial, outcome: Outcome) -> None:
    """Fill in what came of a trial without a record."""
    trial.error = " ".join(outcome.error.split())
    if outcome.record is None:
        trial.state = "pruned" if outcome.is_stopped else "failed"
        trial.epoch, trial.score, trial.cpu_seconds = summarize(read_history(trial.run.folder))
