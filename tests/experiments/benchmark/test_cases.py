"""Cases compare equal work, and work without the oracles of a checkout."""

from pathlib import Path

import numpy as np
import pytest

from sdmr.experiments.benchmark import timing
from sdmr.experiments.benchmark.cases import GROUPS, TINY, Scale, measure_groups
from sdmr.experiments.benchmark.timing import make_with_oracle
from sdmr.harness.evaluation import rank


@pytest.fixture(autouse=True)
def no_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")


def test_an_oracle_is_trained_and_ranked_as_its_model() -> None:
    """The seed and the steps are the same, so that both do the same work."""
    task = TINY.make_task()
    fast, literal = make_with_oracle("sdm", "model.dim=8")
    assert type(literal).__name__ == "LiteralSDM"
    for model in (fast, literal):
        model.fit(task.training)
    losses = [[entry["loss"] for entry in model.history[1:]] for model in (fast, literal)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert len(rank(literal, task.test).above) == len(task.test)


def test_a_model_without_oracle_is_made_alone() -> None:
    assert [type(model).__name__ for model in make_with_oracle("mf-bpr")] == ["MFBPR"]


def test_without_a_checkout_models_are_measured_alone_and_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timing, "ORACLES", tmp_path / "batched.py")
    timing.load_oracles.cache_clear()
    entries = measure_groups(TINY, ["large"])
    timing.load_oracles.cache_clear()
    assert [entry.ratio for entry in entries] == [None]
    assert capsys.readouterr().out.splitlines()[0].startswith("no ratios to the literal oracles")


def test_the_catalog_grows_to_a_million_items() -> None:
    assert Scale().catalogs == (1_000, 10_000, 100_000, 1_000_000)


@pytest.mark.slow
def test_memory_and_runs_side_by_side_are_measured_in_new_processes() -> None:
    for group in ("memory", "side_by_side"):
        for entry in GROUPS[group](TINY):
            assert entry.seconds > 0
            assert group != "memory" or entry.setting["peak_mib"] > 100
