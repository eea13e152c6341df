from math import sqrt

import pytest
import torch

from sdmr.baselines.transrec import TransRec
from sdmr.harness.training.optimizer import OptimizationConfig
from tests.behavior import RecommenderBehavior, small

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)


class TestTransRec(RecommenderBehavior):
    def make(self) -> TransRec:
        return TransRec(dim=16, squared=False, optimization=FAST)


class TestTransRecSquared(RecommenderBehavior):
    def make(self) -> TransRec:
        return TransRec(dim=16, squared=True, optimization=FAST)


@pytest.mark.parametrize("squared", [False, True])
def test_score_is_the_bias_less_the_distance_from_the_translated_last_item(squared: bool) -> None:
    torch.manual_seed(0)
    model = TransRec(dim=3, squared=squared)
    model.build(n_users=4, n_items=5)
    model.double()
    with torch.no_grad():
        for parameter in (model.translation, model.user_translations.weight, model.bias.weight):
            parameter.normal_()
    users, contexts = torch.tensor([2, 0]), torch.tensor([[3], [5]])  # 5 is padding: γ_k = 0
    candidates = torch.tensor([[0, 4, 1], [3, 3, 2]])
    scores = model(users, contexts, candidates).detach()
    item, t, t_user, bias = (
        w.tolist() for w in (model.items.weight, model.translation, model.user_translations.weight, model.bias.weight)
    )
    for row in range(2):
        u, k = int(users[row]), int(contexts[row, 0])
        for column in range(3):
            j = int(candidates[row, column])
            previous = item[k] if k < 5 else [0.0, 0.0, 0.0]
            square = sum((previous[n] + t[n] + t_user[u][n] - item[j][n]) ** 2 for n in range(3))
            expected = bias[j][0] - (square if squared else sqrt(square))
            assert float(scores[row, column]) == pytest.approx(expected, rel=1e-12)


def test_items_stay_in_the_unit_ball_and_some_reach_its_surface() -> None:
    model = TransRec(dim=16, optimization=OptimizationConfig(learning_rate=0.5, batch_size=32, epochs=1))
    model.fit(small().training)
    lengths = model.items.weight.norm(dim=1)
    assert lengths.max() <= 1 + 1e-6
    assert torch.isclose(lengths, torch.ones(()), atol=1e-4).any()
    assert model.user_translations.weight.norm(dim=1).max() > 1.1  # translations may leave it


def test_biases_are_not_regularized() -> None:
    model = TransRec(
        dim=16, optimization=OptimizationConfig(learning_rate=0.02, regularization=100.0, batch_size=32, epochs=5)
    )
    model.fit(small().training)
    assert model.items.weight.norm(dim=1).max() < 0.1  # while λ is at work
    assert model.bias.weight.abs().max() > 0.05


@pytest.mark.parametrize("squared", [False, True])
def test_a_target_that_is_where_the_translation_leads_has_a_finite_gradient(squared: bool) -> None:
    model = TransRec(dim=3, squared=squared)
    model.build(n_users=1, n_items=2)
    model(torch.tensor([0]), torch.tensor([[0]]), torch.tensor([[0, 1]])).sum().backward()
    assert torch.isfinite(model.items.weight.grad.to_dense()).all()  # type: ignore[union-attr]
