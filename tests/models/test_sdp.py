import math

import pytest
import torch

from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.sdp import SDP
from tests.behavior import RecommenderBehavior
from tests.oracles.loops import check_sdp

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)


class TestSDP(RecommenderBehavior):
    def make(self) -> SDP:
        return SDP(dim=16, optimization=FAST)

    def test_the_output_bias_stays_where_it_starts(self, fitted: SDP) -> None:
        assert fitted.output.bias.item() == 0


class TestDeepSDP(RecommenderBehavior):
    def make(self) -> SDP:
        return SDP(dim=16, layers=2, optimization=FAST)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_scores_and_gradients_are_those_of_the_equations(layers: int) -> None:
    check_sdp(SDP(dim=8, layers=layers))


@pytest.mark.parametrize("layers", [1, 3])
def test_dropout_is_after_the_first_layer(layers: int) -> None:
    check_sdp(SDP(dim=8, layers=layers), drop=lambda values: values / 2)


def test_dropout_is_off_by_default_and_at_test() -> None:
    assert SDP().dropout.p == 0
    assert (SDP(dropout=0.2).dropout.p, SDP(dropout=0.2).dropout.test_mode) == (0.2, "off")


def test_the_initialization_is_the_released_one() -> None:
    """Check W¹ = [I, −I], embeddings, further layers, w_o, and biases of 0."""
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


@pytest.mark.parametrize(("dim", "layers"), [(6, 3), (7, 2)])
def test_layers_that_do_not_halve_are_an_error(dim: int, layers: int) -> None:
    with pytest.raises(ValueError, match=rf"^SDP needs .* not dim={dim} with layers={layers}"):
        SDP(dim=dim, layers=layers)


def test_no_layer_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^SDP: layers must be ≥ 1, not 0$"):
        SDP(layers=0)
