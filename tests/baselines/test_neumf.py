from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
import torch

from sdmr.baselines.neumf import GMF, MLP, NeuMF
from sdmr.harness.evaluation import rank
from sdmr.harness.training.optimizer import OptimizationConfig, Optimizer
from tests.behavior import RecommenderBehavior, checkerboard, small

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)
BRIEF = replace(FAST, epochs=2)


class TestGMF(RecommenderBehavior):
    def make(self) -> GMF:
        return GMF(dim=16, optimization=FAST)


class TestGMFByBPR(RecommenderBehavior):
    def make(self) -> GMF:
        return GMF(dim=16, objective="bpr", optimization=FAST)


class TestMLP(RecommenderBehavior):
    def make(self) -> MLP:
        return MLP(dim=16, layers=2, optimization=FAST)


class TestNeuMF(RecommenderBehavior):
    def make(self) -> NeuMF:
        return NeuMF(GMF(dim=16, optimization=FAST), MLP(dim=16, layers=2, optimization=FAST), optimization=BRIEF)


def naive_gmf(weights: dict[str, list], table: str, user: int, item: int) -> list[float]:
    """Compute p_u ⊙ q_j."""
    p, q = weights[f"{table}.users.weight"][user], weights[f"{table}.items.weight"][item]
    return [a * b for a, b in zip(p, q, strict=True)]


def naive_mlp(weights: dict[str, list], table: str, n_further: int, user: int, item: int) -> list[float]:
    """Compute φ_X(… φ_1([p_u; q_j]))."""
    vector = weights[f"{table}.users.weight"][user] + weights[f"{table}.items.weight"][item]
    for layer in [f"{table}.first"] + [f"{table}.further.{n}" for n in range(n_further)]:
        rows = zip(weights[f"{layer}.weight"], weights[f"{layer}.bias"], strict=True)
        vector = [max(sum(w * x for w, x in zip(row, vector, strict=True)) + bias, 0.0) for row, bias in rows]
    return vector


def naive_output(weights: dict[str, list], vector: list[float]) -> float:
    return sum(w * x for w, x in zip(weights["output.weight"][0], vector, strict=True)) + weights["output.bias"][0]


@torch.no_grad()
def shaken(model: GMF | MLP | NeuMF) -> dict[str, list]:
    """Draw all weights anew and large, and return them as nested lists."""
    torch.manual_seed(1)
    for parameter in model.double().parameters():
        parameter.normal_()
    return {name: value.tolist() for name, value in model.state_dict().items()}


USERS, CANDIDATES = [2, 0], [[0, 4, 1], [3, 3, 2]]


def scores_of(model: GMF | MLP | NeuMF) -> np.ndarray:
    inputs = torch.tensor(USERS), torch.zeros(2, 0, dtype=torch.long), torch.tensor(CANDIDATES)
    return model(*inputs).detach().numpy()


def test_gmf_follows_its_equation() -> None:
    model = GMF(dim=3)
    model.build(n_users=4, n_items=5)
    weights = shaken(model)
    expected = [
        [naive_output(weights, naive_gmf(weights, "product", u, j)) for j in row]
        for u, row in zip(USERS, CANDIDATES, strict=True)
    ]
    np.testing.assert_allclose(scores_of(model), expected, rtol=1e-12)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_mlp_follows_its_equation(layers: int) -> None:
    model = MLP(dim=3, layers=layers)
    model.build(n_users=4, n_items=5)
    weights = shaken(model)
    expected = [
        [naive_output(weights, naive_mlp(weights, "tower", layers - 1, u, j)) for j in row]
        for u, row in zip(USERS, CANDIDATES, strict=True)
    ]
    np.testing.assert_allclose(scores_of(model), expected, rtol=1e-12)
    sizes = [len(weights["tower.users.weight"][0]), len(weights["tower.first.weight"])]
    sizes += [len(weights[f"tower.further.{n}.weight"]) for n in range(layers - 1)]
    assert sizes == [3 * 2 ** (layers - 1)] + [3 * 2**n for n in reversed(range(layers))]


def test_neumf_follows_its_equation() -> None:
    model = NeuMF(GMF(dim=3), MLP(dim=2, layers=2))
    for part in (model.gmf, model.mlp, model):
        part.build(n_users=4, n_items=5)
    weights = shaken(model)
    expected = [
        [naive_output(weights, naive_gmf(weights, "product", u, j) + naive_mlp(weights, "tower", 1, u, j)) for j in row]
        for u, row in zip(USERS, CANDIDATES, strict=True)
    ]
    np.testing.assert_allclose(scores_of(model), expected, rtol=1e-12)


def test_fused_but_not_yet_tuned_the_score_is_the_mean_of_the_parts() -> None:
    model = NeuMF(GMF(dim=3), MLP(dim=2, layers=2))
    for part in (model.gmf, model.mlp):
        part.build(n_users=4, n_items=5)
        shaken(part)
    model.build(n_users=4, n_items=5)
    model.double()
    np.testing.assert_allclose(scores_of(model), (scores_of(model.gmf) + scores_of(model.mlp)) / 2, rtol=1e-6)


