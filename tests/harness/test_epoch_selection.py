"""Stop in time, and keep the epoch with the best validation metric."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sdmr.harness.metrics import Ranks
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.loop import StopTraining, _sample, find_best_epoch
from sdmr.harness.training.optimizer import OptimizationConfig
from tests.behavior import small
from tests.harness.factors import CONFIG, Factors, assert_same_bits, fit, watch


class Step(TorchRecommender):
    """Move one parameter by the learning rate in every batch: its gradient is 1."""

    def build(self, n_users: int, n_items: int) -> None:
        self.time = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        return self.time * torch.ones(candidates.shape)

    def loss(self, scores: Tensor) -> Tensor:
        return self.time.sum()


class Clock(Step):
    """Count epochs, since Adam, too, moves the parameter by the learning rate a batch.

    In epoch e the targets of script[e] of the validation instances rank first, and the others last.
    """

    def __init__(self, script: list[int], optimization: OptimizationConfig) -> None:
        super().__init__(optimization)
        self.script = script

    @property
    def epoch(self) -> int:
        batches = -(-len(small().training.instances) // self.optimization.batch_size)
        return round(-self.time.item() / self.optimization.learning_rate / batches)

    def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        validation = small().training.validation
        target = dict(zip(validation.users, validation.targets, strict=True))
        is_target = candidates == np.array([target[user] for user in users])[:, None]
        is_first = np.isin(users, validation.users[: self.script[self.epoch]])
        return np.where(is_target, np.where(is_first, 1.0, -1.0)[:, None], 0.0)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 6), min_size=9, max_size=9), st.integers(1, 4), st.integers(1, 8))
def test_the_validation_curve_stops_training_and_chooses_the_epoch(
    script: list[int], patience: int, epochs: int
) -> None:
    best, last = 1, 1
    for epoch in range(1, epochs + 1):
        last = epoch
        if script[epoch] > script[best]:
            best = epoch
        if epoch - best == patience:
            break

    options = replace(CONFIG, regularization=0, batch_size=100, patience=patience, epochs=epochs)
    model = Clock(script, options)
    model.fit(small().training)
    n = len(small().training.validation)
    assert [entry["epoch"] for entry in model.history] == list(range(last + 1))
    np.testing.assert_allclose([e["validation"] for e in model.history[1:]], np.array(script[1 : last + 1]) / n)
    assert model.epoch == best


def test_the_start_may_be_the_best_epoch_of_a_model_that_starts_from_fitted_parts() -> None:
    class Fused(Clock):
        has_fitted_start = True

    options = replace(CONFIG, regularization=0, batch_size=100, patience=2, epochs=8)
    for script, best in (([3, 1, 3, 2, 4], 0), ([3, 4, 1, 1], 1)):
        model = Fused(script, options)
        model.fit(small().training)
        assert model.epoch == best == find_best_epoch(model.history)
        assert len(model.history) == 1 + best + options.patience


def test_buffers_are_those_of_the_best_epoch() -> None:
    class Counting(Clock):
        def build(self, n_users: int, n_items: int) -> None:
            super().build(n_users, n_items)
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

        def loss(self, scores: Tensor) -> Tensor:
            self.steps = self.steps + 1  # another tensor each time
            return super().loss(scores)

    model = Counting([0, 3, 4, 1, 1], replace(CONFIG, regularization=0, batch_size=100, patience=2, epochs=4))
    model.fit(small().training)
    assert model.epoch == 2
    assert model.steps == 2 * -(-len(small().training.instances) // 100)


@pytest.mark.parametrize(("selection_metric", "best"), [("NDCG@10", 2), ("hit@10", 4)])
def test_the_selection_metric_chooses_the_epoch(
    selection_metric: Literal["NDCG@10", "hit@10"], best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order by hit@10, then by NDCG@10.

    Epochs 3 to 5 have the best hits, 4 and 5 the better NDCG of these, and 4 comes first.
    """
    positions = iter([[0, 20, 20], [0, 0, 20], [5, 5, 5], [2, 2, 2], [2, 2, 2]])  # of three targets, epoch by epoch

    def ranks(*_: object) -> Ranks:
        return Ranks(np.array(next(positions)), np.zeros(3, int))

    monkeypatch.setattr("sdmr.harness.training.loop.count_ranks", ranks)
    options = replace(CONFIG, regularization=0, batch_size=100, epochs=5, patience=5, selection_metric=selection_metric)
    model = Clock([0] * 6, options)
    model.fit(small().training)
    assert model.epoch == best == find_best_epoch(model.history)
    assert ("validation_hit" in model.history[1]) == (selection_metric == "hit@10")


