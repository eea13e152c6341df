"""A small data set for commands that read one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdmr.datasets.task import HeldOut


def make_small_dataset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write 40 users with 6 of 130 items each, enter the folder, and return the options that name the data."""
    monkeypatch.setenv("SDMR_CACHE", str(folder / "cache"))
    monkeypatch.chdir(folder)
    rng = np.random.default_rng(5)
    rows = [f"{user},{item}" for user in range(40) for item in rng.choice(130, 6, replace=False)]
    Path("small.csv").write_text("\n".join(["user,item", *rows]) + "\n")
    return ["dataset=csv", "dataset.path=small.csv", "split_seed=2"]


def pad(instances: HeldOut) -> Any:
    """Keep 2, 3, 4, ... candidates of the instances, the target among them, and fill the rows with it."""
    candidates = instances.candidates.copy()
    n_candidates = 2 + np.arange(len(instances)) % (candidates.shape[1] - 1)
    for row, target, number in zip(candidates, instances.targets, n_candidates, strict=True):
        others = row[row != target][: number - 1]
        row[:] = target
        row[:number] = np.sort([target, *others])
    return replace(instances, candidates=candidates, n_candidates=n_candidates)
