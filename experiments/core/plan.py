"""Planned runs: the runs that a command needs, and how they are found or made."""

import sys
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from tqdm import tqdm

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.effects import check_effects
from sdmr.experiments.core.errors import NotTunedError, UsageError
from sdmr.experiments.core.estimate import estimate_time
from sdmr.experiments.core.grammar import is_of_hydra
from sdmr.experiments.core.parallel import Launcher, Outcome, run_all
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.registry import GRID, MODELS, can_read, get_model
from sdmr.experiments.core.run import Run, compose_run, make_recommender
from sdmr.experiments.core.run_files import CHECKPOINT, RANKS, RECORD
from sdmr.experiments.core.tuned import get_tuned_path
from sdmr.harness.metrics import TiePolicy
from sdmr.harness.records import read_ranks

# The longest run first; a model with parts last, since it waits for the runs of its parts.
PRIORITY = {"sdm": 0, "sdp": 1, "sdmr": 3}
LISTS = ("models", "datasets", "seeds")  # options that set keys of all runs
FIXED_KEYS = ("model", "dataset", "seed", "test")  # of a planned run, which no further override may change


@dataclass(frozen=True)
class PlannedRun:
    """A run that is needed: model, data set, seed, and further overrides."""

    model: str  # a name of MODELS, or a user's class
    dataset: str
    seed: int = 0
    settings: tuple[str, ...] = ()  # further overrides
    published: Path | None = None  # folder of its published record, which replaces a missing run
    group: str = ""  # what the caller tells its runs apart by, such as a factor of the audit

    @property
    def overrides(self) -> tuple[str, ...]:
        """Return the command line of the run."""
        return (f"model={self.model}", f"dataset={self.dataset}", f"seed={self.seed}", *self.settings)

    def __str__(self) -> str:
        return " ".join(self.overrides)


@dataclass(frozen=True)
class FoundRun:
    """The folder of a planned run's record: this machine's, or the published one."""

    folder: Path
    is_published: bool = False

    @property
    def record(self) -> Record:
        """Read the record."""
        return load_record(self.folder / RECORD)


@dataclass(frozen=True)
class Findings:
    """The planned runs that have a record, and why the others have none."""

    runs: dict[PlannedRun, FoundRun]
    failures: dict[PlannedRun, str]  # those that failed; a missing run that was not to be made is in neither


def check_overrides(
    overrides: Iterable[str], fixed: Sequence[str] = FIXED_KEYS, options: Container[str] = LISTS
) -> None:
    """Raise UsageError for an override that a command fixes or that its runs ignore.

    `options` are those of the command, which a message may name.
    """
    for override in overrides:
        key = override.partition("=")[0]
        if key in fixed:
            hint = f"; set {key}s=..." if f"{key}s" in options else ""
            raise UsageError(f"{override}: {key} is the same in every run of this command{hint}")
        if is_of_hydra(key):
            raise UsageError(f"{override} has no effect here; launchers work with `sdmr run -m`")
        if key in ("threads", "force"):
            raise UsageError(
                f"{override} has no effect here: runs have one thread each, and finished ones are reused; "
                "`sdmr run` makes a single one with other settings"
            )


@cache
def is_stochastic(model: str) -> bool:
    """Return whether a model draws random numbers, as a user's own may. Others are run once."""
    is_random = model not in MODELS or MODELS[model].is_random
    return is_random or "optimization" in compose_config([f"model={model}"]).settings["model"]


def read_tie_policy(overrides: Sequence[str]) -> TiePolicy:
    """Return how the overrides read a tie."""
    protocol = [override for override in overrides if override.startswith("protocol.")]
    tie_policy: TiePolicy = compose_config(["model=popularity", *protocol]).settings["protocol"]["tie_policy"]
    return tie_policy


def plan_runs(
    models: Sequence[str],
    datasets: Sequence[str],
    seeds: int,
    settings: str = "default",
    overrides: Sequence[str] = (),
) -> list[PlannedRun]:
    """Plan every model on every data set with seeds 0 to `seeds` − 1.

    With `settings="tuned"` a model that was never tuned on a data set is reported and left out. A user's class that was
    not keeps its constructor's settings. Raises UsageError for an override that is not for such runs.
    """
    check_overrides(overrides)
    check_effects(overrides, models, datasets)
    planned = []
    for dataset in datasets:
        for model in models:
            if not can_read(model, dataset):
                print(f"{get_model(model).name} on {dataset} is left out: it reads histories, and no baskets")
                continue
            choice = ("settings=tuned",) if settings == "tuned" else ()
            if choice and model.removesuffix(GRID) not in MODELS and not get_tuned_path(dataset, model).exists():
                print(f"{model} on {dataset} has no tuned settings, and keeps those of its constructor")
                choice = ()
            try:
                compose_config([f"model={model}", f"dataset={dataset}", *choice, *overrides])
            except NotTunedError as error:
                print(f"{get_model(model).name} on {dataset} is left out: {error}")
                continue
            numbers = range(seeds if is_stochastic(model) else 1)
            planned += [PlannedRun(model, dataset, seed, (*choice, *overrides)) for seed in numbers]
    return planned


