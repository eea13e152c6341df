"""What saved models attend to, and the raw ids behind the numbers of their task."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from hydra.utils import get_method, instantiate
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.task import Task
from sdmr.experiments.execute import Run
from sdmr.experiments.figures.collect import Wanted
from sdmr.models.sdm import SDM

AT_ONCE = 1024  # instances in a batch


def wanted(given: argparse.Namespace, hops: Sequence[int], seeds: Sequence[int]) -> dict[tuple[int, int], Wanted]:
    """The runs of SDM with so many hops, by hops and seed; where the settings agree, they are figure 6's.

    Models are not published, so that each is to be had from this machine only.
    """
    jobs = {}
    for seed in seeds:
        for h in hops:
            place = ("model=sdm", f"dataset={given.dataset}", f"seed={seed}", f"model.hops={h}")
            jobs[h, seed] = Wanted((*place, f"model.dim={given.dim}", *given.overrides))
    return jobs


def load(run: Run, task: Task) -> SDM:
    """The trained model of a finished run."""
    model: SDM = instantiate(run.config["model"])
    model.load(run.folder / "model.pt", task.training.n_users, task.training.n_items)
    return model


def attention_of(model: SDM, users: IntArray, contexts: IntArray, targets: IntArray) -> NDArray[np.float64]:
    """[H, n, s] the weights of every hop over the contexts [n, s], each for one target [n]."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(users), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            inputs = (users[rows], contexts[rows], targets[rows, None])
            weights = model.attention(*(torch.from_numpy(ids).to(model.device) for ids in inputs))
            parts.append(weights[:, :, 0].double().cpu().numpy())
    return np.concatenate(parts, axis=1)


def ids_of(run: Run) -> tuple[NDArray[Any], NDArray[Any]]:
    """The raw ids of the run's users and items; data that come with their split are known by number only."""
    settings = dict(run.config["dataset"])
    data = get_method(settings.pop("_target_"))(**settings)
    if isinstance(data, Interactions):
        return data.user_ids, data.item_ids
    return np.arange(data.training.n_users), np.arange(data.training.n_items)
