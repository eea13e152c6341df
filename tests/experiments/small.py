"""A small data set for commands that read one."""

from pathlib import Path

import numpy as np
import pytest


def make_small_dataset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write 40 users with 6 of 130 items each, enter the folder, and return the options that name the data."""
    monkeypatch.setenv("SDMR_CACHE", str(folder / "cache"))
    monkeypatch.chdir(folder)
    rng = np.random.default_rng(5)
    rows = [f"{user},{item}" for user in range(40) for item in rng.choice(130, 6, replace=False)]
    Path("small.csv").write_text("\n".join(["user,item", *rows]) + "\n")
    return ["dataset=csv", "dataset.path=small.csv", "split_seed=2"]
