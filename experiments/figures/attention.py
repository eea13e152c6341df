"""The attention weights of saved SDM models, and the raw ids behind the numbers of their task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from hydra.utils import get_method, instantiate
from numpy.typing import NDArray

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.task import Task
from sdmr.experiments.core.plan import FoundRun, PlannedRun
from sdmr.experiments.core.run import load_task
from sdmr.experiments.figures.options import FigureOptions
from sdmr.models.sdm import SDM

BATCH_SIZE = 1024  # instances


def plan_sdm_runs(options: FigureOptions, hops: Iterable[int], seeds: Iterable[int]) -> list[PlannedRun]:
    """Plan the runs of SDM with so many hops. Models are not published: only this machine has them."""
    size = f"model.dim={options.dim}"
    return [
        PlannedRun("sdm", options.dataset, seed, (f"model.hops={number}", size, *options.overrides))
        for seed in seeds
        for number in hops
    ]


def load_model(run: FoundRun) -> tuple[SDM, Task]:
    """Load the trained model of a finished run, and the run's task. Raises DataError if the model is lost."""
    record = run.record
    path = run.folder.parent / (record.trained or run.folder.name) / "model.pt"
    if not path.exists():
        raise DataError(f"{path} is missing; `sdmr run ... force=true` makes the run again")
    task = load_task(record.config)[0]
    model: SDM = instantiate(record.config["model"])
    model.load(path, task.training.n_users, task.training.n_items)
    return model, task


def compute_attention(model: SDM, users: IntArray, contexts: IntArray, targets: IntArray) -> NDArray[np.float64]:
    """Return [H, n, s]: the weights of every hop over the contexts [n, s], each for one target [n]."""
    batches = []
    with torch.inference_mode():
        for start in range(0, len(users), BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            inputs = (users[rows], contexts[rows], targets[rows, None])
            weights = model.compute_attention(*(torch.from_numpy(ids).to(model.device) for ids in inputs))
            batches.append(weights[:, :, 0].double().cpu().numpy())
    return np.concatenate(batches, axis=1)


def load_ids(run: FoundRun) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the raw ids of users and items; data that come with their split have numbers only."""
    settings = dict(run.record.config["dataset"])
    data = get_method(settings.pop("_target_"))(**settings)
    if isinstance(data, Interactions):
        return data.user_ids, data.item_ids
    return np.arange(data.training.n_users), np.arange(data.training.n_items)
