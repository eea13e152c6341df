"""Make a run: prepare, fit, rank, record. A run whose record exists is not made again."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from sdmr.datasets.task import Task
from sdmr.experiments.core.deviations import list_deviations
from sdmr.experiments.core.errors import ConfigError
from sdmr.experiments.core.isolation import keep_modules
from sdmr.experiments.core.ranking import (
    compute_novelty_metrics,
    compute_test_digests,
    rank_test_items,
    save_test_ranks,
)
from sdmr.experiments.core.record import Record, read_environment, save_record
from sdmr.experiments.core.run import Run, drop_tasks, load_task, make_recommender
from sdmr.experiments.core.run_files import CHECKPOINT, FAILURE, MODEL, RECORD
from sdmr.experiments.core.timer import PhaseTimer
from sdmr.experiments.core.trackers import Followers, Tracker, Watch
from sdmr.harness.evaluation import rank
from sdmr.harness.files import save_json
from sdmr.harness.generators import seed_generators
from sdmr.harness.ids import save_ids
from sdmr.harness.metrics import count_ties, summarize
from sdmr.harness.recommender import ModelError, check_unchanged, compute_checksums, fit
from sdmr.harness.records import get_load, get_peak_memory
from sdmr.harness.score_check import check_independence
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.loop import StopTraining, find_best_epoch


def execute(
    run: Run,
    threads: int = 1,
    force: bool = False,
    watch: Watch | None = None,
    progress: Tracker | None = None,
    needs_model: bool = False,
) -> Record:
    """Return the record of the run, which is made if it does not exist.

    Parts of the model (SDMR's SDP and SDM) are separate runs, and are made or read first. A run that only ranks in
    another way first makes the run that trains. A second process that asks for the same run
    waits for the first. A run that is killed, or that `watch` stops, continues from its last finished epoch. A finished
    search run (`test=false`, otherwise the same) is not trained again. `progress` follows it and
    the runs of its parts. With `needs_model`, a finished run whose parameters are missing is made again.
    """
    torch.set_num_threads(threads)
    run.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(run.folder / ".lock"), _record_failure(run), keep_modules(run.modules):
        checkpoint = run.folder / CHECKPOINT
        force = force or (needs_model and run.is_model_missing)  # by now, as another process may have made them
        if not force and (record := run.record):
            checkpoint.unlink(missing_ok=True)  # left by a process that was killed after it had written the record
            return record
        followers = Followers(run, watch, progress)
        (run.folder / RECORD).unlink(missing_ok=True)  # who forces a run no longer trusts it
        for unfinished in run.folder.glob(".*.*.*"):  # what a process was writing when it was killed
            unfinished.unlink()
        if force:
            checkpoint.unlink(missing_ok=True)
        with followers:
            record = _make_record(run, threads, force, checkpoint, followers)
            save_record(record, run.folder / RECORD)
            checkpoint.unlink(missing_ok=True)
            followers.record = record
        return record


def _make_record(run: Run, threads: int, force: bool, checkpoint: Path, followers: Followers) -> Record:
    """Fit and rank; write the ranks and the parameters."""
    task, _, prepare_seconds = load_task(run.config)
    selection = _choose_epochs(run, threads, followers.progress)
    recommender, parts = _make_recommender(run, task, threads, followers.progress)
    if isinstance(recommender, TorchRecommender):
        recommender.watch_history = followers.follow
    source = _load_trained(run, recommender, task, threads, force, followers.progress)
    shared = task if run.config["test"] else task.training  # a search run never reads the test instances
    checksums = compute_checksums(shared)
    followers.start()
    load, timer = get_load(), PhaseTimer()
    if source is None:
        _fit(run, recommender, task, checkpoint, selection)
    timer.end("fit")
    check_unchanged(recommender, shared, checksums)
    seed_generators(run.config["seed"])
    check_independence(recommender, task.training.validation)
    fields: dict[str, Any] = {"validation": summarize(rank(recommender, task.training.validation))}
    ranks = rank_test_items(run, recommender, task) if run.config["test"] else None
    timer.end("rank")
    if ranks is not None:
        fields |= {"test": summarize(ranks), "ties": count_ties(ranks), **compute_novelty_metrics(task, ranks)}
        fields |= {**compute_test_digests(task), **save_test_ranks(run, recommender, task, ranks)}
        if "test_all" in fields:
            timer.end("rank_all")
    check_unchanged(recommender, shared, checksums)
    seconds, cpu_seconds = {"prepare": prepare_seconds, **timer.seconds}, timer.cpu_seconds
    if parts:
        records = [part.record for part in parts.values()]
        seconds["parts"] = sum(_sum_seconds(record) for record in records if record)
    if selection:
        seconds["selection"] = _sum_seconds(selection)
    if isinstance(recommender, TorchRecommender):
        fields |= _describe_training(recommender)
        if not run.is_ranking_only:
            recommender.save(run.folder / MODEL)
            # Of every epoch, those before an interruption included.
            epochs = recommender.history[1:]
            seconds["fit"] = sum(entry["fit_seconds"] + entry["rank_seconds"] for entry in epochs)
            cpu_seconds["fit"] = sum(entry["fit_cpu_seconds"] + entry["rank_cpu_seconds"] for entry in epochs)
    if selection:
        fields |= selection.model_dump(include={"validation", "best_epoch", "best_among_last_5_allowed"})
    return Record(
        run=run.folder.name,
        model=run.config["model"]["_target_"],
        dataset=run.dataset,
        config=run.config,
        data=run.data,
        source=run.source,
        data_report=dict(task.report),
        deviations=list_deviations(run),
        parts={name: part.folder.name for name, part in parts.items()},
        trained=source.folder.name if source else None,
        selection=selection.run if selection else None,
        ids=save_ids(task.training, run.folder.parent),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        load=(load, get_load()),
        peak_memory_mib=get_peak_memory(),
        environment=read_environment(),
        **fields,
    )


def _fit(run: Run, recommender: Any, task: Task, checkpoint: Path, selection: Record | None) -> None:
    """Fit on the training part, for the epochs that a selection run chose, if any."""
    epochs = selection.best_epoch if selection else None
    training = replace(task.training, seed=run.config["seed"], checkpoint=checkpoint, epochs=epochs)
    if run.protocol.select_on == "test":
        training = replace(training, validation=task.test)
    fit(recommender, training)


@contextmanager
def _record_failure(run: Run) -> Iterator[None]:
    """Keep the error that ends a run in its folder, until it has succeeded."""
    try:
        yield
    except StopTraining:
        raise
    except (Exception, SystemExit) as error:
        if _is_interrupt(error):
            raise KeyboardInterrupt from error
        is_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
        raised = OSError(f"{run.folder.name}: too little memory for these settings and data") if is_memory else error
        if isinstance(error, SystemExit):  # which would end the command as if nothing had failed
            raised = ModelError(f"{run.folder.name}: the model has ended the program by SystemExit({error.code!r})")
        with suppress(OSError):  # such as a full disk, which the error may be about
            save_failure(run, f"{type(raised).__name__}: {raised}")
        drop_tasks()
        raise raised from error.__cause__
    (run.folder / FAILURE).unlink(missing_ok=True)


def _is_interrupt(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C caused an error. Compiled code makes a SystemError of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def save_failure(run: Run, error: str) -> None:
    """Write the error that ended a run beside its configuration."""
    environment = read_environment().model_dump()
    save_json({"error": error, "config": run.config, "environment": environment}, run.folder / FAILURE)


def _sum_seconds(record: Record) -> float:
    return sum(seconds for phase, seconds in record.seconds.items() if phase != "prepare")


def _choose_epochs(run: Run, threads: int, progress: Tracker | None) -> Record | None:
    """Return the record of the run that chooses the epochs of a retrained one."""
    if not run.protocol.retrain:
        return None
    protocol = run.training_protocol | {"retrain": False}
    finished = run.derive(protocol=protocol)
    return finished.record or execute(run.derive(protocol=protocol, test=False), threads, progress=progress)


def _describe_training(recommender: TorchRecommender) -> dict[str, Any]:
    best, epochs = find_best_epoch(recommender.history), len(recommender.history) - 1
    is_late = epochs == recommender.optimization.epochs and best > max(epochs - 5, 0)
    return {"best_epoch": best, "best_among_last_5_allowed": is_late, "history": recommender.history}


def _load_trained(
    run: Run, recommender: Any, task: Task, threads: int, force: bool, progress: Tracker | None
) -> Run | None:
    """Load the parameters of another run that trains the same; None if this one trains.

    A finished search run has the same parameters to the last bit, since ranking test items changes nothing in training.
    """
    if not isinstance(recommender, TorchRecommender):
        return None
    if run.is_ranking_only:
        trained = run.derive(protocol=run.training_protocol)
        execute(trained, threads, force, progress=progress, needs_model=True)
    elif force or not run.config["test"] or run.protocol.select_on == "test":
        return None
    else:
        trained = run.derive(test=False)
        if trained.record is None or trained.is_model_missing:
            return None
    recommender.load(trained.folder / MODEL, task.training.n_users, task.training.n_items)
    return trained


def _make_recommender(run: Run, task: Task, threads: int, progress: Tracker | None) -> tuple[Any, dict[str, Run]]:
    """Return the recommender with its parts fitted, and the runs that fitted them."""
    recommender = make_recommender(run.config["model"], run.config["seed"])
    if isinstance(recommender, TorchRecommender):
        check_device(recommender.optimization.device)
    parts = recommender.parts if isinstance(recommender, TorchRecommender) else {}
    part_runs = {}
    for name, part in parts.items():
        part_run = run.derive(model=run.config["model"][name], protocol=run.training_protocol)
        execute(part_run, threads, progress=progress, needs_model=True)
        part.load(part_run.folder / MODEL, task.training.n_users, task.training.n_items)
        part_runs[name] = part_run
    return recommender, part_runs


def check_device(name: str) -> None:
    """Raise ConfigError if this machine has no device of this name."""
    try:
        torch.empty(0, device=None if name == "auto" else name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device={name}: this machine has no such device, expected auto, cpu or one it has"
        ) from error
