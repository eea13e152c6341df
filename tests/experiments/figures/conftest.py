"""Commands on records that the tests write, and on small data whose runs are made in this process."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from sdmr.experiments import figure
from sdmr.experiments.core import plan
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.options import parse_options
from sdmr.experiments.core.parallel import Outcome, make_outcome
from sdmr.experiments.core.run import Run
from tests.experiments.figures.records import get_run_name

Command = Callable[..., int]


@pytest.fixture
def draw(tmp_path: Path) -> Command:
    """Run `sdmr figure` with its folders in `tmp_path`. Returns the exit status."""

    def run_command(*arguments: str) -> int:
        folders = [f"{name}={tmp_path / name}" for name in ("runs", "results", "plots")]
        return figure.main(parse_options(figure.Options, [*arguments, *folders]))

    return run_command


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of runs, each under its values on the axes. No data are read, and nothing is trained."""

    def compose_run(overrides: Sequence[str], runs: Path) -> Run:
        settings, dataset = compose_config(overrides)
        return Run(settings, "data", "source", dataset, runs / dataset / get_run_name(settings))

    def run_all(tasks: Sequence[tuple[str, ...]], runs: Path, workers: int) -> list[Outcome]:
        raise AssertionError("nothing is to be trained here")

    monkeypatch.setattr(plan, "compose_run", compose_run)
    monkeypatch.setattr(plan, "run_all", run_all)
    return tmp_path / "runs" / "ml-100k"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 users with 9 of 140 items each, some items far more often than others, in the order of their times."""
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("data") / "small.csv"
    chance = 1 / np.arange(1, 141) ** 0.5
    taken = [rng.choice(140, 9, replace=False, p=chance / chance.sum()) for _ in range(60)]
    rows = [f"u{user},i{item},{time}" for user, items in enumerate(taken) for time, item in enumerate(items)]
    path.write_text("\n".join(["user,item,time", *rows]) + "\n")
    return path


@pytest.fixture
def small(data: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Return the arguments of a figure on the small data, whose runs are made in this process."""

    def run_all(tasks: Sequence[tuple[str, ...]], runs: Path, workers: int) -> list[Outcome]:
        return [make_outcome(overrides, runs) for overrides in tasks]

    monkeypatch.setenv("SDMR_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setattr(plan, "run_all", run_all)
    return ("dataset=csv", f"dataset.path={data}", "dataset.time=time", "epochs=1", "dim=8")
