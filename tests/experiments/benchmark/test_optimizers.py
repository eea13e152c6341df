"""Optimizers are compared by validation metrics of the same runs, and by steps in turns."""

from pathlib import Path

import pandas as pd
import pytest

from sdmr.experiments.benchmark.scale import SCALES
from sdmr.experiments.benchmark.suites import format_optimizers, plan_optimizer_runs, tabulate_runs, time_steps
from sdmr.experiments.core.plan import FoundRun
from sdmr.experiments.core.record import Record, save_record
from sdmr.experiments.core.registry import CHECKOUT


def test_planned_runs_differ_in_seed_and_optimizer_alone() -> None:
    planned = plan_optimizer_runs(["sdm"], 2, ["epochs=1"])
    assert [(one.seed, one.group) for one in planned] == [(0, "dense"), (0, "rowwise"), (1, "dense"), (1, "rowwise")]
    for one in planned:
        shared = {"model=sdm", "dataset=ml-100k", "test=false", "epochs=1"}
        assert set(one.overrides) - {f"seed={one.seed}", f"model.optimization.optimizer={one.group}"} == shared


def test_a_table_has_the_validation_metric_of_each_seed_and_their_mean(tmp_path: Path) -> None:
    planned = [one for one in plan_optimizer_runs(["sdm"], 2, []) if one.group == "dense"]
    for one, value in zip(planned, (0.5, 0.6), strict=True):
        record = Record.model_validate(
            {
                "run": "SDM-1",
                "model": "sdmr.models.sdm.SDM",
                "dataset": "ml-100k",
                "config": {},
                "data": "",
                "source": "",
                "validation": {"NDCG@10": {"expected": value}},
                "seconds": {},
                "peak_memory_mib": 1.0,
                "environment": {"commit": "abc"},
                "best_epoch": 2,
            }
        )
        save_record(record, tmp_path / str(one.seed) / "record.json")
    runs = {one: FoundRun(tmp_path / str(one.seed)) for one in planned}
    table = tabulate_runs(runs, {("sdm", "dense"): 0.002})
    columns = ["model", "optimizer", "seed", "validation_ndcg@10", "best_epoch", "step_seconds", "commit"]
    assert list(table) == columns
    line = next(line for line in format_optimizers(table).splitlines() if line.startswith("| SDM"))
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells == ["SDM", "dense", "0.5000, 0.6000", "0.5500", "2, 2", "2.00"]


def test_steps_are_timed_for_each_model_and_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    steps = time_steps(["mf-bpr"], SCALES["tiny"])
    assert list(steps) == [("mf-bpr", "dense"), ("mf-bpr", "rowwise")]
    assert min(steps.values()) > 0


def test_the_published_table_is_that_of_the_published_runs() -> None:
    results = CHECKOUT / "results"
    runs = pd.read_csv(results / "optimizers.csv")
    assert format_optimizers(runs) == (results / "optimizers.md").read_text(encoding="utf-8")
