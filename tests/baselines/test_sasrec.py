from itertools import pairwise, product
from math import exp, log, sqrt
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sdmr.baselines.sasrec import SASRec
from sdmr.datasets.sampling import NegativeSampler
from sdmr.harness.training.optimizer import OptimizationConfig
from tests.behavior import RecommenderBehavior, small

FAST = OptimizationConfig(learning_rate=0.01, regularization=0.0, batch_size=8, n_negatives=16, epochs=30)


class TestSASRec(RecommenderBehavior):
    def make(self) -> SASRec:
        return SASRec(dim=16, context_length=8, layers=1, optimization=FAST)


def built(**options: Any) -> SASRec:
    torch.manual_seed(0)
    model = SASRec(dim=4, layers=2, heads=2, context_length=5, **options)
    model.build(n_users=5, n_items=7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
        model.items.weight[7] = 0
    return model.double().eval()


def norm(x: list[float], weight: list[float], bias: list[float]) -> list[float]:
    mean = sum(x) / len(x)
    deviation = sqrt(sum((value - mean) ** 2 for value in x) / len(x) + 1e-5)
    return [(value - mean) / deviation * w + b for value, w, b in zip(x, weight, bias, strict=True)]


def multiply(matrix: list[list[float]], x: list[float], bias: list[float] | None = None) -> list[float]:
    products = [sum(w * value for w, value in zip(row, x, strict=True)) for row in matrix]
    return products if bias is None else [p + b for p, b in zip(products, bias, strict=True)]


def naive_state(model: SASRec, items: list[int], factor: float = 1.0) -> list[float]:
    """Compute the state after the last of the items, by Eq. 1-5 of the source with loops.

    The factor stands where dropout does.
    """
    w, d, heads = {name: value.tolist() for name, value in model.state_dict().items()}, model.dim, model.heads
    x = [
        [factor * (sqrt(d) * m + p) for m, p in zip(w["items.weight"][item], w["positions"][t], strict=True)]
        for t, item in enumerate(items)
    ]
    for block in range(model.n_blocks):
        prefix, y = f"blocks.{block}.", []
        normed = [norm(each, w[prefix + "attention_norm.weight"], w[prefix + "attention_norm.bias"]) for each in x]
        matrix = w[prefix + "attention.weight"]
        q, k, v = ([multiply(matrix[n * d : (n + 1) * d], each) for each in normed] for n in range(3))
        for t in range(len(x)):
            attended = []
            for head in range(heads):
                columns = range(head * d // heads, (head + 1) * d // heads)
                z = [exp(sum(q[t][c] * k[s][c] for c in columns) / sqrt(d / heads)) for s in range(t + 1)]
                attended += [sum(z[s] * v[s][c] for s in range(t + 1)) / sum(z) for c in columns]
            y.append([a + factor * b for a, b in zip(x[t], attended, strict=True)])
        x = []
        for each in y:
            inner = norm(each, w[prefix + "layer_norm.weight"], w[prefix + "layer_norm.bias"])
            first = multiply(w[prefix + "first.weight"], inner, w[prefix + "first.bias"])
            second = multiply(
                w[prefix + "second.weight"], [factor * max(a, 0) for a in first], w[prefix + "second.bias"]
            )
            x.append([a + factor * b for a, b in zip(each, second, strict=True)])
    return norm(x[-1], w["norm.weight"], w["norm.bias"])


def test_scores_follow_the_equations(factor: float) -> None:
    model = built()
    contexts, candidates = [[7, 7, 7, 3, 1], [0, 3, 3, 1, 6]], [[1, 2], [5, 0]]
    scores = model(torch.tensor([0, 4]), torch.tensor(contexts), torch.tensor(candidates))
    for row, context in enumerate(contexts):
        state = naive_state(model, [item for item in context if item != 7], factor)
        for column, candidate in enumerate(candidates[row]):
            expected = sum(a * b for a, b in zip(state, model.items.weight[candidate].tolist(), strict=True))
            assert scores[row, column].item() == pytest.approx(expected, rel=1e-9)


def naive_loss(loss: str, positive: float, negatives: list[float], n_items: int) -> float:
    def log_sigmoid(x: float) -> float:
        return log(1 / (1 + exp(-x)))

    if loss in ("ce", "sampled"):
        return -log(exp(positive) / (exp(positive) + sum(map(exp, negatives))))
    rest = sum(log(1 - 1 / (1 + exp(-x))) for x in negatives)
    if loss == "bce":
        return -log_sigmoid(positive) - rest
    k, t = len(negatives), 0.75
    alpha = k / (n_items - 1)
    beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)
    return -(beta * log_sigmoid(positive) + rest) / (k + 1)


@pytest.mark.parametrize(
    ("loss", "negative_sampling"), [("ce", "batch"), *product(("bce", "sampled", "gbce"), ("position", "batch"))]
)
def test_each_loss_follows_its_equation(loss: Any, negative_sampling: Any) -> None:
    model = built(loss=loss, negative_sampling=negative_sampling, optimization=OptimizationConfig(n_negatives=2))
    windows, negatives = torch.tensor([[0, 3, 5], [4, 1, 7]]), torch.tensor([2, 6])
    is_target, number = torch.tensor([[False, True, True], [False, True, False]]), 3
    if loss == "ce":
        negatives = torch.arange(7)
    elif negative_sampling == "position":
        negatives = torch.tensor([[1, 2], [6, 4], [0, 2]])
    expected, n = 0.0, 0
    for window, targets in zip(windows.tolist(), is_target.tolist(), strict=True):
        for position in range(1, number):
            if targets[position]:
                state = torch.tensor(naive_state(model, window[:position]), dtype=torch.float64)
                scores = (model.items.weight @ state).tolist()
                drawn = negatives[n].tolist() if negatives.dim() == 2 else negatives.tolist()
                others = [scores[item] for item in drawn if item != window[position]]
                expected, n = expected + naive_loss(loss, scores[window[position]], others, 7), n + 1
    assert model.compute_gradients(windows, is_target, negatives) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("loss", "negative_sampling"), [("ce", "batch"), *product(("bce", "sampled", "gbce"), ("position", "batch"))]
)
def test_the_negatives_are_those_of_the_loss_and_the_setting(loss: Any, negative_sampling: Any) -> None:
    training, options = small().training, OptimizationConfig(n_negatives=20)
    model = SASRec(loss=loss, negative_sampling=negative_sampling, optimization=options)
    model.build(training.n_users, training.n_items)
    rng = np.random.default_rng(0)
    _, batches = model.draw_batches(training, NegativeSampler(training.matrix), rng)
    n_targets, (_, _, negatives) = next(batches)
    shared = 38 if loss == "ce" else 20
    assert list(negatives.shape) == ([n_targets, 20] if negative_sampling == "position" else [shared])
    assert training.n_items == 38


