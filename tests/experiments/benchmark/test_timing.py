"""Costs are the least of turns, and ratios what they say."""

import numpy as np
import pytest
import torch

from sdmr.datasets.sampling import NegativeSampler
from sdmr.datasets.task import Training
from sdmr.experiments.benchmark import timing
from sdmr.experiments.benchmark.scale import SCALES
from sdmr.experiments.benchmark.steps import Steps, draw_batches, draw_windows, make_model
from sdmr.experiments.benchmark.timing import Cost, Entry, compare, make_entry
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.harness.training.sequence import cut_windows


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
    assert entry.ratio_range == pytest.approx([4 / 3, 9])


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


@pytest.mark.parametrize("name", ["sasrec", "bert4rec"])
def test_a_step_of_a_sequence_model_counts_the_positions_that_it_reads(
    name: str, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch reads every position once, of which BERT4Rec masks some."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    steps = Steps(make_model(name, "model.context_length=5", "model.optimization.batch_size=8"), training)
    batches = steps.model.draw_batches(training, NegativeSampler(training.matrix), np.random.default_rng(0))
    assert steps.n_batches == batches[0]
    histories = np.unique(training.instances.contexts.start)
    n_positions = len(training.instances.contexts.items) - len(histories)  # all but the first of each history
    assert steps.count * steps.n_batches == pytest.approx(n_positions, abs=steps.n_batches)
    windows = draw_windows(steps.model, training)
    drawn = [next(windows) for _ in range(steps.n_batches + 1)]  # an epoch, and the first batch of the next one
    assert sum(len(one[0]) for one in drawn[:-1]) == len(cut_windows(training.instances, 5)[0])


def test_steps_train_a_model_further(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    steps = Steps(make_model("mf-bpr"), training)
    before = steps.model.users.weight.clone()
    steps.run(2)
    assert steps.model.training
    assert not torch.equal(steps.model.users.weight, before)
