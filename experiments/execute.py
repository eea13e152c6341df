"""One run: prepare, fit, rank, record. A run whose record exists is not run again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from hydra.utils import get_method, instantiate

from datasets.prepare import fingerprint, prepare
from datasets.task import Task
from experiments.configs import class_of, compose_run
from harness.files import save_arrays, save_json
from harness.ranking import Ranks, rank, refuse_dependence_on_order, summary
from harness.records import environment, peak_memory, run_key, source_digest
from harness.training import TorchRecommender, best_epoch

IDENTITY = ("model", "dataset", "seed", "split_seed", "test")  # the settings that a run is known by
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
        path = self.folder / "record.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def make_run(config: dict[str, Any], dataset: str, runs: Path) -> Run:
    """The run of a resolved config (as Hydra composes it); `dataset` names the data set."""
    identity = {name: config[name] for name in IDENTITY}
    target = identity["model"]["_target_"]
    source = source_digest(class_of(target).__module__, "harness.ranking", "datasets.prepare", _module_of(identity))
    task, data, _ = _task(json.dumps(identity["dataset"]), identity["split_seed"])
    length = longest_context(task) if identity["dataset"].get("basket") else CONTEXT_LENGTH
    identity["model"] = _with_context_length(identity["model"], length)
    name = f"{target.rpartition('.')[2]}-{run_key(identity, data, source)}"
    return Run(identity, data, source, dataset, runs / dataset / name)


def longest_context(task: Task) -> int:
    """The number of context items that an instance has at most, but at least 1, which models ask for."""
    sides = (task.training.instances, task.training.development, task.test)
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
    return _task(json.dumps(run.config["dataset"]), run.config["split_seed"])[0], run


def execute(run: Run, threads: int = 1, force: bool = False) -> dict[str, Any]:
    """The record of the run, which is made if it does not exist.

    Parts of the model (SDMR's SDP and SDM) are runs of their own, and are made or found first. A second process that
    wants the same run waits for the first. A run that is killed goes on from its last finished epoch.
    """
    torch.set_num_threads(threads)
    run.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(run.folder / ".lock"):
        if not force and (record := run.record):
            return record
        (run.folder / "record.json").unlink(missing_ok=True)
        task, _, prepare_seconds = _task(json.dumps(run.config["dataset"]), run.config["split_seed"])
        recommender, parts = _recommender(run, task, threads)
        checkpoint = run.folder / "checkpoint.pt"
        if force:
            checkpoint.unlink(missing_ok=True)
        begun = time.perf_counter()
        recommender.fit(replace(task.training, seed=run.config["seed"], checkpoint=checkpoint))
        fitted = time.perf_counter()
        refuse_dependence_on_order(recommender, task.training.development)
        record = {
            "model": run.config["model"]["_target_"],
            "dataset": run.dataset,
            "config": run.config,
            "data": run.data,
            "source": run.source,
            "parts": {name: part.folder.name for name, part in parts.items()},
            "development": summary(rank(recommender, task.training.development)),
        }
        if run.config["test"]:
            ranks = rank(recommender, task.test)
            record["test"] = summary(ranks)
            record |= by_novelty(task, ranks)
            save_arrays(run.folder / "ranks.npz", users=task.test.users, above=ranks.above, tied=ranks.tied)
        seconds = {"prepare": prepare_seconds, "fit": fitted - begun, "rank": time.perf_counter() - fitted}
        if parts:
            seconds["parts"] = sum(_own_seconds(part.record or {}) for part in parts.values())
        record |= {"seconds": seconds, "peak_memory_mib": peak_memory(), "environment": environment()}
        if isinstance(recommender, TorchRecommender):
            recommender.save(run.folder / "model.pt")
            record |= _training_of(recommender)
            # Of every epoch, those before the run was cut off and started again included.
            seconds["fit"] = sum(entry["fit_seconds"] + entry["rank_seconds"] for entry in recommender.history[1:])
        save_json(record, run.folder / "record.json")
        checkpoint.unlink(missing_ok=True)
        return record


def result_line(record: dict[str, Any], folder: Path) -> str:
    """A run in one line, as the commands print it."""
    side = "test" if "test" in record else "development"
    values = [f"{name} {record[side][name]['expected']:.3f}" for name in ("hit@10", "NDCG@10")]
    return f"{record['model']} on {record['dataset']}, {side}: {', '.join(values)} ({folder}/record.json)"


def _own_seconds(record: dict[str, Any]) -> float:
    """What a run took to fit and to rank, its parts included."""
    return sum(seconds for phase, seconds in record.get("seconds", {}).items() if phase != "prepare")


def _training_of(recommender: TorchRecommender) -> dict[str, Any]:
    best, epochs = best_epoch(recommender.history), len(recommender.history) - 1
    cut_short = epochs == recommender.optimisation.epochs and best > epochs - 5
    return {"best_epoch": best, "best_among_last_5_allowed": cut_short, "history": recommender.history}


def by_novelty(task: Task, ranks: Ranks) -> dict[str, Any]:
    """Where users may take an item again (in another basket): the metrics of new and of repeated targets apart."""
    is_repeated = np.asarray(task.training.matrix[task.test.users, task.test.targets]).ravel() > 0
    if not is_repeated.any():
        return {}
    parts = {"test_new": ~is_repeated, "test_repeated": is_repeated}
    return {
        name: {"instances": int(rows.sum()), **summary(Ranks(ranks.above[rows], ranks.tied[rows]))}
        for name, rows in parts.items()
    }


def _recommender(run: Run, task: Task, threads: int) -> tuple[Any, dict[str, Run]]:
    """The recommender, its parts fitted; and the runs that fitted them."""
    recommender = instantiate(run.config["model"])
    parts = recommender.parts if isinstance(recommender, TorchRecommender) else {}
    part_runs = {}
    for name, part in parts.items():
        config = run.config | {"model": run.config["model"][name]}
        part_run = make_run(config, run.dataset, run.folder.parent.parent)
        execute(part_run, threads)
        part.load(part_run.folder / "model.pt", task.training.n_users, task.training.n_items)
        part_runs[name] = part_run
    return recommender, part_runs


def _module_of(identity: dict[str, Any]) -> str:
    return str(identity["dataset"]["_target_"]).rpartition(".")[0]


@cache
def _task(dataset: str, split_seed: int) -> tuple[Task, str, float]:
    """The task of a data set's config (as JSON), its fingerprint, and the seconds it took; many runs share it."""
    start = time.perf_counter()
    settings = json.loads(dataset)
    task = prepare(partial(get_method(settings.pop("_target_")), **settings), split_seed)
    return task, fingerprint(task), time.perf_counter() - start
