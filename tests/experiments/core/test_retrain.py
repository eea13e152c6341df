"""Runs by other splits: retrained on validation items, and cut at a time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sdmr.experiments.core.estimate import compute_runtime
from sdmr.experiments.core.execute import execute
from sdmr.experiments.core.run import make_recommender
from sdmr.experiments.core.trained import load_trained
from sdmr.harness.metrics import summarize
from sdmr.harness.records import read_ranks
from tests.experiments.conftest import SMALL, ranks_of, run_of
from tests.experiments.core.conftest import Sdmr

pytestmark = pytest.mark.usefixtures("temporary_cache")


def load_parameters(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model.pt", weights_only=True)["parameters"]


def test_retrained_run_trains_on_validation_items_for_the_epochs_that_they_chose(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    arguments = ("model=mf-bpr", *overrides, *SMALL, "model.optimization.learning_rate=0.01")
    run = run_of(tmp_path, *arguments, "protocol.retrain=true")
    record = execute(run)
    search = run_of(tmp_path, *arguments, "test=false")
    selection = search.record
    assert record.selection == search.folder.name
    assert record.seconds["selection"] == selection.seconds["fit"] + selection.seconds["rank"]
    for folder in (tmp_path, None):
        assert compute_runtime([record], folder) == pytest.approx(
            record.runtime + selection.runtime, abs=selection.seconds["prepare"]
        )
    assert (record.validation, record.best_epoch) == (selection.validation, selection.best_epoch)
    assert len(record.history) - 1 == record.best_epoch
    assert record.deviations["retrain"] is True
    task, before = run.load_task(), search.load_task()
    assert len(task.training.instances) == len(before.training.instances) + len(before.training.validation)
    np.testing.assert_array_equal(task.test.candidates, before.test.candidates)
    alone = make_recommender(run.config["model"])
    alone.fit(replace(task.training, epochs=record.best_epoch))
    assert all(torch.equal(value, alone.state_dict()[name]) for name, value in load_parameters(run.folder).items())
    full = run_of(tmp_path, *arguments, "protocol.retrain=true", "protocol.candidates=all")
    assert execute(full).trained == run.folder.name
    assert full.record.validation == selection.validation


def test_finished_run_that_ranks_serves_a_retrained_one_for_a_search_run(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    default = run_of(tmp_path, "model=item-knn", *overrides)
    record = execute(default)
    run = run_of(tmp_path, "model=item-knn", *overrides, "protocol.retrain=true")
    retrained = execute(run)
    assert (retrained.selection, retrained.validation) == (default.folder.name, record.validation)
    assert retrained.best_epoch is None
    _, task = load_trained(run.folder)  # which fits it again
    assert task.training.matrix.nnz == default.load_task().training.matrix.nnz + 50


def test_parts_of_a_retrained_run_are_retrained(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    arguments = ("model=sdmr", "model.sdp.dim=8", "model.sdm.dim=4", "model.sdm.hops=1", *overrides, "epochs=1")
    record = execute(run_of(tmp_path, *arguments, "protocol.retrain=true"))
    sdp = run_of(tmp_path, "model=sdp", "model.dim=8", *overrides, "epochs=1", "protocol.retrain=true")
    assert record.parts["sdp"] == sdp.folder.name
    assert sdp.record.selection is not None


def test_search_run_that_would_retrain_is_refused(overrides: tuple[str, ...], sdmr: Sdmr) -> None:
    answer = sdmr("run", "model=mf-bpr", *overrides, "test=false", "protocol.retrain=true")
    assert answer.status == 2
    assert "cannot select on, train for or rank them (protocol.retrain=True)" in answer.error
    answer = sdmr("export", "to=here", *overrides, "protocol.retrain=true")
    assert "protocol.retrain has no effect here, since no model is trained" in answer.error


def test_cold_targets_of_a_split_by_time_are_misses_in_metrics_and_counted(tmp_path: Path, sdmr: Sdmr) -> None:
    path = tmp_path / "cold.csv"  # every third of 30 users ends with an item of its own
    rows = [(user, user % 7 + number, 30 * number + user) for user in range(30) for number in range(10)]
    rows += [(user, 100 + user if user % 3 == 0 else 10 + user % 7, 300 + user) for user in range(30)]
    path.write_text("\n".join(["user,item,time", *(",".join(map(str, row)) for row in rows)]) + "\n")
    arguments = ("model=popularity", "dataset=csv", f"dataset.path={path}", "dataset.time=time")
    cuts = ("protocol.test_item=global-time", "protocol.validation_cut=0.7", f"protocol.test_cut={10 / 11 + 1e-6}")
    for candidates in ("100", "all"):
        run = run_of(tmp_path, *arguments, *cuts, f"protocol.candidates={candidates}")
        record, ranks, task = execute(run), ranks_of(run.folder), run.load_task()
        test = task.test
        is_cold = test.is_cold
        assert is_cold[test.users % 3 == 0].all()
        assert record.data_report["cold_test_targets"] == is_cold.sum() < len(test)
        assert (ranks["tied"][is_cold] == 0).all()
        assert (ranks["above"][is_cold] == max(task.training.n_items, 50)).all()
        assert record.test["hit@50"]["expected"] == 1 - is_cold.mean()  # as all others are hits
        everywhere = summarize(read_ranks(run.folder / "ranks.npz")[1], [task.training.n_items], ["hit", "AUC"])
        assert everywhere[f"hit@{task.training.n_items}"]["expected"] == 1 - is_cold.mean()
        assert everywhere["AUC"]["expected"] < 1 - is_cold.mean()
        assert record.deviations.items() >= {"test_item": "global-time", "validation_cut": 0.7}.items()
    answer = sdmr("run", *arguments, *cuts, "protocol.validation_cut=0.95", f"runs={tmp_path}")
    assert answer.status == 2
