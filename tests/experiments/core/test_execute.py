"""Runs: what a record holds, when a run is not run again, and what is left of one that is killed."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

from sdmr.baselines.mf_bpr import MFBPR
from sdmr.baselines.popularity import Popularity
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.split import split
from sdmr.datasets.task import HeldOut, Training
from sdmr.experiments.core import execute as execute_module
from sdmr.experiments.core import run as run_module
from sdmr.experiments.core import timer as timer_module
from sdmr.experiments.core.estimate import compute_runtime
from sdmr.experiments.core.execute import execute
from sdmr.experiments.core.ranking import compute_test_digests
from sdmr.experiments.core.record import Environment, Record, load_record, save_record
from sdmr.experiments.core.timer import PhaseTimer
from sdmr.harness import evaluation
from sdmr.harness.metrics import Ranks, summarize
from sdmr.harness.recommender import compute_checksums
from sdmr.models.sdm import SDM
from sdmr.models.sdmr import SDMR
from sdmr.models.sdp import SDP
from tests.experiments.conftest import SMALL, ranks_of, run_of
from tests.experiments.core.conftest import Sdmr

CHECKOUT = Path(execute_module.__file__).parents[2]
pytestmark = pytest.mark.usefixtures("temporary_cache")

CANDIDATES = {"7": 7, "popularity:7": 7, "120": 120}
METRICS = {f"{metric}@{k}" for metric in ("hit", "NDCG") for k in (1, 5, 10, 20, 50)}


def less_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in entry.items() if "seconds" not in key} for entry in history]


def forbid(monkeypatch: pytest.MonkeyPatch, model: type) -> None:
    def fit(self: object, training: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(model, "fit", fit)


# --- records ---


def test_record_holds_settings_metrics_history_and_environment(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=mf-bpr", *overrides, *SMALL, "seed=4", "split_seed=2")
    record = execute(run)
    assert load_record(run.folder / "record.json") == record == run.record
    assert run.folder.parent == tmp_path / "csv"
    assert record.model == "sdmr.baselines.mf_bpr.MFBPR"
    assert record.dataset == "csv"
    config = record.config
    assert (config["seed"], config["split_seed"], config["test"]) == (4, 2, True)
    assert (config["model"]["dim"], config["model"]["optimization"]["epochs"]) == (8, 3)
    assert config["dataset"]["path"] == overrides[1].partition("=")[2]
    assert (len(record.data), len(record.source)) == (64, 64)
    for side in (record.validation, record.test, record.test_all):
        assert set(side) == METRICS
        for values in side.values():
            assert 0 <= values["pessimistic"] <= values["expected"] <= values["optimistic"] <= 1
    assert [entry["epoch"] for entry in record.history] == [0, 1, 2, 3]
    assert all({"loss", "validation", "fit_seconds", "rank_seconds"} <= set(e) for e in record.history[1:])
    curve = [entry["validation"] for entry in record.history[1:]]
    assert record.best_epoch == 1 + curve.index(max(curve))
    assert record.best_among_last_5_allowed is True
    assert record.validation["NDCG@10"]["expected"] == pytest.approx(max(curve))
    assert set(record.seconds) == {"prepare", "fit", "rank", "rank_all"}
    assert set(record.cpu_seconds) == {"fit", "rank", "rank_all"}
    assert all(seconds > 0 for seconds in (*record.seconds.values(), *record.cpu_seconds.values()))
    assert record.load is not None
    assert min(record.load) >= 0
    assert record.peak_memory_mib > 50
    assert record.environment.versions["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert record.environment.threads == 1
    assert sorted(path.name for path in run.folder.iterdir()) == [".lock", "model.pt", "ranks.npz", "record.json"]


def test_metrics_of_new_and_repeated_targets_are_apart_with_baskets(tmp_path: Path) -> None:
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
    task = run.load_task()
    history = [set(row.indices) for row in task.training.matrix]
    repeated = [target in history[user] for user, target in zip(task.test.users, task.test.targets, strict=True)]
    assert record.test_repeated["instances"] == sum(repeated) > 0
    assert record.test_new["instances"] == len(repeated) - sum(repeated) > 0
    hits = ranks_of(run.folder)["above"] == 0
    assert record.test_repeated["hit@1"]["optimistic"] == pytest.approx(hits[np.array(repeated)].mean())
    for metric, total in record.test.items():
        parts = [(side["instances"], side[metric]["expected"]) for side in (record.test_new, record.test_repeated)]
        assert sum(n * value for n, value in parts) / len(repeated) == pytest.approx(total["expected"])


def test_record_without_baskets_has_no_repeated_targets(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    assert execute(run_of(tmp_path, "model=popularity", *overrides)).test_repeated is None


def test_saved_ranks_give_the_metrics_of_the_record(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=popularity", *overrides)
    record = execute(run)
    ranks = ranks_of(run.folder)
    assert sorted(ranks["users"]) == list(range(50))
    assert summarize(Ranks(ranks["above"], ranks["tied"])) == record.test
    assert record.test["hit@10"]["pessimistic"] < record.test["hit@10"]["optimistic"]  # popularity ties often
    assert record.history is None


def test_best_epoch_is_flagged_among_the_last_five_allowed_only() -> None:
    recommender = MFBPR(optimization=replace(MFBPR().optimization, epochs=9))
    for best, flagged in ((3, False), (4, False), (5, True), (9, True)):
        recommender.history = [{"epoch": e, "validation": float(e == best)} for e in range(10)]
        assert execute_module._describe_training(recommender)["best_epoch"] == best
        assert execute_module._describe_training(recommender)["best_among_last_5_allowed"] is flagged
    recommender.history = recommender.history[:8]  # stopped by its patience
    assert execute_module._describe_training(recommender)["best_among_last_5_allowed"] is False


# --- a finished run ---


def test_command_prints_the_metrics_of_a_finished_run_and_does_not_fit(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, sdmr: Sdmr
) -> None:
    for test, side in (("true", "test"), ("false", "validation")):
        arguments = ("model=mf-bpr", *overrides, *SMALL, f"test={test}")
        run = run_of(tmp_path, *arguments)
        metrics = execute(run).metrics()
        with monkeypatch.context() as patch:
            forbid(patch, MFBPR)
            answer = sdmr("run", *arguments, f"runs={tmp_path}")
        deviations = "optimization.epochs=3, optimization.patience=3"
        values = f"hit@10 {metrics['hit@10']['expected']:.3f}, NDCG@10 {metrics['NDCG@10']['expected']:.3f}"
        assert (
            answer.out
            == f"sdmr.baselines.mf_bpr.MFBPR on csv, {side}, {deviations}: {values} ({run.folder}/record.json)\n"
        )


@pytest.mark.parametrize("model", ["mf-bpr", "sdmr"])
def test_finished_search_run_is_not_trained_again_for_the_test_metrics(
    model: str, tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"mf-bpr": SMALL, "sdmr": ("model.sdp.dim=8", "model.sdm.dim=4", "epochs=1")}[model]
    arguments = (f"model={model}", *overrides, *small)
    alone, after = run_of(tmp_path / "alone", *arguments), run_of(tmp_path / "after", *arguments)
    search_run = run_of(tmp_path / "after", *arguments, "test=false")
    expected = execute(alone)
    assert expected.trained is None
    execute(search_run)
    with monkeypatch.context() as patch:
        for trained in (MFBPR, SDP, SDM, SDMR):
            forbid(patch, trained)
        record = execute(after)
        with pytest.raises(AssertionError, match="fitted again"):
            execute(after, force=True)
        with pytest.raises(AssertionError, match="fitted again"):
            execute(run_of(tmp_path / "after", *arguments, "protocol.select_on=test"))
    assert record.trained == search_run.folder.name
    assert (record.test, record.validation) == (expected.test, expected.validation)
    assert less_seconds(record.history) == less_seconds(expected.history)
    assert record.seconds["fit"] == sum(e["fit_seconds"] + e["rank_seconds"] for e in record.history[1:])
    assert all(np.array_equal(a, ranks_of(alone.folder)[n]) for n, a in ranks_of(after.folder).items())
    assert (after.folder / "model.pt").exists()


def test_finished_run_is_made_again_only_when_forced(
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
    assert less_seconds(again.history) == less_seconds(record.history)
    assert again.history != record.history  # its seconds are its own
    after = ranks_of(run_of(tmp_path, *arguments).folder)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_forced_run_ignores_an_old_checkpoint(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=mf-bpr", *overrides, *SMALL)
    run.folder.mkdir(parents=True)
    (run.folder / "checkpoint.pt").write_text("of an older time")
    assert execute(run, force=True).best_epoch > 0


# --- the test side ---


class Untouchable:
    """Stands for test instances that nobody may look at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test side was asked for {name}")

    def __len__(self) -> int:
        raise AssertionError("the test side was asked for its length")


