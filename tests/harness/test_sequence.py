"""Train on every position of a history at once: windows, batches, negatives, gradients, refusals."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.sampling import NegativeSampler
from sdmr.datasets.split import split
from sdmr.datasets.task import Training
from sdmr.harness.recommender import ModelError
from sdmr.harness.training import sequence
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.layers import Embedding
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.harness.training.sequence import SequenceRecommender, cut_windows, pack
from tests.behavior import small
from tests.harness.factors import Walk

SAMPLINGS = ("position", "batch", "catalog")


def list_histories(training: Training) -> dict[int, list[int]]:
    """Return the training items of each user, in order, instance by instance."""
    histories: dict[int, list[int]] = {}
    for user, target in zip(training.instances.users.tolist(), training.instances.targets.tolist(), strict=True):
        histories.setdefault(user, []).append(target)
    return histories


@pytest.mark.parametrize("length", [1, 2, 3, 50])
def test_windows_hold_each_target_once_with_the_items_before_it(length: int) -> None:
    instances, targets = small().training.instances, Counter()
    histories = list_histories(small().training)
    for user, first, size in zip(*cut_windows(instances, length), strict=True):
        window = instances.contexts.items[first : first + size].tolist()
        assert 2 <= size <= length + 1
        start = histories[user].index(window[0])  # a user has no item twice
        assert window == histories[user][start : start + size]
        targets.update((user, item) for item in window[1:])
    expected = {(user, item) for user, history in histories.items() for item in history[1:]}
    assert set(targets) == expected
    assert set(targets.values()) == {1}


def test_the_last_window_of_a_history_is_full() -> None:
    instances = small().training.instances
    users, first, size = cut_windows(instances, 3)
    histories = list_histories(small().training)
    for user, history in histories.items():
        windows = sorted(zip(first[users == user], size[users == user], strict=True))
        assert [n for _, n in windows[1:]] == [4] * len(windows[1:])
        assert sum(n - 1 for _, n in windows) == len(history) - 1


def test_batches_have_each_row_once_and_rows_of_similar_sizes() -> None:
    size = np.random.default_rng(0).integers(2, 200, 5_000)
    batches = pack(size, 16, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(5_000))
    assert max(map(len, batches)) == 16
    padded = sum(len(rows) * size[rows].max() for rows in batches)
    assert padded < 1.05 * size.sum()
    again = pack(size, 16, np.random.default_rng(2))
    assert {tuple(sorted(rows)) for rows in batches} != {tuple(sorted(rows)) for rows in again}


def build(sampling: str, n_negatives: int = 3) -> Walk:
    torch.manual_seed(0)
    model = Walk(OptimizationConfig(batch_size=7, n_negatives=n_negatives))
    model.negative_sampling = sampling  # type: ignore[assignment]
    model.build(small().training.n_users, small().training.n_items)
    return model.double().eval()


def draw(model: SequenceRecommender, seed: int = 0) -> list[tuple[int, tuple[Tensor, ...]]]:
    training = small().training
    number, batches = model.draw_batches(training, NegativeSampler(training.matrix), np.random.default_rng(seed))
    drawn = list(batches)
    assert len(drawn) == number
    return drawn


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_negatives_are_as_many_as_set_and_position_draws_unseen_ones(sampling: str) -> None:
    training = small().training
    for size, (windows, is_target, negatives) in draw(build(sampling)):
        assert size == is_target.sum()
        assert negatives.max() < training.n_items
        shape = {"position": (size, 3), "batch": (3,), "catalog": (training.n_items,)}[sampling]
        assert negatives.shape == shape
        if sampling == "position":
            drawn = iter(negatives)
            for window, targets in zip(windows, is_target, strict=True):
                items = set(window[window < training.n_items].tolist())
                for _ in range(int(targets.sum())):
                    assert not items & set(next(drawn).tolist())
        else:
            assert len(set(negatives.tolist())) == len(negatives)


def naive_loss(model: Walk, windows: Tensor, is_target: Tensor, negatives: Tensor) -> Tensor:
    """Sum −ln σ(x_pos − x_neg) over targets and negatives, one state after another."""
    total, number = torch.zeros((), dtype=torch.float64), 0
    for window, targets in zip(windows, is_target, strict=True):
        for position in targets.nonzero().flatten().tolist():
            state = model.encode(window[None, :position])[0, -1]
            target = window[position]
            drawn = negatives[number] if negatives.dim() == 2 else negatives
            for negative in drawn:
                if negative != target:
                    rows = model.items.weight[target] - model.items.weight[negative]
                    total = total - torch.log(torch.sigmoid(state @ rows))
            number += 1
    return total


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("pairs", [1, 1 << 18])
def test_loss_and_gradients_are_those_of_each_position_by_itself(
    sampling: str, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence, "_PAIRS", pairs)
    model = build(sampling)
    for _, batch in draw(model)[:2]:
        expected = naive_loss(model, *batch)
        gradients = torch.autograd.grad(expected, list(model.parameters()))
        model.zero_grad()
        assert model.compute_gradients(*batch) == pytest.approx(expected.item(), rel=1e-9)
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad.to_dense(), gradient, rtol=1e-7, atol=1e-9)


def test_a_score_depends_on_the_context_and_not_on_the_user_or_the_padding() -> None:
    model, padding = build("position"), small().training.n_items
    contexts = np.array([[padding, padding, 3, 1, 4], [padding] * 5, [5, 9, 2, 6, 8]])
    candidates = np.tile(np.arange(padding), (3, 1))
    scores = model.score(np.array([0, 1, 2]), contexts, candidates)
    np.testing.assert_array_equal(model.score(np.array([3, 3, 3]), contexts, candidates), scores)
    for row, context in ((0, [3, 1, 4]), (2, [5, 9, 2, 6, 8])):
        state = model.encode(torch.tensor([context]))[0, -1]
        expected = (model.items.weight[:padding] @ state).tolist()
        np.testing.assert_allclose(scores[row], expected, rtol=1e-9)


class Bent(Walk):
    """Apply a function to the states."""

    def __init__(self, bend: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.bend = bend

    def encode(self, items: Tensor) -> Any:
        return self.bend(super().encode(items))


class Foreseeing(Walk):
    def build(self, n_users: int, n_items: int) -> None:
        super().build(n_users, n_items)
        self.layer = nn.GRU(4, 2, batch_first=True, bidirectional=True)


class WithoutPadding(Walk):
    def build(self, n_users: int, n_items: int) -> None:
        super().build(n_users, n_items)
        self.items = Embedding(n_items + 1, 4, std=0.3)


class WithoutEncode(SequenceRecommender):
    def build(self, n_users: int, n_items: int) -> None:
        self.items = Embedding(n_items, 4, std=0.3, padding=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Foreseeing, "lets a state depend on later items: mask them, as by is_causal=True"),
        (lambda: Bent(lambda states: states[:, -1]), r"returned \[2, 4\] for items \[2, 5\], expected states"),
        (lambda: Bent(lambda states: (states, None)), r"returned tuple for items \[2, 5\], expected states"),
    ],
)
def test_states_that_cannot_be_trained_are_one_line(make: Callable[[], TorchRecommender], message: str) -> None:
    with pytest.raises(ModelError, match=rf"^\w+\.encode {message}.*$"):
        make().fit(small().training)


def test_a_model_without_encode_or_without_a_table_of_items_is_one_line() -> None:
    with pytest.raises(ModelError, match=r"^WithoutEncode has no method encode\(items\)"):
        WithoutEncode().fit(small().training)
    with pytest.raises(ModelError, match=r"^WithoutPadding\.build must set self\.items = Embedding\(.*padding=True\)$"):
        WithoutPadding().fit(small().training)


def test_baskets_and_histories_of_one_item_are_refused() -> None:
    rng, baskets = np.random.default_rng(0), np.arange(20).repeat(5)
    items = np.concatenate([rng.choice(30, 5, replace=False) for _ in range(20)])
    task = split(Interactions.from_raw(baskets // 2, items, baskets=baskets), n_candidates=5)
    with pytest.raises(DataError, match=r"^Walk reads the order of histories, which baskets lack: choose a model .*$"):
        Walk().fit(task.training)
    users = np.arange(12).repeat(3)
    task = split(Interactions.from_raw(users, np.tile([0, 1, 2], 12) + users % 4, np.tile([1, 2, 3], 12)))
    with pytest.raises(DataError, match=r"^Walk cannot be trained: no user has two training items"):
        Walk().fit(task.training)


def test_batches_do_not_come_in_the_order_of_their_sizes() -> None:
    size = np.random.default_rng(0).integers(2, 200, 400)  # one pool
    widths = [int(size[rows].max()) for rows in pack(size, 16, np.random.default_rng(1))]
    assert widths != sorted(widths)


@pytest.mark.parametrize(("sampling", "expected"), [("position", 4), ("batch", 15), ("catalog", 15)])
def test_a_user_with_every_item_trains_unless_its_negatives_must_be_unseen(sampling: Any, expected: int) -> None:
    pairs = [(0, item) for item in range(12)] + [(user, item) for user in (1, 2) for item in range(5)]
    training = split(Interactions.from_raw(*np.array(pairs).T), n_candidates=3).training
    model = Walk()
    model.negative_sampling = sampling
    model.build(training.n_users, training.n_items)
    _, batches = model.draw_batches(training, NegativeSampler(training.matrix), np.random.default_rng(0))
    assert sum(size for size, _ in batches) == expected


def test_negatives_of_positions_depend_on_the_seed() -> None:
    pairs = [(0, item) for item in range(10)] + [(user, 9 + user) for user in range(1, 40)]  # one history
    training, drawn = split(Interactions.from_raw(*np.array(pairs).T), n_candidates=3).training, []
    for seed in (0, 1):
        model = Walk()
        model.build(training.n_users, training.n_items)
        _, batches = model.draw_batches(training, NegativeSampler(training.matrix), np.random.default_rng(seed))
        ((_, (_, _, negatives)),) = batches
        drawn.append(negatives.tolist())
    assert drawn[0] != drawn[1]
