"""Check what an epoch trains on, its negatives and its loss."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sdmr.baselines.mf_bpr import MFBPR
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.split import split
from sdmr.harness.recommender import ModelError
from sdmr.harness.training import loop
from tests.behavior import small
from tests.harness.factors import CONFIG, Factors, watch


@pytest.fixture(scope="module")
def batches() -> list[list[tuple[Tensor, ...]]]:
    """Return every training batch (users, contexts, candidates) of twelve epochs."""
    model, epochs = Factors(optimization=replace(CONFIG, epochs=12, patience=12)), 12
    seen: list[tuple[Tensor, ...]] = []

    def remember(call: int, inputs: tuple[Tensor, ...]) -> None:
        if model.training:
            seen.append(tuple(ids.clone() for ids in inputs))

    watch(model, remember)
    model.fit(small().training)
    size = len(seen) // epochs
    assert len(seen) == size * epochs
    return [seen[start : start + size] for start in range(0, len(seen), size)]


def test_an_epoch_visits_every_instance_once_with_its_context(batches: list[list[tuple[Tensor, ...]]]) -> None:
    instances = small().training.instances
    contexts = instances.contexts.last_n(Factors.context_length)
    expected = sorted(zip(instances.users, instances.targets, map(tuple, contexts), strict=True))
    orders = []
    for epoch in batches:
        visited = [
            (user, candidates[0], tuple(context))
            for batch in epoch
            for user, context, candidates in zip(*(ids.tolist() for ids in batch), strict=True)
        ]
        assert sorted(visited) == expected
        orders.append([visit[:2] for visit in visited])
        assert [len(batch[0]) for batch in epoch[:-1]] == [CONFIG.batch_size] * (len(epoch) - 1)
    assert len(set(map(tuple, orders))) == len(orders)


def test_batches_are_the_same_however_many_go_to_the_device_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = []
    for number in (1, 3, 1000):
        monkeypatch.setattr(loop, "_BATCHES_A_TRANSFER", number)
        model = Factors(optimization=replace(CONFIG, epochs=2))
        model.fit(small().training)
        histories.append([entry["loss"] for entry in model.history[1:]])
    assert histories[0] == histories[1] == histories[2]


def test_negatives_are_no_training_items_and_held_out_items_may_be_drawn(
    batches: list[list[tuple[Tensor, ...]]],
) -> None:
    training, test = small().training, small().test
    taken = {(int(u), int(i)) for u, i in zip(*training.matrix.nonzero(), strict=True)}
    held_out = {
        (int(u), int(i)) for side in (training.validation, test) for u, i in zip(side.users, side.targets, strict=True)
    }
    n_unseen = training.n_items - np.diff(training.matrix.indptr)
    n_held_out = np.bincount([user for user, _ in held_out], minlength=training.n_users)
    negatives, drawn, expected, drawn_pairs = 0, 0, 0.0, []
    for epoch in batches:
        pairs = [
            (user, item)
            for users, _, candidates in epoch
            for user, items in zip(users.tolist(), candidates.tolist(), strict=True)
            for item in items[1:]
        ]
        assert not taken.intersection(pairs)
        negatives += len(pairs)
        drawn += sum(pair in held_out for pair in pairs)
        expected += sum(n_held_out[user] / n_unseen[user] for user, _ in pairs)
        drawn_pairs.append(sorted(pairs))
    assert negatives == 12 * 4 * len(training.instances)
    assert abs(drawn - expected) < 4 * np.sqrt(expected)  # as often as any other unseen item
    assert len(set(map(tuple, drawn_pairs))) == len(drawn_pairs)


@pytest.mark.parametrize("negatives", ["all", "hardest"])
def test_bpr_sums_over_all_negatives_or_the_hardest(negatives: Literal["all", "hardest"]) -> None:
    scores = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    expected, counted = 0.0, torch.zeros(5, 4, dtype=torch.bool)
    counted[:, 0] = True
    for row, (positive, *others) in enumerate(scores.tolist()):
        for column, negative in enumerate(others, start=1):
            if negatives == "all" or negative == max(others):
                expected += float(np.log1p(np.exp(-(positive - negative))))
                counted[row, column] = True
    loss = MFBPR(optimization=replace(CONFIG, negatives=negatives)).loss(scores)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert scores.grad is not None
    assert torch.equal(scores.grad != 0, counted)
    assert (scores.grad[:, 0] < 0).all()


def test_the_loss_in_the_history_is_the_mean_over_positives() -> None:
    """Take steps too small to move a weight, and compute BPR again from the batches."""
    model = Factors(optimization=replace(CONFIG, learning_rate=1e-30, epochs=1))
    losses: list[float] = []

    def add(call: int, inputs: tuple[Tensor, ...]) -> None:
        if model.training:
            scores = Factors.forward(model, *inputs).detach()
            losses.extend(F.softplus(scores[:, 1:] - scores[:, :1]).sum(1).tolist())

    watch(model, add)
    model.fit(small().training)
    assert len(losses) == len(small().training.instances)
    assert model.history[1]["loss"] == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error(bad: float, tmp_path: Path) -> None:
    class Diverging(Factors):
        batch = 0

        def loss(self, scores: Tensor) -> Tensor:
            self.batch += 1
            return super().loss(scores) * (bad if self.batch == 3 else 1)  # two batches an epoch

    checkpoint, model = tmp_path / "fit.pt", Diverging()
    with pytest.raises(ModelError, match=f"^Diverging: the loss is {bad} in epoch 2"):
        model.fit(replace(small().training, checkpoint=checkpoint))
    assert not model.is_fitted
    saved = torch.load(checkpoint, weights_only=True)
    assert len(saved["history"]) == 2  # the epoch that failed has left nothing
    assert all(value.isfinite().all() for value in saved["parameters"].values())


def test_a_user_with_every_item_gives_no_training_pairs() -> None:
    pairs = [(0, item) for item in range(12)] + [(user, item) for user in (1, 2) for item in range(5)]
    users, items = np.array(pairs).T
    task = split(Interactions.from_raw(users, items), n_candidates=3)
    assert set(task.training.instances.users.tolist()) == {0, 1, 2}
    visited: set[int] = set()
    model = Factors(optimization=replace(CONFIG, epochs=2))

    def remember(call: int, inputs: tuple[Tensor, ...]) -> None:
        if model.training:
            visited.update(inputs[0].tolist())

    watch(model, remember)
    model.fit(task.training)
    assert visited == {1, 2}


def list_training_batches(seed: int) -> list[list[Any]]:
    model, seen = Factors(optimization=replace(CONFIG, epochs=1)), []

    def remember(call: int, inputs: tuple[Tensor, ...]) -> None:
        if model.training:
            seen.append([ids.tolist() for ids in inputs])

    watch(model, remember)
    model.fit(replace(small().training, seed=seed))
    return seen


def test_another_seed_gives_another_order_and_other_negatives() -> None:
    first, again, other = (list_training_batches(seed) for seed in (0, 0, 1))
    assert first == again
    pairs = [
        {(user, row[0]): sorted(row[1:]) for users, _, rows in one for user, row in zip(users, rows, strict=True)}
        for one in (first, other)
    ]
    assert list(pairs[0]) != list(pairs[1])  # the order
    assert pairs[0].keys() == pairs[1].keys()
    assert pairs[0] != pairs[1]  # the negatives


def test_dropout_of_an_epoch_depends_on_seed_and_epoch() -> None:
    masks: dict[tuple[int, int], tuple[float, ...]] = {}

    class Dropping(Factors):
        def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
            if self.training:
                mask = tuple(F.dropout(torch.ones(64), 0.5).tolist())
                masks.setdefault((seed, len(self.history)), mask)  # of the epoch's first batch
            return super().forward(users, contexts, candidates)

    for seed in (0, 1):
        Dropping(optimization=replace(CONFIG, epochs=3)).fit(replace(small().training, seed=seed))
    assert len(masks) == len(set(masks.values())) == 6
