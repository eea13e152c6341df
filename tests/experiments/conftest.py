"""Small data, and runs on them, for the tests of runs. A test file may have data of its own by the same name."""

from pathlib import Path

import numpy as np
import pytest

from sdmr.experiments.core.run import Run, compose_run

SMALL = ("model.dim=8", "epochs=3", "patience=3")


@pytest.fixture
def temporary_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 users with 8 of 140 items each, in the order of their times."""
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("data") / "small.csv"
    rows = [
        f"{user},{item},{time}" for user in range(50) for time, item in enumerate(rng.choice(140, 8, replace=False))
    ]
    path.write_text("\n".join(["user,item,time", *rows]) + "\n")
    return path


@pytest.fixture
def overrides(data: Path) -> tuple[str, ...]:
    return ("dataset=csv", f"dataset.path={data}", "dataset.time=time")


def run_of(runs: Path, *overrides: str) -> Run:
    return compose_run(overrides, runs)


def ranks_of(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "ranks.npz") as saved:
        arrays = {name: saved[name].astype(np.int64) for name in saved.files}
    return arrays | {"users": np.cumsum(arrays["user_steps"])}
