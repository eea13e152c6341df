"""The bench: its oracles are the models, its ratios are what they say, its files have the form that is promised."""

from __future__ import annotations

import copy
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sdmr.experiments.bench import __main__ as command
from sdmr.experiments.bench import measure, optimisers
from sdmr.experiments.bench.inputs import excerpt, synthetic
from sdmr.experiments.bench.measure import GROUPS, TINY, Entry, Scale, least
from sdmr.experiments.bench.oracles import LiteralSDM, LiteralSDP
from sdmr.harness.evaluation import rank
from sdmr.models.sdm import SDM
from sdmr.models.sdp import SDP
from tests.models.oracles import assert_same_gradients, scatter
from tests.models.test_sdm import CANDIDATES, CONTEXTS, N_ITEMS, USERS

IN_THIS_PROCESS = [name for name in GROUPS if name not in ("memory", "side_by_side")]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TQDM_DISABLE", "1")  # the command sets it, too: afterwards it is as before
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("fast", "literal"),
    [
        (SDP(dim=8, layers=2), LiteralSDP(dim=8, layers=2)),
        *((SDM(6, hops, context_length=4), LiteralSDM(6, hops, context_length=4)) for hops in (1, 2, 3, 4)),
    ],
)
def test_an_oracle_has_the_scores_and_gradients_of_its_model(fast: SDP | SDM, literal: LiteralSDP | LiteralSDM) -> None:
    for model in (fast, literal):
        model.build(n_users=5, n_items=N_ITEMS)
        model.double()
        scatter(model, seed=1)
    literal.load_state_dict(copy.deepcopy(fast.state_dict()))
    scores, expected = (model(USERS, CONTEXTS, CANDIDATES) for model in (fast, literal))
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-9)
    weights = torch.randn(CANDIDATES.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for each in (scores, expected):
        (each * weights).sum().backward()
    assert_same_gradients(fast, literal, 1e-9)


def test_inputs_have_the_shape_asked_for_and_are_always_the_same() -> None:
    task, again = synthetic(50, 80, 900, 10), synthetic(50, 80, 900, 10)
    training = task.training
    assert (training.n_users, training.n_items) == (50, 80)
    held_out = len(task.test) + len(training.validation)
    assert len(training.instances) + held_out == 900
    assert task.test.candidates.shape[1] == 11
    np.testing.assert_array_equal(task.test.candidates, again.test.candidates)
    with pytest.raises(ValueError, match="too few for 900"):
        synthetic(10, 20, 900)


def test_an_excerpt_has_the_history_of_the_whole() -> None:
    whole = synthetic(50, 80, 900, 10).training
    part = excerpt(whole, 64, n_validation=3)
    assert (len(part.instances), len(part.validation)) == (64, 3)
    assert part.matrix.nnz == whole.matrix.nnz > 64
    assert part.drop_checkpoint().matrix.nnz == whole.matrix.nnz
    pairs = set(zip(whole.instances.users.tolist(), whole.instances.targets.tolist(), strict=True))
    assert set(zip(part.instances.users.tolist(), part.instances.targets.tolist(), strict=True)) <= pairs


def test_what_is_compared_takes_turns_and_the_least_counts() -> None:
    calls = []

    def measure_of(name: str, seconds: list[float]) -> measure.Measure:
        def one() -> float:
            calls.append(name)
            return seconds[calls.count(name) - 1]

        return one

    assert least(3, measure_of("a", [3.0, 1.0, 2.0]), measure_of("b", [4.0, 9.0, 5.0])) == [1.0, 4.0]
    assert calls == ["a", "b"] * 3


def test_a_ratio_says_how_many_times_faster_than_the_oracle() -> None:
    entry = Entry("train", {"count": 256, "of": "interactions", "model": "sdm"}, 0.5, 6.0)
    assert entry.ratio == 12
    assert str(entry).split()[:2] == ["12.00", "x"]
    assert "512 interactions/s" in str(entry)
    assert Entry("negatives", {}, 0.5).ratio is None


def test_training_is_measured_without_its_first_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, training = measure.recommender("mf-bpr"), excerpt(synthetic(*TINY.shape, TINY.n_candidates).training, 512)
    taken = measure.of_training(model, training)()
    seconds = [entry["fit_seconds"] for entry in model.history[1:]]
    assert len(seconds) == 3
    assert taken == min(seconds[1:]) / 2  # 512 instances are two batches


def test_an_oracle_is_trained_and_ranked_as_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed and steps, so that what is compared has done the same work."""
    task = synthetic(*TINY.shape, TINY.n_candidates)
    fast, literal = measure.recommender("sdm", "model.dim=8"), measure.recommender("sdm", "model.dim=8", oracle=True)
    assert type(literal) is LiteralSDM
    for model in (fast, literal):
        model.fit(task.training)
    losses = [[entry["loss"] for entry in model.history[1:]] for model in (fast, literal)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert len(rank(literal, task.test).above) == len(task.test)


def test_the_bench_writes_what_it_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "GROUPS", {name: GROUPS[name] for name in IN_THIS_PROCESS})
    told = ["--tiny", "--threads", "1", "--results", str(tmp_path), "--plots", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["sdmr.experiments.bench", *told])
    command.main()
    entries = json.loads((tmp_path / "bench.json").read_text())
    for entry in entries:
        assert {"name", "setting", "seconds", "oracle_seconds", "ratio", "threads", "machine"} <= set(entry)
        assert entry["seconds"] > 0
        assert entry["threads"] == 1
        oracle = entry["oracle_seconds"]
        assert entry["ratio"] == (None if oracle is None else pytest.approx(oracle / entry["seconds"]))
    assert {entry["setting"]["model"] for entry in entries if entry["name"] == "train"} == {"mf-bpr", "sdp", "sdm"}
    with_oracle = {entry["setting"]["model"] for entry in entries if entry["name"] == "rank" and entry["ratio"]}
    assert with_oracle == {"sdp", "sdm"}
    curve = [e["setting"] for e in entries if e["name"] == "growth items" and e["setting"]["optimizer"] == "rowwise"]
    points = [(setting["model"], setting["items"]) for setting in curve]
    assert points == [(model, items) for items in TINY.catalogues for model in ("mf-bpr", "sdm")]
    assert [e["setting"]["hops"] for e in entries if e["name"] == "growth hops"] == list(TINY.hops)
    assert (tmp_path / "bench.png").stat().st_size > 0
    with (tmp_path / "bench.csv").open() as lines:
        drawn = list(csv.DictReader(lines))
    assert {row["line"] for row in drawn if row["axis"] == "dim"} == {"SDM", "SDM, literal oracle"}
    assert len({row["line"] for row in drawn if row["axis"] == "items"}) == 4
    printed = capsys.readouterr().out.splitlines()
    assert "1 threads" in printed[0]
    assert len(printed) == len(entries) + 3


def test_some_groups_alone_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["--only", "parts", "--tiny", "--threads", "1", "--results", str(tmp_path), "--plots", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["sdmr.experiments.bench", *told])
    command.main()
    assert "negatives/s" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_the_catalogue_grows_to_a_million_items() -> None:
    assert Scale().catalogues == (1_000, 10_000, 100_000, 1_000_000)


@pytest.mark.slow
def test_memory_and_runs_side_by_side_are_measured_in_processes_of_their_own() -> None:
    for group in ("memory", "side_by_side"):
        for entry in GROUPS[group](TINY):
            assert entry.seconds > 0
            assert group != "memory" or entry.setting["peak_mib"] > 100


def test_optimisers_are_compared_by_validation_metrics_of_the_same_runs() -> None:
    runs = optimisers.wanted(["sdm"], 2, ["epochs=1"])
    assert list(runs) == [("sdm", optimizer, seed) for seed in (0, 1) for optimizer in ("dense", "rowwise")]
    for (_, optimizer, seed), run in runs.items():
        assert {"test=false", f"seed={seed}", f"model.optimization.optimizer={optimizer}"} <= set(run.overrides)
    record = {
        "validation": {"NDCG@10": {"expected": 0.5}},
        "best_epoch": 2,
        "environment": {"commit": "abc"},
    }
    rows = [optimisers.row_of(("sdm", "dense", seed), record, 0.002) for seed in (0, 1)]
    rows[1]["validation_ndcg@10"] = 0.6
    assert "| SDM | dense | 0.5000, 0.6000 | 0.5500 | 2, 2 | 2.00 |" in optimisers.markdown(rows)


def test_optimisers_are_timed_in_turns() -> None:
    seconds = optimisers.step_seconds(["mf-bpr"], TINY)
    assert list(seconds) == [("mf-bpr", "dense"), ("mf-bpr", "rowwise")]
    assert min(seconds.values()) > 0