def test_every_seed_chooses_its_epoch_on_the_same_validation_instances() -> None:
    seen: list[list[int]] = []
    for seed in (0, 1):
        model = Factors(optimization=replace(CONFIG, validation_instances=5, epochs=2))

        def remember(call: int, inputs: tuple[Tensor, ...], model: TorchRecommender = model) -> None:
            if not model.training:
                seen.append(inputs[0].tolist())

        watch(model, remember)
        model.fit(replace(small().training, seed=seed))
    assert len(seen) == 4  # two epochs, twice
    assert seen == [seen[0]] * 4
    assert len(set(seen[0])) == 5
    assert set(seen[0]) <= set(small().training.validation.users.tolist())


def test_no_validation_instances_are_an_error() -> None:
    training = small().training
    empty = training.validation.take(np.arange(0))
    with pytest.raises(ValueError, match="Factors cannot choose its epoch"):
        Factors().fit(replace(training, validation=empty))


def test_a_validation_score_that_is_not_finite_is_an_error() -> None:
    class Unrankable(Factors):
        def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
            scores = super().forward(users, contexts, candidates)
            return scores if self.training else scores / 0

    with pytest.raises(ValueError, match=r"^Unrankable scored user"):
        Unrankable().fit(small().training)


def test_a_number_of_epochs_is_trained_without_validation_and_the_last_one_is_kept() -> None:
    for number in (0, 3):
        model = Clock([6, 1, 5, 0, 4], replace(CONFIG, regularization=0, batch_size=100, patience=1, epochs=2))
        nobody = small().training.validation.take(np.arange(0))
        model.fit(replace(small().training, epochs=number, validation=nobody))
        assert [entry["epoch"] for entry in model.history] == list(range(number + 1))
        assert not any("validation" in entry for entry in model.history)
        assert model.epoch == number


class Tying(Factors):
    """Score with many ties, in validation."""

    def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        return ((candidates * 7 + users[:, None]) % 5).astype(np.float64)


def test_the_validation_metrics_are_ndcg_and_hit_at_10_expected_over_ties() -> None:
    model = Tying(optimization=replace(CONFIG, epochs=1, selection_metric="hit@10"))
    model.fit(small().training)
    validation, hits, gains = small().training.validation, [], []
    for user, target, row in zip(validation.users, validation.targets, validation.candidates.tolist(), strict=True):
        scores = {item: (item * 7 + user) % 5 for item in row}
        above = sum(score > scores[target] for score in scores.values())
        tied = sum(score == scores[target] for score in scores.values()) - 1
        positions = range(above + 1, above + tied + 2)
        hits.append(np.mean([position <= 10 for position in positions]))
        gains.append(np.mean([(position <= 10) / np.log2(position + 1) for position in positions]))
    assert model.history[1]["validation"] == pytest.approx(np.mean(gains))
    assert model.history[1]["validation_hit"] == pytest.approx(np.mean(hits))


def test_a_number_of_validation_instances_is_a_random_sample() -> None:
    model, seen = Factors(optimization=replace(CONFIG, validation_instances=5, epochs=1)), []

    def remember(call: int, inputs: tuple[Tensor, ...]) -> None:
        if not model.training:
            seen.extend(inputs[0].tolist())

    watch(model, remember)
    model.fit(small().training)
    users = small().training.validation.users.tolist()
    assert len(set(seen)) == 5
    assert sorted(seen) != users[:5]
    assert max(map(users.index, seen)) >= len(users) // 2


def test_a_fit_halves_the_learning_rate() -> None:
    options = OptimizationConfig(0.8, 0.0, 10_000, optimizer="sgd", halve_learning_rate_every=2, device="cpu")
    model = Step(options)
    model.fit(replace(small().training, epochs=5))
    assert -model.time.item() == pytest.approx(0.8 + 0.8 + 0.4 + 0.4 + 0.2)


def test_a_watcher_gets_the_whole_history_before_each_epoch_and_may_stop(tmp_path: Path) -> None:
    lengths: list[int] = []

    def stop_before_epoch_3(history: list[dict[str, float]]) -> None:
        lengths.append(len(history))
        if len(history) == 3:
            raise StopTraining

    training, model = replace(small().training, checkpoint=tmp_path / "fit.pt"), Factors()
    model.watch_history = stop_before_epoch_3
    with pytest.raises(StopTraining):
        model.fit(training)
    assert lengths == [1, 2, 3]
    assert_same_bits(fit(Factors(), training), fit(Factors(), small().training))


def test_validation_items_that_select_the_epoch_are_distinct() -> None:
    validation = small().training.validation
    number = len(validation) - 1
    assert len(set(_sample(validation, number).users.tolist())) == number
