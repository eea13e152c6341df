"""The fitted model of a finished run."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdmr.datasets.errors import DataError
from sdmr.datasets.task import Task
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.run import make_recommender, make_run
from sdmr.experiments.core.run_files import MODEL, RECORD
from sdmr.harness.files import load_tensors_of
from sdmr.harness.generators import seed_generators
from sdmr.harness.recommender import fit
from sdmr.harness.training.base import TorchRecommender

log = logging.getLogger(__name__)


def load_trained(folder: Path) -> tuple[Any, Task]:
    """Return the fitted recommender of a finished run, and its task.

    A model without saved parameters is fitted again. Raises DataError if the parameters are lost, or the data have
    changed.
    """
    record = load_record(folder / RECORD)
    if "model" not in record.config:
        raise DataError(f"{folder}: its scores were made by another program, so there is no model to ask")
    run = make_run(record.config, record.dataset, folder.resolve().parents[1])
    if run.data != record.data:
        raise DataError(f"{folder}: the data have changed since this run was made; `sdmr run ...` makes another one")
    if run.source != record.source:
        log.warning("%s was made by other code: its model may score differently now", folder)
    seed = record.config["seed"]
    task, recommender = run.load_task(), make_recommender(record.config["model"], seed)
    if isinstance(recommender, TorchRecommender):
        path = folder / MODEL
        if record.trained and not path.exists():  # a run that only ranks
            path = folder.parent / record.trained / MODEL
        if load_tensors_of(path, "cpu") is None:
            raise DataError(f"{path} is missing or damaged; `sdmr run ... force=true` makes the run again")
        recommender.optimization = replace(recommender.optimization, device="auto")  # it may come from another machine
        recommender.load(path, task.training.n_users, task.training.n_items)
    else:
        validation = task.test if run.protocol.select_on == "test" else task.training.validation
        fit(recommender, replace(task.training, validation=validation, seed=seed))
    seed_generators(seed)  # as before the ranking
    return recommender, task