def test_fine_tuning_moves_the_copies_and_leaves_the_parts() -> None:
    gmf, mlp = GMF(dim=4, optimization=BRIEF), MLP(dim=4, layers=2, optimization=BRIEF)
    for part in (gmf, mlp):
        part.fit(small().training)
    before = [{name: value.clone() for name, value in part.state_dict().items()} for part in (gmf, mlp)]
    model = NeuMF(gmf, mlp, optimization=BRIEF)
    model.fit(small().training)
    for part, values in zip((gmf, mlp), before, strict=True):
        for name, value in part.state_dict().items():
            torch.testing.assert_close(value, values[name], rtol=0, atol=0)
    moved, starts = dict(model.named_parameters()), before[0] | before[1]
    for name in ("product.users.weight", "tower.items.weight", "tower.first.weight", "tower.further.0.bias"):
        assert moved[name].requires_grad
        assert not torch.equal(moved[name], starts[name])


def test_a_saved_neumf_scores_the_same(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, again = TestNeuMF().make(), TestNeuMF().make()
    model.fit(small().training)
    model.save(tmp_path / "model.pt")
    again.load(tmp_path / "model.pt", small().training.n_users, small().training.n_items)
    test = small().test
    inputs = test.users, test.contexts.last_n(0), test.candidates
    np.testing.assert_array_equal(again.score(*inputs), model.score(*inputs))


@pytest.mark.parametrize("make", [lambda: GMF(objective="log"), MLP, lambda: NeuMF(GMF(), MLP())])
def test_log_loss_sums_over_the_positive_and_every_negative(make) -> None:  # type: ignore[no-untyped-def]
    scores = [[0.5, -1.0, 2.0], [-0.3, 0.2, 0.4]]
    expected = 0.0
    for positive, *negatives in scores:
        expected -= log(1 / (1 + exp(-positive)))
        expected -= sum(log(1 - 1 / (1 + exp(-s))) for s in negatives)
    assert make().loss(torch.tensor(scores, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-12)


def test_bpr_is_another_objective_of_gmf() -> None:
    scores = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)
    expected = -log(1 / (1 + exp(-1.5))) - log(1 / (1 + exp(1.5)))
    assert GMF(objective="bpr").loss(scores).item() == pytest.approx(expected, rel=1e-12)


def test_sgd_subtracts_the_rate_times_the_gradient_and_lambda() -> None:
    torch.manual_seed(0)
    rate, regularization = 0.1, 0.3
    model = GMF(dim=3)
    model.build(n_users=4, n_items=5)
    model.double()
    before = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    user, items = 2, [0, 4]

    optimizer = Optimizer(model, OptimizationConfig(rate, regularization, optimizer="sgd"))
    for _ in range(2):  # twice, so that any momentum would show
        optimizer.zero_grad()
        model.loss(model(torch.tensor([user]), torch.zeros(1, 0).long(), torch.tensor([items]))).backward()
        optimizer.step()

        products = before["product.users.weight"][user] * before["product.items.weight"][items]
        scores = products @ before["output.weight"][0] + before["output.bias"]
        norms = [before["product.users.weight"][user], before["product.items.weight"][items], before["output.weight"]]
        loss = model.loss(scores[None]) + regularization * sum((w**2).sum() for w in norms)
        gradients = torch.autograd.grad(loss, list(before.values()))
        pairs = zip(before.items(), gradients, strict=True)
        before = {name: (p - rate * g).detach().requires_grad_() for (name, p), g in pairs}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name].detach())


def test_sgd_fine_tunes() -> None:
    sgd_options = OptimizationConfig(
        learning_rate=0.001, regularization=0.0001, batch_size=32, epochs=3, optimizer="sgd"
    )
    model = NeuMF(GMF(dim=16, optimization=FAST), MLP(dim=16, layers=1, optimization=FAST), optimization=sgd_options)
    model.fit(checkerboard().training)
    assert rank(model, checkerboard().test).hit(1).mean() >= 0.9


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="objective must be 'log' or 'bpr'"):
        GMF(objective="hinge")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="layers must be ≥ 1"):
        MLP(layers=0)
    with pytest.raises(ValueError, match='objective "log"'):
        NeuMF(GMF(objective="bpr"), MLP())
    with pytest.raises(ValueError, match="optimizer"):
        OptimizationConfig(optimizer="rmsprop")  # type: ignore[arg-type]


def test_the_start_is_a_model_of_fitted_parts() -> None:
    once = replace(FAST, epochs=1)
    model = NeuMF(GMF(4, optimization=once), MLP(4, optimization=once), once)
    model.fit(small().training)
    assert "validation" in model.history[0]
