import math

import numpy as np
import pytest
import torch

from sdmr.baselines.mf_bpr import MFBPR
from sdmr.harness.training.optimizer import OptimizationConfig
from tests.behavior import RecommenderBehavior

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)


class TestMFBPR(RecommenderBehavior):
    def make(self) -> MFBPR:
        return MFBPR(dim=16, optimization=FAST)


class TestMFBPRWithBias(RecommenderBehavior):
    def make(self) -> MFBPR:
        return MFBPR(dim=16, item_bias=True, optimization=FAST)


@pytest.mark.parametrize("item_bias", [False, True])
def test_scores_and_gradients_are_those_of_a_loop(item_bias: bool) -> None:
    """Compare with a loop over the gradients of BPR.

    dL/ds⁺ = −Σ σ(s⁻ − s⁺), dL/ds⁻ = σ(s⁻ − s⁺); a score's derivative is v_j by u, u by v_j, and 1 by b_j.
    """
    torch.manual_seed(0)
    model = MFBPR(dim=3, item_bias=item_bias, optimization=OptimizationConfig(negatives="all"))
    model.build(n_users=4, n_items=6)
    model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    u, v = model.users.weight.detach().numpy(), model.items.weight.detach().numpy()
    b = np.zeros(6) if model.bias is None else model.bias.weight.detach().numpy()[:, 0]
    users, candidates = np.array([3, 0, 3]), np.array([[1, 5, 5], [0, 2, 4], [2, 1, 0]])

    scores = model(torch.from_numpy(users), torch.empty(3, 0), torch.from_numpy(candidates))
    model.loss(scores).backward()
    expected, loss = np.zeros((3, 3)), 0.0
    grad_u, grad_v, grad_b = np.zeros_like(u), np.zeros_like(v), np.zeros_like(b)
    for n, user in enumerate(users):
        for c, item in enumerate(candidates[n]):
            expected[n, c] = sum(u[user, f] * v[item, f] for f in range(3)) + b[item]
        for c in (1, 2):
            wrong = 1 / (1 + math.exp(expected[n, 0] - expected[n, c]))
            loss -= math.log(1 - wrong)
            for item, sign in ((candidates[n, 0], -wrong), (candidates[n, c], wrong)):
                grad_u[user] += sign * v[item]
                grad_v[item] += sign * u[user]
                grad_b[item] += sign
    np.testing.assert_allclose(scores.detach().numpy(), expected, rtol=0, atol=1e-12)
    assert model.loss(scores).item() == pytest.approx(loss, rel=1e-12)
    for table, gradient in ((model.users, grad_u), (model.items, grad_v)):
        assert table.weight.grad is not None
        np.testing.assert_allclose(table.weight.grad.to_dense().numpy(), gradient, rtol=0, atol=1e-12)
    if model.bias is not None:
        assert model.bias.weight.grad is not None
        np.testing.assert_allclose(model.bias.weight.grad.to_dense().numpy()[:, 0], grad_b, rtol=0, atol=1e-12)


def test_it_starts_small_and_without_a_preference() -> None:
    torch.manual_seed(0)
    model = MFBPR(dim=64, item_bias=True)
    model.build(n_users=100, n_items=80)
    assert model.bias is not None
    assert not model.bias.weight.any()
    for table in (model.users, model.items):
        n = table.weight.numel()
        assert abs(table.weight.std().item() / 0.01 - 1) < 5 / math.sqrt(2 * n)
        assert abs(table.weight.mean().item() / 0.01) < 5 / math.sqrt(n)


def test_there_is_no_item_bias_unless_asked_for() -> None:
    model = MFBPR(dim=4)
    model.build(n_users=3, n_items=3)
    assert {name for name, _ in model.named_parameters()} == {"users.weight", "items.weight"}