def find_or_train(
    planned: Iterable[PlannedRun],
    runs: Path,
    workers: int,
    train: bool = True,
    use_published: bool = True,
    launch: Launcher | None = None,
) -> Findings:
    """Find or make the record of each planned run; else take the published one.

    Prints how many runs are cached and how many are to be made, then each run as it ends. A run that fails is reported
    with its error and does not stop the others. Without `use_published`, published records serve the estimate alone.
    `launch` makes runs on a cluster.
    Raises UsageError before any run is made, if no run has settings that are allowed.
    """
    planned = list(dict.fromkeys(planned))
    ready, failures, subjects = _compose(planned, runs)
    pending = [one for one, run in ready.items() if run.record is None]
    made: dict[PlannedRun, str] = {}  # errors of the runs that were made
    if train:
        print(f"{len(ready) - len(pending)} cached, {len(pending)} to run, {workers} workers", flush=True)
    if pending and train:
        pending.sort(key=lambda one: PRIORITY.get(one.model.removesuffix("-released").removesuffix(GRID), 2))
        print(estimate_time(pending, workers), flush=True)
        made = _train(pending, partial(run_all, launch=launch) if launch else run_all, runs, workers)
        lost = [one for one in pending if one not in made and ready[one].record is None]
        made |= dict.fromkeys(lost, "its settings have changed since this command started: give the command again")
    folders = {}
    for one in planned:
        if one in ready and ready[one].record is not None:
            (ready[one].folder / CHECKPOINT).unlink(missing_ok=True)  # which a killed process has left
            folders[one] = FoundRun(ready[one].folder)
        elif use_published and one.published is not None and _is_readable(one.published):
            folders[one] = FoundRun(one.published, is_published=True)
    # A published record stands in for a run whose data are absent. One that was tried has failed all the same.
    failures = {one: error for one, error in failures.items() if one not in folders} | made
    for line in dict.fromkeys(f"FAILED {subjects.get(one, one)}: {error}" for one, error in failures.items()):
        print(line, file=sys.stderr)
    return Findings(folders, failures)


def _is_readable(folder: Path) -> bool:
    """Tell whether a published record is there. One that is damaged is named and left out."""
    try:
        if (folder / RANKS).exists():
            read_ranks(folder / RANKS)
        return (folder / RECORD).exists() and bool(load_record(folder / RECORD))
    except (DataError, OSError, RuntimeError) as error:  # RuntimeError: a damaged zip file
        print(f"{folder}: {error}; it is left out", file=sys.stderr)
        return False


def report_missing(planned: Sequence[PlannedRun], findings: Findings) -> None:
    """Print how many planned runs have no record, and the command for the first."""
    if missing := [one for one in planned if one not in findings.runs]:
        print(f"{len(missing)} of {len(planned)} runs are missing; the first is\n  sdmr run {missing[0]}")


def _compose(
    planned: Sequence[PlannedRun], runs: Path
) -> tuple[dict[PlannedRun, Run], dict[PlannedRun, str], dict[PlannedRun, str]]:
    """Return the composed runs, the errors of the others, and whose errors they are.

    An error is a data set's or a model's. A data set that cannot be read is looked for once, since that may take a
    while. Raises UsageError if every run has wrong settings.
    """
    ready: dict[PlannedRun, Run] = {}
    failures: dict[PlannedRun, str] = {}
    subjects: dict[PlannedRun, str] = {}
    absent: dict[str, str] = {}
    for one in planned:
        try:
            if one.dataset in absent:
                raise DataError(absent[one.dataset])
            run = compose_run(one.overrides, runs)
            make_recommender(run.config["model"])  # raises UsageError for what the constructor does not allow
            ready[one] = run
        except DataError as error:
            failures[one] = absent[one.dataset] = str(error)
            subjects[one] = one.dataset
        except UsageError as error:
            failures[one], subjects[one] = str(error), f"model={one.model}"
    if failures and not ready and not absent:
        raise UsageError("; ".join(dict.fromkeys(failures.values())))
    return ready, failures, subjects


def _train(
    pending: Sequence[PlannedRun], run: Callable[..., Iterable[Outcome]], runs: Path, workers: int
) -> dict[PlannedRun, str]:
    """Make the runs, print each as it ends, and return the errors of failed ones."""
    failures = {}
    jobs = {one.overrides: one for one in pending}
    for outcome in tqdm(run(list(jobs), runs, workers), total=len(jobs), unit="run", disable=None):
        one = jobs[outcome.overrides]
        if outcome.record is None:
            failures[one] = outcome.error
        else:
            tqdm.write(describe_outcome(one, outcome.record))
    return failures


def describe_outcome(planned: PlannedRun, record: Record) -> str:
    """Return a finished run in one line: settings, metrics, seconds."""
    metrics, tie_policy = record.metrics(), read_tie_policy(planned.settings)
    values = " ".join(f"{name} {metrics[name][tie_policy]:.3f}" for name in ("hit@10", "NDCG@10"))
    best = ", best epoch: the start" if record.best_epoch == 0 else ""
    best = ", best epoch among the last five allowed" if record.best_among_last_5_allowed else best
    return f"{planned}: {values} ({sum(record.seconds.values()):.0f} s{best})"
