"""A small data set and a small model for commands that need one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdmr.datasets.task import HeldOut
from sdmr.experiments.core import cli
from sdmr.experiments.core import run as run_module
from sdmr.experiments.core.run import compose_run

# The beginning of a user's module.
FACTORS = """
from sdmr.harness.training import Embedding, OptimizationConfig, TorchRecommender

class Factors(TorchRecommender):
    def __init__(self, dim: int = 2, optimization: OptimizationConfig = OptimizationConfig(learning_rate=0.05)):
        super().__init__(optimization)
        self.dim = dim
    def build(self, n_users, n_items):
        self.users, self.items = Embedding(n_users, self.dim, std=0.1), Embedding(n_items, self.dim, std=0.1)
    def forward(self, users, contexts, candidates):
        return (self.users(users)[:, None] * self.items(candidates)).sum(-1)
"""


def make_small_dataset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write 40 users with 6 of 130 items each, enter the folder, and return the options that name the data."""
    monkeypatch.setenv("SDMR_CACHE", str(folder / "cache"))
    monkeypatch.chdir(folder)
    run_module._load_task.cache_clear()  # its keys have paths that are relative to the current folder
    rng = np.random.default_rng(5)
    rows = [f"{user},{item}" for user in range(40) for item in rng.choice(130, 6, replace=False)]
    Path("small.csv").write_text("\n".join(["user,item", *rows]) + "\n")
    return ["dataset=csv", "dataset.path=small.csv", "split_seed=2"]


def make_run(*overrides: str) -> Path:
    """Make the run, and return its folder."""
    assert cli.main(["run", *overrides]) == 0
    return compose_run(overrides).folder


def pad(instances: HeldOut) -> Any:
    """Keep 2, 3, 4, ... candidates of the instances, the target among them, and fill the rows with it."""
    candidates = instances.candidates.copy()
    n_candidates = 2 + np.arange(len(instances)) % (candidates.shape[1] - 1)
    for row, target, number in zip(candidates, instances.targets, n_candidates, strict=True):
        others = row[row != target][: number - 1]
        row[:] = target
        row[:number] = np.sort([target, *others])
    return replace(instances, candidates=candidates, n_candidates=n_candidates)
