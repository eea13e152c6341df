"""A configuration folder, a small file and a sweep in this process, for the tests of searches."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdmr.experiments.core import config, tuned
from sdmr.experiments.core.parallel import Outcome
from sdmr.experiments.tuning import search
from tests.experiments.tuning.helpers import Tasks, run_here

SPACE = """
axes:
  model.optimization.regularization: [0.1, 0.01, 0.001]
  model.optimization.negatives: [all, hardest]
  model.dim: [2, 4, 64]
beyond_paper: [model.optimization.negatives]
"""


@pytest.fixture
def conf(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the configuration, without tuned settings, and work in a folder of the test's own."""
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    folder = tmp_path / "conf"
    shutil.copytree(config.CONF, folder, ignore=shutil.ignore_patterns("chosen", "tuned"))
    monkeypatch.setattr(config, "CONF", folder)
    monkeypatch.setattr(tuned, "FOLDER", folder / "settings" / "tuned")
    monkeypatch.setattr(tuned, "SPACES", folder / "space")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def spaces(conf: Path) -> Path:
    """Return the folder of spaces, where that of MF-BPR is small."""
    (conf / "space" / "mf-bpr.yaml").write_text(SPACE)
    return conf / "space"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 30 users with 8 of 140 items each, in the order of their times, in two baskets."""
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("data") / "small.csv"
    rows = [
        f"{user},{item},{time},{time // 4}"
        for user in range(30)
        for time, item in enumerate(rng.choice(140, 8, replace=False))
    ]
    path.write_text("\n".join(["user,item,time,basket", *rows]) + "\n")
    return path


@pytest.fixture
def small(conf: Path, data: Path) -> tuple[str, ...]:
    """Return the arguments of a sweep over short runs on the small file."""
    return ("dataset=csv", f"dataset.path={data}", "dataset.time=time", "epochs=1", "patience=1")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Make runs in this process, one after the other, and return the list of their overrides."""
    overrides = []

    def run_all(tasks: Tasks, *arguments: Any) -> Iterator[Outcome]:
        def note(tasks: Tasks) -> Iterator[tuple[str, ...]]:
            for task in tasks:
                overrides.append(task)
                yield task

        return run_here(note(tasks), *arguments)

    monkeypatch.setattr(search, "run_all", run_all)
    return overrides
