from __future__ import annotations

import copy
import math
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from sdmr.harness.training.layers import Dropout
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.sdp import SDP
from sdmr.models.variant import AS_RELEASED
from tests.behavior import RecommenderBehavior
from tests.oracles.loops import Drop, assert_same_gradients, keep, scatter, sdp_score

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)


class TestSDP(RecommenderBehavior):
    def make(self) -> SDP:
        return SDP(dim=16, optimization=FAST)

    def test_the_output_bias_stays_where_it_starts(self, fitted: SDP) -> None:
        assert fitted.output.bias.item() == 0


class TestDeepSDP(RecommenderBehavior):
    def make(self) -> SDP:
        return SDP(dim=16, layers=2, optimization=FAST)


class TestReleased(RecommenderBehavior):
    def make(self) -> SDP:
        return SDP(dim=16, variant="released", optimization=FAST)


class Halved(Dropout):
    """Halve every value, so that the effect of dropout is known."""

    def forward(self, values: Tensor) -> Tensor:
        return values / 2


def check_against_loops(layers: int, distance: Literal["square", "absolute"], drop: Drop) -> None:
    model = SDP(dim=8, layers=layers, distance=distance)
    model.build(n_users=5, n_items=7)
    model.double()
    scatter(model, seed=layers)
    oracle = copy.deepcopy(model)
    if drop is not keep:
        model.dropout = Halved(0.5)
    users = torch.tensor([4, 0, 4])
    candidates = torch.tensor([[1, 6, 2, 2], [3, 0, 1, 5], [6, 6, 0, 4]])
    weights = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    scores = model(users, torch.empty(3, 0, dtype=torch.int64), candidates)
    expected = torch.stack(
        [
            torch.stack([sdp_score(oracle, int(user), int(candidate), distance, drop) for candidate in row])
            for user, row in zip(users, candidates, strict=True)
        ]
    )
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-9)
    (scores * weights).sum().backward()
    (expected * weights).sum().backward()
    assert_same_gradients(model, oracle, atol=1e-9)


@pytest.mark.parametrize("distance", ["square", "absolute"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_scores_and_gradients_are_those_of_the_equations(layers: int, distance: Literal["square", "absolute"]) -> None:
    check_against_loops(layers, distance, keep)


@pytest.mark.parametrize("layers", [1, 3])
def test_dropout_is_after_the_first_layer(layers: int) -> None:
    check_against_loops(layers, "square", lambda values: values / 2)


def test_the_released_variant_is_its_differences() -> None:
    paper, released = SDP(), SDP(variant="released")
    assert (paper.distance, released.distance) == ("square", "absolute")
    assert (paper.initialization, released.initialization) == ("he", "torch")
    assert (paper.dropout.p, released.dropout.p) == (0.0, 0.2)
    assert {paper.dropout.test_mode, released.dropout.test_mode} == {"off"}
    assert paper.optimization == OptimizationConfig(regularization=0.01, negatives="hardest")
    assert released.optimization == AS_RELEASED
    mixture = SDP(variant="released", distance="square", dropout=0.1)
    assert (mixture.distance, mixture.dropout.p, mixture.optimization) == ("square", 0.1, AS_RELEASED)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"variant": "printed"}, 'variant must be "paper" or "released"'),
        ({"distance": "cube"}, "distance must be one of square, absolute, not 'cube'"),
        ({"initialization": "zero"}, "initialization must be one of he, torch, not 'zero'"),
        ({"dropout_at_test": "on"}, "dropout_at_test=on has no effect"),
        ({"dropout": 0.5, "dropout_at_test": "yes"}, 'dropout_at_test must be "off" or "on"'),
    ],
)
def test_an_unknown_choice_or_one_without_effect_is_an_error(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SDP(**wrong)


def test_torch_initializes_the_biases_within_one_by_the_root_of_fan_in() -> None:
    d, biases = 32, []
    for seed in range(40):
        he, torchs = (SDP(dim=d, layers=2, initialization=which) for which in ("he", "torch"))  # type: ignore[arg-type]
        for model in (he, torchs):
            torch.manual_seed(seed)
            model.build(n_users=10, n_items=5)
        for (name, one), other in zip(torchs.named_parameters(), he.parameters(), strict=True):
            assert torch.equal(one, other) == (name not in ("first_item.bias", "further.0.bias")), name
        biases.append([torchs.first_item.bias, torchs.further[0].bias])
    for values, fan_in in zip(zip(*biases, strict=True), (2 * d, d), strict=True):
        bias, bound = torch.cat(values).detach(), 1 / math.sqrt(fan_in)
        assert 0.95 * bound < bias.abs().max() <= bound
        assert abs(bias.std().item() / (bound / math.sqrt(3)) - 1) < 0.1


def test_the_initialization_is_the_released_one() -> None:
    """Check e¹ = tanh(u − v_j), embeddings of standard deviation 1/d, LeCun-uniform w_o, biases of 0."""
    d, further, outputs = 32, [], []
    for seed in range(40):
        torch.manual_seed(seed)
        model = SDP(dim=d, layers=2)
        model.build(n_users=100, n_items=50)
        assert torch.equal(model.first_user.weight, torch.eye(d))
        assert torch.equal(model.first_item.weight, -torch.eye(d))
        for name, parameter in model.named_parameters():
            assert "bias" not in name or not parameter.any(), name
        further.append(model.further[0].weight.detach().flatten())  # type: ignore[operator]
        outputs.append(model.output.weight.detach().flatten())
    for table in (model.users, model.items):
        n = table.weight.numel()
        assert abs(table.weight.std().item() * d - 1) < 5 / math.sqrt(2 * n)
        assert abs(table.weight.mean().item() * d) < 5 / math.sqrt(n)
    he = torch.cat(further)
    assert abs(he.std().item() / math.sqrt(2 / d) - 1) < 5 / math.sqrt(2 * len(he))
    uniform, bound = torch.cat(outputs), math.sqrt(3 / (d // 2))
    assert 0.98 * bound < uniform.abs().max() <= bound
    assert abs(uniform.std().item() / (bound / math.sqrt(3)) - 1) < 0.1
    assert abs(uniform.mean().item()) < 5 * bound / math.sqrt(3 * len(uniform))


@pytest.mark.parametrize(("dim", "layers"), [(8, 0), (6, 3), (7, 2)])
def test_layers_that_do_not_halve_are_an_error(dim: int, layers: int) -> None:
    with pytest.raises(ValueError, match=rf"^SDP needs .* not {layers} and {dim}"):
        SDP(dim=dim, layers=layers)