def test_search_run_never_reads_the_test_instances(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("model=mf-bpr", *overrides, *SMALL)
    search, run = run_of(tmp_path, *arguments, "test=false"), run_of(tmp_path, *arguments)
    load_task = run_module._load_task

    @cache
    def load_without_test(*settings: Any) -> tuple[Any, ...]:
        task, *rest = load_task(*settings)
        untested = copy(task)
        object.__setattr__(untested, "test", Untouchable())  # as a new task would look at it
        return untested, *rest

    monkeypatch.setattr(run_module, "_load_task", load_without_test)
    record = execute(search)
    assert record.test is None
    assert set(record.validation) == METRICS
    assert not (search.folder / "ranks.npz").exists()
    with pytest.raises(AssertionError, match="the test side was asked for"):
        execute(run)
    assert run.record is None


# --- the protocol ---


def test_epoch_is_selected_on_the_test_items_only_when_asked_for(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[HeldOut] = []
    fit = MFBPR.fit

    def note(self: MFBPR, training: Training) -> None:
        handed.append(training.validation)
        fit(self, training)

    monkeypatch.setattr(MFBPR, "fit", note)
    arguments = ("model=mf-bpr", *overrides, *SMALL)
    default = run_of(tmp_path, *arguments)
    data = execute(default).data
    other = execute(run_of(tmp_path, *arguments, "protocol.select_on=test"))
    task = default.load_task()
    for received, expected in zip(handed, (task.training.validation, task.test), strict=True):
        assert compute_checksums(received) == compute_checksums(expected)
        assert not np.shares_memory(received.candidates, expected.candidates)
    assert other.deviations == {"select_on": "test", **execute(default).deviations}
    curve = [entry["validation"] for entry in other.history[1:]]
    assert other.test["NDCG@10"]["expected"] == pytest.approx(max(curve))
    assert data == other.data


@pytest.mark.parametrize("model", ["mf-bpr", "sdmr", "popularity"])
def test_ranking_among_all_items_reuses_the_trained_model(
    model: str, tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"mf-bpr": SMALL, "sdmr": ("model.sdp.dim=8", "model.sdm.dim=4", "epochs=1"), "popularity": ()}[model]
    arguments = (f"model={model}", *overrides, *small)
    sampled = execute(run_of(tmp_path, *arguments))
    for trained in (MFBPR, SDP, SDM, SDMR):
        forbid(monkeypatch, trained)
    run = run_of(tmp_path, *arguments, "protocol.candidates=all")
    record = execute(run)
    assert record.deviations == {"candidates": "all", **sampled.deviations}
    assert record.validation == sampled.validation
    assert record.history == sampled.history
    task = run.load_task()
    first, all_ranks = ranks_of(run_of(tmp_path, *arguments).folder), ranks_of(run.folder)
    assert (all_ranks["above"] >= first["above"]).all()
    assert (all_ranks["above"] + all_ranks["tied"]).sum() > (first["above"] + first["tied"]).sum()
    assert (all_ranks["above"] + all_ranks["tied"]).max() <= task.training.n_items - 8
    assert (sampled.test_all, sampled.test_all_sample) == (record.test, None)
    assert record.test_all is None
    for name in ("above", "tied", "others"):
        np.testing.assert_array_equal(first[f"all_{name}"], all_ranks[name])
    if model != "popularity":
        with pytest.raises(AssertionError, match="fitted again"):
            execute(run, force=True)


def test_sample_that_is_ranked_among_all_items_is_stated(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "MAX_PAIRS", 140 * 7)
    run = run_of(tmp_path, "model=sdp", "model.dim=4", *overrides, "epochs=1")
    record, ranks = execute(run), ranks_of(run.folder)
    assert record.test_all_sample == (7, 50)
    assert len(ranks["all_above"]) == len(set(ranks["all_rows"])) == 7
    assert (ranks["all_above"] >= ranks["above"][ranks["all_rows"]]).all()
    assert record.test_all["hit@10"]["optimistic"] == pytest.approx((ranks["all_above"] < 10).mean())


def test_candidates_are_as_many_and_as_popular_as_asked_for(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    runs = {one: run_of(tmp_path, "model=popularity", *overrides, f"protocol.candidates={one}") for one in CANDIDATES}
    assert len({run.data for run in runs.values()}) == len(runs)
    for candidates, number in CANDIDATES.items():
        record = execute(runs[candidates])
        assert str(record.deviations["candidates"]) == candidates
        assert (ranks_of(runs[candidates].folder)["others"] == number).all()
        assert record.test_all["hit@10"] == execute(runs["7"]).test_all["hit@10"]


def test_sort_position_is_kept_when_asked_for(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("model=popularity", *overrides)
    default = execute(run_of(tmp_path, *arguments))
    asked = run_of(tmp_path, *arguments, "protocol.tie_policy=argsort-target-last")
    record, ranks = execute(asked), ranks_of(asked.folder)
    assert record.deviations == {"tie_policy": "argsort-target-last"}
    assert {"numpy"} <= set(record.environment.versions)
    assert record.environment.processor
    assert (ranks["above"] <= ranks["sort_position"]).all()
    assert (ranks["sort_position"] <= ranks["above"] + ranks["tied"]).all()
    hit = record.test["hit@10"]
    assert hit.pop("argsort-target-last") == pytest.approx((ranks["sort_position"] < 10).mean())
    assert hit == default.test["hit@10"]
    assert record.ties.tied_share == pytest.approx((ranks["tied"] > 0).mean()) == default.ties.tied_share


def test_tie_policies_of_counts_share_one_run(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, sdmr: Sdmr
) -> None:
    default = run_of(tmp_path, "model=popularity", *overrides)
    record = execute(default)
    for tie_policy in ("optimistic", "pessimistic"):
        arguments = ["model=popularity", *overrides, f"protocol.tie_policy={tie_policy}"]
        assert run_of(tmp_path, *arguments).folder == default.folder
        with monkeypatch.context() as patch:
            forbid(patch, Popularity)
            answer = sdmr("run", *arguments, f"runs={tmp_path}")
        assert f"tie_policy={tie_policy}: hit@10 {record.test['hit@10'][tie_policy]:.3f}" in answer.out


@pytest.mark.parametrize(
    "change", ["candidates=99", "test_item=random", "validation_item=next-to-last", "equal_times=item-id"]
)
def test_split_options_change_the_task_and_are_deviations(change: str, tmp_path: Path, data: Path) -> None:
    tied = tmp_path / "tied.csv"  # every time stands twice
    header, *rows = data.read_text().splitlines()
    rows = [f"{user},{item},{int(time) // 2}" for user, item, time in (row.split(",") for row in rows)]
    tied.write_text("\n".join([header, *rows]) + "\n")
    arguments = ("model=popularity", "dataset=csv", f"dataset.path={tied}", "dataset.time=time")
    default, other = run_of(tmp_path, *arguments), run_of(tmp_path, *arguments, f"protocol.{change}")
    assert other.data != default.data
    name, _, value = change.partition("=")
    assert execute(other).deviations == {name: int(value) if value.isdigit() else value}
    task = other.load_task()
    assert task.test.candidates.shape[1] == (100 if name == "candidates" else 101)


# --- parts ---


def test_parts_are_runs_of_their_own_and_are_reused(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    one_epoch = (*overrides, "epochs=1", "patience=1")
    sdp = run_of(tmp_path, "model=sdp", "model.dim=8", *one_epoch)
    alone = execute(sdp)
    both = ("model=sdmr", "model.sdp.dim=8", "model.sdm.dim=4", "model.sdm.hops=1", *one_epoch)
    sdmr = run_of(tmp_path, *both)
    with monkeypatch.context() as patch:
        forbid(patch, SDP)
        record = execute(sdmr)
    assert sdp.record == alone
    sdm = run_of(tmp_path, "model=sdm", "model.dim=4", "model.hops=1", *one_epoch)
    assert sdm.record is not None
    assert sdm.record.test
    assert record.parts == {"sdp": sdp.folder.name, "sdm": sdm.folder.name}
    seconds = [part.seconds["fit"] + part.seconds["rank"] + part.seconds["rank_all"] for part in (alone, sdm.record)]
    assert record.seconds["parts"] == pytest.approx(sum(seconds))
    assert record.seconds["fit"] == sum(e["fit_seconds"] + e["rank_seconds"] for e in record.history[1:])
    parameters = torch.load(sdmr.folder / "model.pt", weights_only=True)["parameters"]
    for name, part in (("sdp", sdp), ("sdm", sdm)):
        saved = torch.load(part.folder / "model.pt", weights_only=True)["parameters"]
        assert saved
        assert all(torch.equal(value, parameters[f"{name}.{key}"]) for key, value in saved.items())


def test_deleted_parameters_of_parts_and_trained_runs_are_made_again(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    both = ("model.sdp.dim=8", "model.sdm.dim=4", "model.sdm.hops=1", *overrides, "epochs=1", "patience=1")
    first = run_of(tmp_path, "model=sdmr", *both)
    record = execute(first)
    for name in (*record.parts.values(), first.folder.name):
        (first.folder.parent / name / "model.pt").unlink()
    full_ranking = execute(run_of(tmp_path, "model=sdmr", *both, "protocol.candidates=all"))
    assert full_ranking.trained == first.folder.name
    assert all((first.folder.parent / name / "model.pt").exists() for name in record.parts.values())


def test_a_run_has_the_threads_that_are_asked_for(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    before = torch.get_num_threads()
    try:
        assert execute(run_of(tmp_path, "model=popularity", *overrides), threads=2).environment.threads == 2
    finally:
        torch.set_num_threads(before)


def test_parameters_that_another_process_has_made_meanwhile_are_not_made_again(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    run = run_of(tmp_path, "model=mf-bpr", *overrides, "epochs=1")
    execute(run)
    model = (run.folder / "model.pt").read_bytes()
    (run.folder / "model.pt").unlink()
    with ThreadPoolExecutor(1) as thread:
        with FileLock(run.folder / ".lock"):  # as the process that makes them
            waiting = thread.submit(execute, run, needs_model=True)
            time.sleep(0.2)
            (run.folder / "model.pt").write_bytes(model)
            before = (run.folder / "record.json").stat().st_mtime_ns
        waiting.result()
    assert (run.folder / "record.json").stat().st_mtime_ns == before
    (run.folder / "model.pt").unlink()
    execute(run, needs_model=True)
    assert (run.folder / "model.pt").exists()


# --- killed ---


def test_killed_run_leaves_no_record_and_continues_to_the_same_bits(
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
    assert record.history[: len(finished)] == finished  # with the seconds of then: these epochs were not run again
    assert not checkpoint.exists()

    uninterrupted = run_of(tmp_path / "uninterrupted", *arguments)
    other = execute(uninterrupted)
    assert less_seconds(record.history) == less_seconds(other.history)
    assert record.validation == other.validation
    assert record.test == other.test
    assert run.folder.name == uninterrupted.folder.name
    ranks, others = ranks_of(run.folder), ranks_of(uninterrupted.folder)
    assert all(np.array_equal(ranks[name], others[name]) for name in others)


# --- what runs took ---


def test_total_runtime_counts_a_part_once_wherever_its_record_is(tmp_path: Path) -> None:
    def make_record(model: str, parts: dict[str, str], seconds: dict[str, float]) -> Record:
        return Record(
            run=f"{model}-0",
            model=f"models.{model}",
            dataset="csv",
            config={},
            data="",
            source="",
            parts=parts,
            validation={},
            seconds=seconds,
            peak_memory_mib=0.0,
            environment=Environment(commit=None),
        )

    part = make_record("SDM", {}, {"fit": 100.0, "rank": 1.0})
    first = make_record("SDMR", {"sdm": part.run}, {"fit": 10.0, "parts": 101.0})
    second = make_record("OtherSDMR", {"sdm": part.run}, {"fit": 20.0, "parts": 101.0})
    assert compute_runtime([part, first, second]) == 131.0
    assert compute_runtime([first, second]) == 131.0  # the part's record is missing
    save_record(part, tmp_path / "csv" / "SDM-0" / "record.json")
    assert compute_runtime([first, second], tmp_path) == 131.0
    assert compute_runtime([make_record("OldSDMR", {"sdm": part.run}, {"fit": 20.0})]) == 20.0
    assert compute_runtime([make_record("OldSDMR", {"sdm": part.run}, {"fit": 20.0})], tmp_path) == 121.0
    retrained = first.model_copy(update={"selection": "SDMR-9", "seconds": {**first.seconds, "selection": 50.0}})
    assert retrained.runtime == 10.0
    assert compute_runtime([part, retrained]) == 161.0
    assert compute_runtime([part, retrained, second.model_copy(update={"run": "SDMR-9"})]) == 131.0


def test_each_phase_has_its_own_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = iter([(0.0, 0.0), (1.0, 2.0), (3.0, 7.0)])
    monkeypatch.setattr(timer_module, "read_clocks", lambda: next(clocks))
    timer = PhaseTimer()
    timer.end("fit")
    timer.end("rank")
    assert (timer.seconds, timer.cpu_seconds) == ({"fit": 1, "rank": 2}, {"fit": 2, "rank": 5})


def test_processor_seconds_of_training_have_those_of_ranking_each_epoch(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    run = run_of(tmp_path, "model=mf-bpr", *overrides, *SMALL)
    record = execute(run)
    assert record.history is not None
    expected = sum(entry["fit_cpu_seconds"] + entry["rank_cpu_seconds"] for entry in record.history[1:])
    assert record.cpu_seconds["fit"] == expected


def test_random_scores_do_not_depend_on_whether_the_run_trains(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    arguments = ("model=sdm-released", "model.dim=4", *overrides, "epochs=1")
    alone = execute(run_of(tmp_path / "alone", *arguments))
    execute(run_of(tmp_path / "after", *arguments, "test=false"))
    after = execute(run_of(tmp_path / "after", *arguments))
    assert after.trained is not None
    assert (after.validation, after.test) == (alone.validation, alone.test)


def test_cold_targets_come_last_among_all_items_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "cold.csv"
    rows = [(user, user % 7 + number, 30 * number + user) for user in range(30) for number in range(10)]
    rows += [(user, 100 + user if user % 3 == 0 else 10 + user % 7, 300 + user) for user in range(30)]
    path.write_text("\n".join(["user,item,time", *(",".join(map(str, row)) for row in rows)]) + "\n")
    cuts = ("protocol.test_item=global-time", "protocol.validation_cut=0.7", f"protocol.test_cut={10 / 11 + 1e-6}")
    run = run_of(tmp_path, "model=popularity", "dataset=csv", f"dataset.path={path}", "dataset.time=time", *cuts)
    record, ranks, task = execute(run), ranks_of(run.folder), run.load_task()
    assert record.test_all is not None
    is_cold = task.test.is_cold
    assert is_cold.any()
    assert (ranks["all_above"][is_cold] == max(task.training.n_items, 50)).all()
    assert record.test_all["hit@50"]["expected"] <= 1 - is_cold.mean()


def test_digests_tell_test_items_and_candidates_apart() -> None:
    rows = np.array([(user, (3 * user + n) % 40, n) for user in range(20) for n in range(6)])
    few, many = (compute_test_digests(split(Interactions.from_raw(*rows.T), n_candidates=n)) for n in (10, 11))
    assert few["test_items"] == many["test_items"]
    assert few["test_candidates"] != many["test_candidates"]


def test_ranking_draws_from_the_runs_own_seed(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(execute_module, "seed_generators", seeds.append)
    execute(run_of(tmp_path, "model=popularity", *overrides, "seed=3"))
    assert seeds == [3]


def test_seconds_of_a_known_part_are_not_those_of_the_missing_one() -> None:
    values = {"model": "m", "dataset": "csv", "config": {}, "data": "", "source": "", "validation": {}}
    values |= {"peak_memory_mib": 0.0, "environment": Environment()}
    known = Record(run="SDP-0", seconds={"fit": 50.0}, **values)
    parts = {"sdp": "SDP-0", "sdm": "SDM-0"}
    combined = Record(run="SDMR-0", parts=parts, seconds={"fit": 10.0, "parts": 150.0}, **values)
    assert compute_runtime([known, combined]) == 160.0