def test_calibration_leads_from_bce_to_probabilities() -> None:
    """β is 1 at t = 0, and α at t = 1."""
    scores, options = torch.tensor([[0.5, -1.0, 2.0]]), OptimizationConfig(n_negatives=2)
    bce = built(loss="bce", optimization=options).loss(scores)
    assert built(loss="gbce", calibration=0.0, optimization=options).loss(scores).item() * 3 == pytest.approx(
        bce.item()
    )
    weighted = built(loss="gbce", calibration=1.0, optimization=options).loss(scores).item() * 3
    assert bce.item() - weighted == pytest.approx((1 - 2 / 6) * log(1 + exp(-0.5)))


def test_dropout_is_for_training_only() -> None:
    model, items = built(dropout=0.5), torch.tensor([[0, 1, 2]])
    states: list[Tensor] = [model.encode(items) for _ in range(2)]
    assert torch.equal(*states)
    model.train()
    assert any(not torch.allclose(*pair) for pair in pairwise([model.encode(items) for _ in range(4)]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, r"heads=3 must divide dim=64"),
        ({"loss": "ce", "negative_sampling": "position"}, "negative_sampling has no effect on loss=ce"),
        ({"optimization": OptimizationConfig(negatives="hardest")}, "negatives=hardest has no effect on a log loss"),
    ],
)
def test_an_option_without_effect_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SASRec(**options)
