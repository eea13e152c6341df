"""Trained runs: find one by its name, and load its recommender."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sdmr.datasets.errors import DataError
from sdmr.datasets.task import Task
from sdmr.experiments.core.options import UsageError
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.run import make_recommender, make_run
from sdmr.harness.training.base import TorchRecommender

log = logging.getLogger(__name__)


def find_run(name: str, runs: Path) -> Path:
    """Return the folder of a finished run. Raises UsageError if there is none.

    Args:
        name: The run's name, its folder, or the path of its record.
        runs: The folder of runs, where a name is looked for.
    """
    path = Path(name)
    folders = [path.parent if path.name == "record.json" else path, *runs.glob(f"*/{path.name}")]
    if folder := next((folder for folder in folders if (folder / "record.json").is_file()), None):
        return folder
    raise UsageError(
        f"run={name}: there is no such run in {runs}; give the folder that `sdmr run` printed, or its name"
    )


def load_trained(folder: Path) -> tuple[Any, Task]:
    """Return the fitted recommender of a finished run, and its task.

    A model without saved parameters is fitted again. Raises DataError if the parameters are lost, or the data have
    changed.
    """
    record = load_record(folder / "record.json")
    if "model" not in record.config:
        raise DataError(f"{folder}: its scores were made by another program, so there is no model to ask")
    run = make_run(record.config, record.dataset, folder.parents[1])
    if run.data != record.data:
        raise DataError(f"{folder}: the data have changed since this run was made; `sdmr run ...` makes another one")
    if run.source != record.source:
        log.warning("%s was made by other code: its model may score differently now", folder)
    task, recommender = run.load_task(), make_recommender(record.config["model"])
    torch.manual_seed(record.config["seed"])
    if isinstance(recommender, TorchRecommender):
        path = folder.parent / (record.trained or folder.name) / "model.pt"
        if not path.exists():
            raise DataError(f"{path} is missing; `sdmr run ... force=true` makes the run again")
        recommender.load(path, task.training.n_users, task.training.n_items)
    else:
        log.warning("%s has no saved parameters: the model is fitted again", folder)
        validation = task.test if run.protocol.select_on == "test" else task.training.validation
        recommender.fit(replace(task.training, validation=validation, seed=record.config["seed"]))
    return recommender, task
