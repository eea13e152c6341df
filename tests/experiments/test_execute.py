"""Runs: what a record holds, when a run is not run again, and what is left of one that is killed."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdmr.baselines.mf_bpr import MFBPR
from sdmr.baselines.popularity import Popularity
from sdmr.datasets.task import HeldOut, Training
from sdmr.experiments import execute as module
from sdmr.experiments.configs import compose_run
from sdmr.experiments.execute import execute
from sdmr.harness.metrics import Ranks, summarize
from sdmr.harness.protocol import Protocol
from sdmr.models.released import ReleasedSDM
from sdmr.models.sdm import SDM
from sdmr.models.sdmr import SDMR
from sdmr.models.sdp import SDP
from tests.experiments.conftest import SMALL, ranks_of, run_of

CHECKOUT = Path(module.__file__).parents[1]
pytestmark = pytest.mark.usefixtures("own_cache")

METRICS = {f"{metric}@{k}" for metric in ("hit", "NDCG") for k in (1, 5, 10, 20)}


def less_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in entry.items() if "seconds" not in key} for entry in history]


def forbid(monkeypatch: pytest.MonkeyPatch, model: type) -> None:
    def fit(self: object, training: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(model, "fit", fit)


# --- records ---


def test_a_record_holds_all_that_is_known_of_a_run(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=mf-bpr", *overrides, *SMALL, "seed=4", "split_seed=2")
    record = execute(run)
    assert json.loads((run.folder / "record.json").read_text()) == record == run.record
    assert run.folder.parent == tmp_path / "csv"
    assert record["model"] == "sdmr.baselines.mf_bpr.MFBPR"
    assert record["dataset"] == "csv"
    config = record["config"]
    assert (config["seed"], config["split_seed"], config["test"]) == (4, 2, True)
    assert (config["model"]["dim"], config["model"]["optimization"]["epochs"]) == (8, 3)
    assert config["dataset"]["path"] == overrides[1].partition("=")[2]
    assert all(len(record[name]) == 64 for name in ("data", "source"))
    for side in ("validation", "test"):
        assert set(record[side]) == METRICS
        for readings in record[side].values():
            assert 0 <= readings["pessimistic"] <= readings["expected"] <= readings["optimistic"] <= 1
    assert [entry["epoch"] for entry in record["history"]] == [0, 1, 2, 3]
    assert all({"loss", "validation", "fit_seconds", "rank_seconds"} <= set(e) for e in record["history"][1:])
    curve = [entry["validation"] for entry in record["history"][1:]]
    assert record["best_epoch"] == 1 + curve.index(max(curve))
    assert record["best_among_last_5_allowed"] is True
    assert record["validation"]["NDCG@10"]["expected"] == pytest.approx(max(curve))
    assert set(record["seconds"]) == {"prepare", "fit", "rank"}
    assert all(seconds > 0 for seconds in record["seconds"].values())
    assert record["peak_memory_mib"] > 50
    assert record["environment"]["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert "commit" in record["environment"]
    assert sorted(path.name for path in run.folder.iterdir()) == [".lock", "model.pt", "ranks.npz", "record.json"]


def test_with_baskets_new_and_repeated_targets_are_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = [
        f"{user},{item},{basket}"
        for user in range(20)
        for basket in range(3)
        for item in [0, *rng.choice(np.arange(1, 150), 4, replace=False)][:: 1 if basket else -1]
    ]  # item 0 is in every basket: it trains in two of a user's baskets, and is the test item of the first
    path = tmp_path / "baskets.csv"
    path.write_text("\n".join(["user,item,basket", *rows]) + "\n")
    run = run_of(tmp_path, "model=popularity", "dataset=csv", f"dataset.path={path}", "dataset.basket=basket")
    record = execute(run)
    task, *_ = module._task(json.dumps(run.config["dataset"]), 0)
    history = [set(row.indices) for row in task.training.matrix]
    repeated = [target in history[user] for user, target in zip(task.test.users, task.test.targets, strict=True)]
    assert record["test_repeated"]["instances"] == sum(repeated) > 0
    assert record["test_new"]["instances"] == len(repeated) - sum(repeated) > 0
    hits = ranks_of(run.folder)["above"] == 0
    assert record["test_repeated"]["hit@1"]["optimistic"] == pytest.approx(hits[np.array(repeated)].mean())
    for metric, whole in record["test"].items():
        parts = [
            (record[name]["instances"], record[name][metric]["expected"]) for name in ("test_new", "test_repeated")
        ]
        assert sum(n * value for n, value in parts) / len(repeated) == pytest.approx(whole["expected"])


def test_contexts_are_whole_baskets_or_five_of_a_history(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    rows = [f"{user},{5 * user + place},b" for user in range(30) for place in range(9 if user == 7 else 5)]
    path = tmp_path / "baskets.csv"
    path.write_text("\n".join(["user,item,basket", *rows]) + "\n")
    baskets = ("dataset=csv", f"dataset.path={path}", "dataset.basket=basket")
    for given, length in ((baskets, 7), (overrides, 5), ((*baskets, "context_length=2"), 2)):  # 7: 9 less two held out
        model = run_of(tmp_path, "model=sdmr", *given).config["model"]
        assert model["sdm"]["context_length"] == length
        assert execute(run_of(tmp_path, "model=prme-s", *given, *SMALL, "epochs=1"))["best_epoch"] == 1
        assert run_of(tmp_path, "model=prme", *given).config["model"]["context_length"] == 1


def test_without_baskets_every_target_is_new(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    assert "test_repeated" not in execute(run_of(tmp_path, "model=popularity", *overrides))


def test_the_ranks_beside_a_record_give_its_metrics(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=popularity", *overrides)
    record = execute(run)
    ranks = ranks_of(run.folder)
    assert sorted(ranks["users"]) == list(range(50))
    assert summarize(Ranks(ranks["above"], ranks["tied"])) == record["test"]
    assert record["test"]["hit@10"]["pessimistic"] < record["test"]["hit@10"]["optimistic"]  # popularity ties often
    assert "history" not in record


def test_a_best_epoch_far_from_the_last_is_not_flagged() -> None:
    recommender = MFBPR(optimization=replace(MFBPR().optimization, epochs=9))
    for best, flagged in ((3, False), (4, False), (5, True), (9, True)):
        recommender.history = [{"epoch": e, "validation": float(e == best)} for e in range(10)]
        assert module._training_of(recommender)["best_epoch"] == best
        assert module._training_of(recommender)["best_among_last_5_allowed"] is flagged
    recommender.history = recommender.history[:8]  # stopped by its patience
    assert module._training_of(recommender)["best_among_last_5_allowed"] is False


@pytest.mark.parametrize(
    "change",
    ["seed=1", "split_seed=1", "test=false", "model.dim=9", "dataset.iterative=true", "model.optimization.epochs=4"],
)
def test_other_settings_are_another_run(change: str, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    plain = ("model=mf-bpr", *overrides, *SMALL)
    assert run_of(tmp_path, *plain, change).folder != run_of(tmp_path, *plain).folder


def test_threads_force_and_place_do_not_make_another_run(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    plain = ("model=mf-bpr", *overrides, *SMALL)
    assert run_of(tmp_path, *plain, "threads=2", "force=true", "runs=x").folder == run_of(tmp_path, *plain).folder


def test_other_data_under_the_same_name_is_another_run(tmp_path: Path, data: Path, overrides: tuple[str, ...]) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_text(data.read_text())
    there = ("model=popularity", "dataset=csv", f"dataset.path={copy}", "dataset.time=time")
    before = run_of(tmp_path, *there)
    assert before.data == run_of(tmp_path, "model=popularity", *overrides).data
    copy.write_text(data.read_text() + "0,139,99\n7,139,99\n")
    module._task.cache_clear()  # which is for one process, where no data changes
    assert run_of(tmp_path, *there).folder != before.folder


# --- a finished run ---


def test_the_command_finds_a_finished_run_and_prints_its_metrics(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for test, side in (("true", "test"), ("false", "validation")):
        arguments = ("model=mf-bpr", *overrides, *SMALL, f"test={test}")
        run = run_of(tmp_path, *arguments)
        metrics = execute(run)[side]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["sdmr.experiments.run", *arguments, f"runs={tmp_path}"])
            forbid(patch, MFBPR)
            runpy.run_module("sdmr.experiments.run", run_name="__main__")
        values = f"hit@10 {metrics['hit@10']['expected']:.3f}, NDCG@10 {metrics['NDCG@10']['expected']:.3f}"
        printed = capsys.readouterr().out
        assert f"sdmr.baselines.mf_bpr.MFBPR on csv, {side}: {values} ({run.folder}/record.json)\n" == printed


@pytest.mark.parametrize("model", ["mf-bpr", "sdmr"])
def test_what_a_search_run_has_trained_is_not_trained_again(
    model: str, tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"mf-bpr": SMALL, "sdmr": ("model.sdp.dim=8", "model.sdm.dim=4", "epochs=1")}[model]
    arguments = (f"model={model}", *overrides, *small)
    alone, after = run_of(tmp_path / "alone", *arguments), run_of(tmp_path / "after", *arguments)
    searched = run_of(tmp_path / "after", *arguments, "test=false")
    expected = execute(alone)
    assert "trained" not in expected
    execute(searched)
    with monkeypatch.context() as patch:
        for trained in (MFBPR, SDP, SDM, SDMR):
            forbid(patch, trained)
        record = execute(after)
        with pytest.raises(AssertionError, match="fitted again"):
            execute(after, force=True)
        with pytest.raises(AssertionError, match="fitted again"):
            execute(run_of(tmp_path / "after", *arguments, "protocol.select_on=test"))
    assert record["trained"] == searched.folder.name
    for side in ("test", "validation"):
        assert record[side] == expected[side]
    assert less_seconds(record["history"]) == less_seconds(expected["history"])
    assert record["seconds"]["fit"] == sum(e["fit_seconds"] + e["rank_seconds"] for e in record["history"][1:])
    assert all(np.array_equal(a, ranks_of(alone.folder)[n]) for n, a in ranks_of(after.folder).items())
    assert (after.folder / "model.pt").exists()


def test_a_finished_run_is_not_run_again_unless_forced(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("model=mf-bpr", *overrides, *SMALL)
    record = execute(run_of(tmp_path, *arguments))
    before = ranks_of(run_of(tmp_path, *arguments).folder)
    with monkeypatch.context() as patch:
        forbid(patch, MFBPR)
        assert execute(run_of(tmp_path, *arguments)) == record
        with pytest.raises(AssertionError, match="fitted again"):
            execute(run_of(tmp_path, *arguments, "seed=1"))
        with pytest.raises(AssertionError, match="fitted again"):
            execute(run_of(tmp_path, *arguments), force=True)
    assert run_of(tmp_path, *arguments).record is None  # the forced run has failed
    again = execute(run_of(tmp_path, *arguments), force=True)
    assert less_seconds(again["history"]) == less_seconds(record["history"])
    assert again["history"] != record["history"]  # its seconds are its own
    after = ranks_of(run_of(tmp_path, *arguments).folder)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_forced_run_does_not_go_on_from_an_old_checkpoint(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=mf-bpr", *overrides, *SMALL)
    run.folder.mkdir(parents=True)
    (run.folder / "checkpoint.pt").write_text("of an older time")
    assert execute(run, force=True)["best_epoch"] > 0


# --- the test side ---


class Untouchable:
    """Stands for test instances that nobody may look at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test side was asked for {name}")

    def __len__(self) -> int:
        raise AssertionError("the test side was asked for its length")


