"""Costs are the least of turns, and ratios what they say."""

import pytest
import torch

from sdmr.datasets.task import Training
from sdmr.experiments.benchmark import timing
from sdmr.experiments.benchmark.scale import SCALES
from sdmr.experiments.benchmark.timing import Cost, Entry, Steps, compare, draw_batches, make_entry, make_model
from sdmr.harness.training.optimizer import OptimizationConfig


@pytest.fixture(scope="module")
def training() -> Training:
    return SCALES["tiny"].make_task().training


def test_compared_calls_take_turns_and_the_least_seconds_count(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    seconds = {"a": [3.0, 1.0, 2.0], "b": [4.0, 9.0, 5.0]}
    clock = [0.0]

    def call(name: str) -> None:
        clock[0] += seconds[name][calls.count(name)]
        calls.append(name)

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(timing.time, "process_time", lambda: clock[0] / 2)
    ours, theirs = compare(3, lambda: call("a"), lambda: call("b"), count=2)
    assert calls == ["a", "b"] * 3
    assert ours == Cost(0.5, 0.25, (1.5, 0.5, 1.0))
    entry = make_entry("train", {}, [ours, theirs], "other program")
    assert entry.ratio == 4
    assert entry.processor_ratio == 4
    assert entry.ratios == pytest.approx([4 / 3, 9])


def test_an_entry_shows_its_ratio_and_both_costs() -> None:
    setting = {"count": 256, "of": "interactions", "model": "sdm"}
    entry = Entry("train", setting, Cost(0.5, 0.9), "literal oracle", Cost(6.0, 9.0), threads=2)
    line = "12.00 x (10.00) train 0.5 s (0.9) model sdm, 2 threads; literal oracle: 6 s"
    assert str(entry).split() == line.split()
    row = entry.get_row()
    assert (row["seconds"], row["reference_seconds"], row["ratio"], row["ratios"]) == (0.5, 6.0, 12, [])
    alone = Entry("negatives", {}, Cost(0.5))
    assert alone.ratio is alone.processor_ratio is alone.get_row()["reference_seconds"] is None


def test_batches_are_those_of_a_training_epoch(training: Training) -> None:
    options = OptimizationConfig(batch_size=100, n_negatives=3)
    number = -(-len(training.instances) // 100)
    batches = draw_batches(training, 2, options)
    seen = [next(batches) for _ in range(number)]
    users, contexts, candidates = (torch.cat(columns) for columns in zip(*seen, strict=True))
    assert contexts.shape == (len(training.instances), 2)
    assert candidates.shape == (len(training.instances), 4)
    instances = training.instances
    expected = sorted(zip(instances.users.tolist(), instances.targets.tolist(), strict=True))
    assert sorted(zip(users.tolist(), candidates[:, 0].tolist(), strict=True)) == expected
    assert not training.matrix.toarray()[users[:, None], candidates[:, 1:]].any()


def test_steps_train_a_model_further(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    steps = Steps(make_model("mf-bpr"), training)
    before = steps.model.users.weight.clone()
    steps.run(2)
    assert steps.model.training
    assert not torch.equal(steps.model.users.weight, before)
