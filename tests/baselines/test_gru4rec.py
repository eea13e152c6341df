from math import exp, tanh
from typing import Any

import numpy as np
import pytest
import torch

from sdmr.baselines.gru4rec import GRU4Rec
from sdmr.datasets.sampling import NegativeSampler
from sdmr.harness.training.optimizer import OptimizationConfig
from tests.behavior import RecommenderBehavior, small

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0, batch_size=8, epochs=30)


class TestGRU4Rec(RecommenderBehavior):
    def make(self) -> GRU4Rec:
        return GRU4Rec(dim=16, context_length=8, optimization=FAST)


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def naive_state(model: GRU4Rec, items: list[int], factor: float) -> list[float]:
    """Compute the state after the last item with loops; the factor stands where dropout does."""
    w, d = {name: value.tolist() for name, value in model.state_dict().items()}, model.dim
    states = [[0.0] * d for _ in range(model.n_layers)]
    for item in items:
        below = [factor * value for value in w["items.weight"][item]]
        for layer, h in enumerate(states):
            a, b = (
                [
                    sum(x * y for x, y in zip(w[f"units.weight_{side}_l{layer}"][row], vector, strict=True))
                    + w[f"units.bias_{side}_l{layer}"][row]
                    for row in range(3 * d)
                ]
                for side, vector in (("ih", below), ("hh", h))
            )
            r = [sigmoid(a[k] + b[k]) for k in range(d)]
            z = [sigmoid(a[d + k] + b[d + k]) for k in range(d)]
            n = [tanh(a[2 * d + k] + r[k] * b[2 * d + k]) for k in range(d)]
            below = states[layer] = [(1 - z[k]) * n[k] + z[k] * h[k] for k in range(d)]
    return [factor * value for value in states[-1]]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("negatives", [list(range(7)), [2, 5]])
def test_scores_and_loss_follow_the_equations(negatives: list[int], layers: int, factor: float) -> None:
    torch.manual_seed(0)
    model = GRU4Rec(dim=3, layers=layers, context_length=5)
    model.build(n_users=5, n_items=7)
    model.double().eval()
    contexts, rows = [[7, 7, 7, 3, 1], [0, 3, 3, 1, 6]], model.items.weight.tolist()
    scores = model(torch.tensor([0, 4]), torch.tensor(contexts), torch.tensor([[1, 2], [5, 0]]))
    expected, states = [], [naive_state(model, [item for item in row if item != 7], factor) for row in contexts]
    for state, candidates in zip(states, [[1, 2], [5, 0]], strict=True):
        expected.append([sum(a * b for a, b in zip(state, rows[item], strict=True)) for item in candidates])
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)

    windows, is_target = torch.tensor([[0, 3, 5], [4, 1, 7]]), torch.tensor([[0, 1, 1], [0, 1, 0]]).bool()
    loss = 0.0
    for items, target in (([0], 3), ([0, 3], 5), ([4], 1)):
        state = torch.tensor(naive_state(model, items, factor), dtype=torch.float64)
        x = (model.items.weight @ state).tolist()
        loss -= torch.log_softmax(torch.tensor([x[i] for i in {target, *negatives}], dtype=torch.float64), 0)[
            list({target, *negatives}).index(target)
        ].item()
    assert model.compute_gradients(windows, is_target, torch.tensor(negatives)) == pytest.approx(loss, rel=1e-9)


@pytest.mark.parametrize(("negative_sampling", "n_drawn"), [("catalog", 38), ("batch", 20)])
def test_the_softmax_is_among_all_items_or_a_sample(negative_sampling: Any, n_drawn: int) -> None:
    training, options = small().training, OptimizationConfig(n_negatives=20)
    model = GRU4Rec(negative_sampling=negative_sampling, optimization=options)
    model.build(training.n_users, training.n_items)
    rng = np.random.default_rng(0)
    _, batches = model.draw_batches(training, NegativeSampler(training.matrix), rng)
    _, (_, _, negatives) = next(batches)
    assert len(set(negatives.tolist())) == n_drawn