def test_a_search_run_never_looks_at_the_test_side(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("model=mf-bpr", *overrides, *SMALL)
    search, run = run_of(tmp_path, *arguments, "test=false"), run_of(tmp_path, *arguments)
    task_of = module._task

    def without_test(*settings: Any) -> tuple[Any, ...]:
        task, *rest = task_of(*settings)
        return replace(task, test=Untouchable()), *rest  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_task", without_test)
    record = execute(search)
    assert "test" not in record
    assert set(record["validation"]) == METRICS
    assert not (search.folder / "ranks.npz").exists()
    with pytest.raises(AssertionError, match="the test side was asked for"):
        execute(run)
    assert run.record is None


# --- the protocol ---


def test_the_default_protocol_is_told_as_such(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=popularity", *overrides)
    assert run.config["protocol"] == asdict(Protocol())
    assert execute(run)["deviations"] == {}
    assert module.deviations(run_of(tmp_path, "model=popularity", *overrides, "split_seed=2")) == {"split_seed": 2}
    without_time = tuple(override for override in overrides if "time" not in override)
    in_order = run_of(tmp_path, "model=popularity", *without_time, "dataset.order=file")
    assert execute(in_order)["deviations"] == {"order": "file"}
    assert execute(run_of(tmp_path, "model=popularity", *without_time))["deviations"] == {}


def test_an_order_that_is_the_data_sets_own_is_no_deviation(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=popularity", *overrides)
    baskets = replace(run, dataset="ta-feng", config=run.config | {"dataset": {"order": "file"}})
    assert module.deviations(baskets) == {}
    assert module.deviations(replace(baskets, dataset="epinions")) == {"order": "file"}
    assert module.deviations(replace(baskets, dataset="inter")) == {"order": "file"}
    in_no_order = replace(baskets, config=baskets.config | {"dataset": {"order": "random"}})
    assert module.deviations(replace(in_no_order, dataset="inter")) == {}


TRAINING = {
    "optimization.regularization_scope": "all",
    "optimization.halve_learning_rate_every": 20,
    "optimization.selection_metric": "hit@10",
}
OF_SDP = {"distance": "absolute", "dropout": 0.2, "initialization": "torch", **TRAINING}
OF_SDM = {
    "dropout": 0.2,
    "dropout_at_test": "on",
    "value_layer": "layer",
    "gate_update": "negated",
    "padding": "scaled",
    "short_context": "left-over",
    "initialization": "torch",
    **TRAINING,
}
OF_SDMR = {
    "dropout": 0.2,
    "part_mode": "training",
    **TRAINING,
    **{f"sdp.{name}": value for name, value in OF_SDP.items()},
    **{f"sdm.{name}": value for name, value in OF_SDM.items()},
}


@pytest.mark.parametrize(("model", "expected"), [("sdp", OF_SDP), ("sdm", OF_SDM), ("sdmr", OF_SDMR)])
def test_a_released_model_departs_in_every_argument_that_is_not_the_papers(
    model: str, expected: dict[str, Any]
) -> None:
    config = compose_run((f"model={model}-released",))[0]["model"]
    assert module.model_deviations(config) == {"variant": "released", **expected}
    assert module.model_deviations(compose_run((f"model={model}",))[0]["model"]) == {}


def test_single_differences_are_deviations_and_none_of_them_is_none() -> None:
    papers = [f"model.{name}={value}" for name, value in ReleasedSDM.PAPER_CHOICES.items()]
    assert module.model_deviations(compose_run(("model=sdm-released", *papers))[0]["model"]) == {}
    single = compose_run(("model=sdm-released", *papers, "model.value_layer=layer"))[0]["model"]
    assert module.model_deviations(single) == {"variant": "released", "value_layer": "layer"}
    all_but_one = module.model_deviations(compose_run(("model=sdm-released", "model.gate_update=distance"))[0]["model"])
    assert all_but_one == {"variant": "released"} | {k: v for k, v in OF_SDM.items() if k != "gate_update"}
    caser = compose_run(("model=caser", "model.dropout_at_test=on"))[0]["model"]
    assert module.model_deviations(caser) == {"dropout_at_test": "on"}


def test_the_record_of_a_released_model_says_so(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=sdp-released", "model.dim=4", "model.optimization.epochs=1", *overrides)
    record = execute(run)
    assert record["deviations"] == {"variant": "released", **OF_SDP}
    assert ", variant=released, distance=absolute, " in module.result_line(record, run.folder)


def test_the_test_side_is_selected_on_only_when_that_is_said(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[HeldOut] = []
    fit = MFBPR.fit

    def note(self: MFBPR, training: Training) -> None:
        handed.append(training.validation)
        fit(self, training)

    monkeypatch.setattr(MFBPR, "fit", note)
    arguments = ("model=mf-bpr", *overrides, *SMALL)
    honest = execute(run_of(tmp_path, *arguments))
    other = execute(run_of(tmp_path, *arguments, "protocol.select_on=test"))
    task = module._prepared(honest["config"])[0]
    assert handed[0] is task.training.validation
    assert handed[1] is task.test
    assert other["deviations"] == {"select_on": "test"}
    curve = [entry["validation"] for entry in other["history"][1:]]
    assert other["test"]["NDCG@10"]["expected"] == pytest.approx(max(curve))
    assert honest["data"] == other["data"]


@pytest.mark.parametrize("change", ["select_on=test", "candidates=all", "tie_policy=argsort-target-last"])
def test_a_search_run_cannot_depart_towards_the_test_side(
    change: str, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="never ranks the test items"):
        run_of(tmp_path, "model=mf-bpr", *overrides, "test=false", f"protocol.{change}")


@pytest.mark.parametrize("model", ["mf-bpr", "sdmr", "popularity"])
def test_ranking_among_all_items_takes_the_trained_model(
    model: str, tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"mf-bpr": SMALL, "sdmr": ("model.sdp.dim=8", "model.sdm.dim=4", "epochs=1"), "popularity": ()}[model]
    arguments = (f"model={model}", *overrides, *small)
    sampled = execute(run_of(tmp_path, *arguments))
    for trained in (MFBPR, SDP, SDM, SDMR):
        forbid(monkeypatch, trained)
    run = run_of(tmp_path, *arguments, "protocol.candidates=all")
    record = execute(run)
    assert record["deviations"] == {"candidates": "all"}
    assert record["validation"] == sampled["validation"]
    assert record.get("history") == sampled.get("history")
    task = module._prepared(run.config)[0]
    first, all_ranks = ranks_of(run_of(tmp_path, *arguments).folder), ranks_of(run.folder)
    assert (all_ranks["above"] >= first["above"]).all()
    assert (all_ranks["above"] + all_ranks["tied"]).sum() > (first["above"] + first["tied"]).sum()
    assert (all_ranks["above"] + all_ranks["tied"]).max() <= task.training.n_items - 8
    if model != "popularity":
        with pytest.raises(AssertionError, match="fitted again"):
            execute(run, force=True)


def test_the_place_in_a_sort_is_kept_when_asked_for(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("model=popularity", *overrides)
    plain = execute(run_of(tmp_path, *arguments))
    asked = run_of(tmp_path, *arguments, "protocol.tie_policy=argsort-target-last")
    record, ranks = execute(asked), ranks_of(asked.folder)
    assert record["deviations"] == {"tie_policy": "argsort-target-last"}
    assert {"numpy"} <= set(record["environment"]["versions"])
    assert record["environment"]["processor"]
    assert (ranks["above"] <= ranks["sort_position"]).all()
    assert (ranks["sort_position"] <= ranks["above"] + ranks["tied"]).all()
    hit = record["test"]["hit@10"]
    assert hit.pop("argsort-target-last") == pytest.approx((ranks["sort_position"] < 10).mean())
    assert hit == plain["test"]["hit@10"]
    assert record["ties"]["tied_share"] == pytest.approx((ranks["tied"] > 0).mean()) == plain["ties"]["tied_share"]


def test_a_reading_of_counts_is_no_other_run(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = run_of(tmp_path, "model=popularity", *overrides)
    record = execute(plain)
    for ties in ("optimistic", "pessimistic"):
        arguments = ["model=popularity", *overrides, f"protocol.tie_policy={ties}"]
        assert run_of(tmp_path, *arguments).folder == plain.folder
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["sdmr.experiments.run", *arguments, f"runs={tmp_path}"])
            forbid(patch, Popularity)
            runpy.run_module("sdmr.experiments.run", run_name="__main__")
        assert f"tie_policy={ties}: hit@10 {record['test']['hit@10'][ties]:.3f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change", ["candidates=99", "test_item=random", "validation_item=next-to-last", "equal_times=item-id"]
)
def test_another_split_is_another_task(change: str, tmp_path: Path, data: Path) -> None:
    tied = tmp_path / "tied.csv"  # every time stands twice
    header, *rows = data.read_text().splitlines()
    rows = [f"{user},{item},{int(time) // 2}" for user, item, time in (row.split(",") for row in rows)]
    tied.write_text("\n".join([header, *rows]) + "\n")
    arguments = ("model=popularity", "dataset=csv", f"dataset.path={tied}", "dataset.time=time")
    plain, other = run_of(tmp_path, *arguments), run_of(tmp_path, *arguments, f"protocol.{change}")
    assert other.data != plain.data
    name, _, value = change.partition("=")
    assert execute(other)["deviations"] == {name: int(value) if value.isdigit() else value}
    task = module._prepared(other.config)[0]
    assert task.test.candidates.shape[1] == (100 if name == "candidates" else 101)


# --- parts ---


def test_parts_are_runs_of_their_own_and_are_found_again(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = (*overrides, "epochs=1", "patience=1")
    sdp = run_of(tmp_path, "model=sdp", "model.dim=8", *short)
    alone = execute(sdp)
    both = ("model=sdmr", "model.sdp.dim=8", "model.sdm.dim=4", "model.sdm.hops=1", *short)
    sdmr = run_of(tmp_path, *both)
    with monkeypatch.context() as patch:
        forbid(patch, SDP)
        record = execute(sdmr)
    assert sdp.record == alone
    sdm = run_of(tmp_path, "model=sdm", "model.dim=4", "model.hops=1", *short)
    assert sdm.record is not None
    assert sdm.record["test"]
    assert record["parts"] == {"sdp": sdp.folder.name, "sdm": sdm.folder.name}
    own = [part["seconds"]["fit"] + part["seconds"]["rank"] for part in (alone, sdm.record)]
    assert record["seconds"]["parts"] == pytest.approx(sum(own))
    assert record["seconds"]["fit"] == sum(e["fit_seconds"] + e["rank_seconds"] for e in record["history"][1:])
    parameters = torch.load(sdmr.folder / "model.pt", weights_only=True)["parameters"]
    for name, part in (("sdp", sdp), ("sdm", sdm)):
        saved = torch.load(part.folder / "model.pt", weights_only=True)["parameters"]
        assert saved
        assert all(torch.equal(value, parameters[f"{name}.{key}"]) for key, value in saved.items())


def test_what_a_part_or_a_trained_run_has_learned_may_have_been_deleted(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    both = ("model.sdp.dim=8", "model.sdm.dim=4", "model.sdm.hops=1", *overrides, "epochs=1", "patience=1")
    first = run_of(tmp_path, "model=sdmr", *both)
    record = execute(first)
    for name in (*record["parts"].values(), first.folder.name):
        (first.folder.parent / name / "model.pt").unlink()
    among_all = execute(run_of(tmp_path, "model=sdmr", *both, "protocol.candidates=all"))
    assert among_all["trained"] == first.folder.name
    assert all((first.folder.parent / name / "model.pt").exists() for name in record["parts"].values())


# --- killed ---


def test_a_killed_run_leaves_no_record_and_goes_on_to_the_same_bits(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    epochs = 60
    arguments = ("model=sdm", *overrides, "model.dim=8", "model.hops=2", f"epochs={epochs}", f"patience={epochs}")
    run = run_of(tmp_path / "killed", *arguments)
    checkpoint = run.folder / "checkpoint.pt"
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, "-m", "sdmr.experiments.run", *arguments, f"runs={tmp_path / 'killed'}"]
        process = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log)
        deadline = time.monotonic() + 300
        while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert not (run.folder / "record.json").exists()
    assert not (run.folder / "ranks.npz").exists()
    finished = torch.load(checkpoint, weights_only=True)["history"]
    assert 1 < len(finished) < epochs + 1

    record = execute(run)
    assert record["history"][: len(finished)] == finished  # with the seconds of then: these epochs were not run again
    assert not checkpoint.exists()

    whole = run_of(tmp_path / "whole", *arguments)
    other = execute(whole)
    assert less_seconds(record["history"]) == less_seconds(other["history"])
    assert record["validation"] == other["validation"]
    assert record["test"] == other["test"]
    assert run.folder.name == whole.folder.name
    ranks, others = ranks_of(run.folder), ranks_of(whole.folder)
    assert all(np.array_equal(ranks[name], others[name]) for name in others)


# --- what runs took ---


def test_seconds_in_all_count_a_part_once_wherever_its_record_is() -> None:
    def record(model: str, parts: dict[str, str], seconds: dict[str, float]) -> dict[str, Any]:
        return {"run": f"{model}-0", "parts": parts, "seconds": seconds}

    part = record("SDM", {}, {"fit": 100.0, "rank": 1.0})
    whole = record("SDMR", {"sdm": part["run"]}, {"fit": 10.0, "parts": 101.0})
    other = record("OtherSDMR", {"sdm": part["run"]}, {"fit": 20.0, "parts": 101.0})
    assert module.seconds_in_all([part, whole, other]) == 131.0
    assert module.seconds_in_all([whole, other]) == 131.0  # the part's record is not to be had
    assert module.seconds_in_all([record("OtherSDMR", {"sdm": part["run"]}, {"fit": 20.0})]) == 20.0  # an old record
