"""One run: prepare, fit, rank, record. A run whose record exists is not run again."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from hydra.utils import get_method, instantiate
from omegaconf import OmegaConf
from scipy.sparse import csr_matrix

from sdmr.datasets.prepare import fingerprint, prepare
from sdmr.datasets.split import build_seen_matrix
from sdmr.datasets.task import Task
from sdmr.experiments.configs import CONF, class_of, compose_run, refuse_other_kinds
from sdmr.harness.evaluation import check_permutation_invariance, rank, rank_among_all
from sdmr.harness.files import save_arrays, save_json
from sdmr.harness.metrics import Ranks, TiePolicy, count_ties, summarize
from sdmr.harness.protocol import Protocol
from sdmr.harness.records import (
    collect_environment,
    compute_source_digest,
    format_run_name,
    get_peak_memory,
    read_record,
)
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.loop import find_best_epoch

log = logging.getLogger(__name__)
IDENTITY = ("model", "dataset", "seed", "split_seed", "test", "protocol")  # the settings that a run is known by
OF_THE_PAPER = {"variant": "paper", "dropout_at_test": "off"}  # of models that have them; else a deviation
CONTEXT_LENGTH = 5  # in histories, where a data set leaves it open


@dataclass(frozen=True)
class Run:
    """A resolved configuration, and the place of its record."""

    config: dict[str, Any]  # the settings named in IDENTITY
    data: str  # fingerprint of the task
    source: str  # digest of the code that computes the run
    dataset: str  # the data set's name
    folder: Path

    @property
    def record(self) -> dict[str, Any] | None:
        """The record, if the run is finished."""
        return _read(self.folder / "record.json")

    @property
    def failure(self) -> str | None:
        """What the run died of, if it was begun and has failed."""
        return (_read(self.folder / "failure.json") or {}).get("error")


def _read(path: Path) -> dict[str, Any] | None:
    """The file's JSON. None if there is none; a damaged one is none, so that the run is made again."""
    try:
        return read_record(path) if path.exists() else None
    except ValueError as error:
        log.warning("%s is damaged, and is as if it were not there: %s", path, error)
        return None


def make_run(config: dict[str, Any], dataset: str, runs: Path) -> Run:
    """The run of a resolved config (as Hydra composes it); `dataset` names the data set.

    Raises ValueError for a setting that is of another kind than it must be.
    """
    refuse_other_kinds(config)
    protocol = Protocol(**config.get("protocol", {}))
    if not config["test"] and (protocol.select_on == "test" or protocol != protocol.training_protocol):
        asked = ", ".join(f"protocol.{name}={value}" for name, value in protocol.deviations.items())
        raise ValueError(f"test=false: a run that never ranks the test items cannot select on or rank them, as {asked}")
    identity = {name: config[name] for name in IDENTITY if name != "protocol"} | {"protocol": protocol.ranking_key}
    target = identity["model"]["_target_"]
    judged_by = "sdmr.harness.protocol", "sdmr.harness.evaluation", "sdmr.datasets.prepare"
    source = compute_source_digest(class_of(target).__module__, *judged_by, _module_of(identity))
    task, data, _ = _prepared(identity)
    length = longest_context(task) if identity["dataset"].get("basket") else CONTEXT_LENGTH
    identity["model"] = _with_context_length(identity["model"], length)
    return Run(identity, data, source, dataset, runs / dataset / format_run_name(target, identity, data, source))


