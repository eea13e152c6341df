from typing import Literal

import pytest
import torch

from sdmr.baselines.prme import PRME
from sdmr.harness.training.optimizer import OptimizationConfig
from tests.behavior import RecommenderBehavior

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)
N_ITEMS = 6
# None, one, two and three real context items; 6 is padding.
CONTEXTS = [[6, 6, 6], [6, 6, 2], [6, 0, 3], [5, 1, 4]]


class TestPRME(RecommenderBehavior):
    def make(self) -> PRME:
        return PRME(dim=16, optimization=FAST)


class TestPRMEs(RecommenderBehavior):
    def make(self) -> PRME:
        return PRME(dim=16, context_length=5, optimization=FAST)


class TestPRMEWithOneSpace(RecommenderBehavior):
    def make(self) -> PRME:
        return PRME(dim=16, spaces=1, optimization=FAST)


def small_model(context_length: int, spaces: Literal[1, 2]) -> PRME:
    torch.manual_seed(0)
    model = PRME(dim=3, alpha=0.2, context_length=context_length, spaces=spaces)
    model.build(n_users=4, n_items=N_ITEMS)
    return model.double()


def squared_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return sum((a[k] - b[k]) ** 2 for k in range(len(a)))  # type: ignore[return-value]


def naive(model: PRME, users: torch.Tensor, contexts: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Compute the scores with loops.

    −(α ‖P_u − P_j‖² + (1 − α) mean over k of ‖S_k − S_j‖²), or −‖P_u − P_j‖² without context.
    """
    p_user, s = model.users.weight, model.items.weight
    p_item = model.preferred.weight if model.spaces == 2 else s
    rows = []
    for u, context, row in zip(users.tolist(), contexts.tolist(), candidates.tolist(), strict=True):
        for j in row:
            preference = squared_distance(p_user[u], p_item[j])
            terms = [squared_distance(s[k], s[j]) for k in context if k != N_ITEMS]
            both = model.alpha * preference + (1 - model.alpha) * sum(terms) / max(len(terms), 1)
            rows.append(-both if terms else -preference)
    return torch.stack(rows).view(candidates.shape)


@pytest.mark.parametrize("context_length", [1, 3])
@pytest.mark.parametrize("spaces", [1, 2])
def test_scores_and_gradients_are_those_of_the_formula(context_length: int, spaces: Literal[1, 2]) -> None:
    users = torch.tensor([0, 1, 2, 3])
    contexts = torch.tensor(CONTEXTS)[:, -context_length:]
    candidates = torch.tensor([[0, 1, 5], [3, 3, 4], [1, 2, 5], [0, 2, 3]])
    gradients = []
    for forward in (PRME.forward, naive):
        model = small_model(context_length, spaces)
        scores = forward(model, users, contexts, candidates)
        torch.testing.assert_close(scores, naive(model, users, contexts, candidates))
        (scores * torch.arange(1.0, 13).view(4, 3)).sum().backward()
        gradients.append({name: p.grad.to_dense() for name, p in model.named_parameters() if p.grad is not None})
    assert (
        gradients[0].keys()
        == gradients[1].keys()
        == dict(small_model(context_length, spaces).named_parameters()).keys()
    )
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=name)


@pytest.mark.parametrize(("name", "value"), [("alpha", 1.2), ("context_length", 0), ("spaces", 3)])
def test_unknown_settings_are_an_error(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^PRME: {name} must be .*, not {value}$"):
        PRME(**{name: value})  # type: ignore[arg-type]