def is_running(run: Run) -> bool:
    """Whether a process is at work on the run."""
    if not run.folder.exists():
        return False
    try:
        with FileLock(run.folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True


def longest_context(task: Task) -> int:
    """The number of context items that an instance has at most, but at least 1, which models ask for."""
    sides = (task.training.instances, task.training.validation, task.test)
    return max(int(side.contexts.count.max(initial=1)) for side in sides)


def _with_context_length(model: dict[str, Any], length: int) -> dict[str, Any]:
    """The model's config, with the length wherever it, or a part of it, leaves its own open (null)."""
    parts = {name: _with_context_length(part, length) for name, part in model.items() if isinstance(part, dict)}
    is_open = "context_length" in model and model["context_length"] is None
    return model | parts | ({"context_length": length} if is_open else {})


def task_of(overrides: Sequence[str]) -> tuple[Task, Run]:
    """The task that runs with these overrides (such as dataset=ml-100k) are set, and the run of the plainest model."""
    config, dataset = compose_run(["model=popularity", *overrides])
    run = make_run(config, dataset, Path(config["runs"]))
    return _prepared(run.config)[0], run


def execute(run: Run, threads: int = 1, force: bool = False) -> dict[str, Any]:
    """The record of the run, which is made if it does not exist.

    Parts of the model (SDMR's SDP and SDM) are runs of their own, and are made or found first; so is, where the
    protocol only ranks in another way, the run that trains the model. A second process that wants the same run waits
    for the first. A run that is killed goes on from its last finished epoch. What a finished search run (`test=false`,
    otherwise the same) has trained is not trained again.
    """
    torch.set_num_threads(threads)
    run.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(run.folder / ".lock"), _noting_failure(run):
        if not force and (record := run.record):
            return record
        (run.folder / "record.json").unlink(missing_ok=True)  # who forces a run no longer trusts it
        for unfinished in run.folder.glob(".*.*.*"):  # what a process was writing when it was killed
            unfinished.unlink()
        protocol = Protocol(**run.config["protocol"])
        task, _, prepare_seconds = _prepared(run.config)
        recommender, parts = _recommender(run, task, threads)
        trained = _trained(run, recommender, task, threads, force)
        checkpoint = run.folder / "checkpoint.pt"
        if force:
            checkpoint.unlink(missing_ok=True)
        searched = None if trained or force else _searched(run, recommender, task)
        begun = time.perf_counter()
        if not (trained or searched):
            training = replace(task.training, seed=run.config["seed"], checkpoint=checkpoint)
            recommender.fit(replace(training, validation=task.test) if protocol.select_on == "test" else training)
        fitted = time.perf_counter()
        torch.manual_seed(run.config["seed"])  # for a dropout that stays on
        check_permutation_invariance(recommender, task.training.validation)
        record = {
            "run": run.folder.name,
            "model": run.config["model"]["_target_"],
            "dataset": run.dataset,
            "config": run.config,
            "data": run.data,
            "source": run.source,
            "deviations": deviations(run),
            "parts": {name: part.folder.name for name, part in parts.items()},
            "validation": summarize(rank(recommender, task.training.validation)),
        }
        if run.config["test"]:
            if protocol.candidates == "all":
                ranks = rank_among_all(recommender, task.test, _seen(task), protocol.keeps_sort_position)
            else:
                ranks = rank(recommender, task.test, keep_sort_position=protocol.keeps_sort_position)
            record |= {"test": summarize(ranks), "ties": count_ties(ranks), **by_novelty(task, ranks)}
            save_arrays(run.folder / "ranks.npz", users=task.test.users, **ranks.to_arrays())
        seconds = {"prepare": prepare_seconds, "fit": fitted - begun, "rank": time.perf_counter() - fitted}
        if parts:
            seconds["parts"] = sum(_seconds_to_fit_and_rank(part.record or {}) for part in parts.values())
        record |= {"seconds": seconds, "peak_memory_mib": get_peak_memory(), "environment": collect_environment()}
        if trained is not None:
            record |= {"trained": trained.folder.name, **_training_of(recommender)}
        elif isinstance(recommender, TorchRecommender):
            recommender.save(run.folder / "model.pt")
            record |= _training_of(recommender) | ({"trained": searched.folder.name} if searched else {})
            # Of every epoch, those before the run was cut off and started again included.
            seconds["fit"] = sum(entry["fit_seconds"] + entry["rank_seconds"] for entry in recommender.history[1:])
        save_json(record, run.folder / "record.json")
        checkpoint.unlink(missing_ok=True)
        return record


def deviations(run: Run) -> dict[str, Any]:
    """What differs from the default protocol and split, the data set's default order, and the paper's variant."""
    order = run.config["dataset"].get("order")
    conf = OmegaConf.load(CONF / "dataset" / f"{run.dataset}.yaml")
    plain = OmegaConf.select(conf, "dataset.order") or OmegaConf.select(conf, "order")  # it may be a package of its own
    of_protocol = Protocol(**run.config["protocol"]).deviations
    if split_seed := run.config.get("split_seed", 0):
        of_protocol["split_seed"] = split_seed
    own = {key: run.config["model"].get(key, value) for key, value in OF_THE_PAPER.items()}
    of_model = {key: value for key, value in own.items() if value != OF_THE_PAPER[key]}
    return of_protocol | ({"order": order} if order != plain else {}) | of_model


@contextmanager
def _noting_failure(run: Run) -> Iterator[None]:
    """What the run dies of is kept in its folder, until it has succeeded."""
    try:
        yield
    except Exception as error:
        if _is_interrupt(error):
            raise KeyboardInterrupt from error
        note_failure(run, f"{type(error).__name__}: {error}")
        raise
    (run.folder / "failure.json").unlink(missing_ok=True)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is at the root of an error: compiled code makes a SystemError of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


@contextmanager
def told_when_cut_off() -> Iterator[None]:
    """For a command's main: Ctrl-C ends it with a line instead of a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        print("cut off; the same command goes on from the last epoch, with force=true from the first", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def note_failure(run: Run, error: str) -> None:
    """Keep what a run died of beside its configuration."""
    save_json({"error": error, "config": run.config, "environment": collect_environment()}, run.folder / "failure.json")


def result_line(record: dict[str, Any], folder: Path, ties: TiePolicy = "expected") -> str:
    """A run in one line, as the commands print it; the protocol is told where it is not the default."""
    side = "test" if "test" in record else "validation"
    values = [f"{name} {record[side][name][ties]:.3f}" for name in ("hit@10", "NDCG@10")]
    departed = record.get("deviations", {}) | ({"tie_policy": ties} if ties != "expected" else {})
    told = "".join(f", {name}={value}" for name, value in departed.items())
    return f"{record['model']} on {record['dataset']}, {side}{told}: {', '.join(values)} ({folder}/record.json)"


def own_seconds(record: dict[str, Any]) -> float:
    """What a run took, its parts, which are runs of their own, aside."""
    return sum(seconds for phase, seconds in record["seconds"].items() if phase != "parts")


def seconds_in_all(records: Iterable[dict[str, Any]], runs: Path | None = None) -> float:
    """What runs took, their parts included, each of which counts once; `runs` is where the parts' records may be."""
    known = {record["run"]: record for record in records}
    with_parts = [record for record in known.values() if record["parts"]]
    for record in with_parts:
        for name in record["parts"].values():
            if runs and (of_part := _read(runs / record["dataset"] / name / "record.json")):
                known[name] = of_part
    own = {name: own_seconds(record) for name, record in known.items()}
    unknown = {}
    for record in with_parts:
        parts = record["parts"].values()
        if missing := frozenset(parts).difference(known):
            in_all = record["seconds"].get("parts", 0.0)  # the oldest published records do not tell
            unknown[missing] = max(0.0, in_all - sum(own[name] for name in parts if name in own))
    return sum(own.values()) + sum(unknown.values())


def _seconds_to_fit_and_rank(record: dict[str, Any]) -> float:
    """What a run took to fit and to rank, its parts included."""
    return sum(seconds for phase, seconds in record.get("seconds", {}).items() if phase != "prepare")


def _training_of(recommender: TorchRecommender) -> dict[str, Any]:
    best, epochs = find_best_epoch(recommender.history), len(recommender.history) - 1
    cut_short = epochs == recommender.optimization.epochs and best > epochs - 5
    return {"best_epoch": best, "best_among_last_5_allowed": cut_short, "history": recommender.history}


def by_novelty(task: Task, ranks: Ranks) -> dict[str, Any]:
    """Where users may take an item again: the metrics of new and of repeated targets apart.

    A target is repeated if the user has it in the training matrix, by another basket: what a model can know. The
    validation items of other baskets do not count.
    """
    is_repeated = np.asarray(task.training.matrix[task.test.users, task.test.targets]).ravel() > 0
    if not is_repeated.any():
        return {}
    parts = {"test_new": ~is_repeated, "test_repeated": is_repeated}
    return {name: {"instances": int(rows.sum()), **summarize(ranks.take(rows))} for name, rows in parts.items()}


def _trained(run: Run, recommender: Any, task: Task, threads: int, force: bool) -> Run | None:
    """The run that has trained what this one only ranks in another way, its parameters read; None if there is none."""
    protocol = Protocol(**run.config["protocol"])
    if protocol == protocol.training_protocol or not isinstance(recommender, TorchRecommender):
        return None
    config = run.config | {"protocol": asdict(protocol.training_protocol)}
    trained = make_run(config, run.dataset, run.folder.parent.parent)
    execute(trained, threads, force or _has_lost_its_model(trained))
    recommender.load(trained.folder / "model.pt", task.training.n_users, task.training.n_items)
    return trained


def _has_lost_its_model(run: Run) -> bool:
    """Whether someone has deleted what a finished run has trained: a large file beside a small record."""
    return run.record is not None and not (run.folder / "model.pt").exists()


def _searched(run: Run, recommender: Any, task: Task) -> Run | None:
    """The finished run that trained the same and ranked no test item, its parameters read; None if there is none.

    What to test decides nothing in the training, so that the parameters are the same to the last bit.
    """
    selects_on_test = run.config["protocol"]["select_on"] == "test"
    if not run.config["test"] or selects_on_test or not isinstance(recommender, TorchRecommender):
        return None
    searched = make_run(run.config | {"test": False}, run.dataset, run.folder.parent.parent)
    if searched.record is None or _has_lost_its_model(searched):
        return None
    recommender.load(searched.folder / "model.pt", task.training.n_users, task.training.n_items)
    return searched


def _seen(task: Task) -> csr_matrix:
    """[n_users, n_items] all that each user has, in any part of the split."""
    sides = (task.training.instances, task.training.validation, task.test)
    users, items = (np.concatenate([getattr(side, name) for side in sides]) for name in ("users", "targets"))
    return build_seen_matrix(users, items, task.training.n_users, task.training.n_items)


def _recommender(run: Run, task: Task, threads: int) -> tuple[Any, dict[str, Run]]:
    """The recommender, its parts fitted; and the runs that fitted them."""
    recommender = instantiate(run.config["model"])
    parts = recommender.parts if isinstance(recommender, TorchRecommender) else {}
    part_runs = {}
    protocol = asdict(Protocol(**run.config["protocol"]).training_protocol)
    for name, part in parts.items():
        config = run.config | {"model": run.config["model"][name], "protocol": protocol}
        part_run = make_run(config, run.dataset, run.folder.parent.parent)
        execute(part_run, threads, _has_lost_its_model(part_run))
        part.load(part_run.folder / "model.pt", task.training.n_users, task.training.n_items)
        part_runs[name] = part_run
    return recommender, part_runs


def _module_of(identity: dict[str, Any]) -> str:
    return str(identity["dataset"]["_target_"]).rpartition(".")[0]


def prepared(run: Run) -> Task:
    """The task that the run is set."""
    return _prepared(run.config)[0]


def _prepared(config: dict[str, Any]) -> tuple[Task, str, float]:
    how = Protocol(**config["protocol"]).split_options
    return _task(json.dumps(config["dataset"]), config["split_seed"], json.dumps(how))


@cache
def _task(dataset: str, split_seed: int, how: str = "{}") -> tuple[Task, str, float]:
    """The task of a data set's config (as JSON), its fingerprint, and the seconds it took; many runs share it.

    `how` to split it (as JSON), where not by default.
    """
    start = time.perf_counter()
    settings = json.loads(dataset)
    task = prepare(partial(get_method(settings.pop("_target_")), **settings), split_seed, **json.loads(how))
    return task, fingerprint(task), time.perf_counter() - start
