from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from harness.optimiser import Optimisation
from models.sdm import SDM
from tests.behaviour import RecommenderBehaviour
from tests.models.oracles import assert_same_gradients, scatter, sdm_score

FAST = Optimisation(learning_rate=0.02, regularisation=0.0001, batch_size=32, epochs=30)
N_ITEMS = 9
USERS = torch.tensor([4, 0, 4, 2, 1])
CONTEXTS = torch.tensor(
    [
        [1, 0, 5, 8],
        [N_ITEMS, N_ITEMS, 3, 6],
        [N_ITEMS, N_ITEMS, N_ITEMS, 2],
        [N_ITEMS, N_ITEMS, N_ITEMS, N_ITEMS],  # empty
        [7, 7, 2, 7],  # an item twice, and a candidate in its own context
    ]
)
CANDIDATES = torch.tensor([[1, 6, 2], [3, 0, 1], [6, 6, 0], [5, 8, 4], [2, 7, 0]])


class TestSDM(RecommenderBehaviour):
    def make(self) -> SDM:
        return SDM(dim=16, hops=2, optimisation=FAST)

    def test_the_output_bias_stays_where_it_starts(self, fitted: SDM) -> None:
        assert fitted.output.bias.item() == 0


class TestOneHop(RecommenderBehaviour):
    def make(self) -> SDM:
        return SDM(dim=16, hops=1, context_length=3, optimisation=FAST)


def built(hops: int, dtype: torch.dtype = torch.float64) -> SDM:
    model = SDM(dim=6, hops=hops, context_length=4)
    model.build(n_users=5, n_items=N_ITEMS)
    model.to(dtype)
    scatter(model, seed=hops)
    return model


def literal(model: SDM) -> tuple[Tensor, list[list[list[list[Tensor]]]]]:
    """Scores [B, C], and attention by instance, candidate, hop and real context item."""
    scores, attention = [], []
    for user, context, candidates in zip(USERS.tolist(), CONTEXTS.tolist(), CANDIDATES.tolist(), strict=True):
        row = [sdm_score(model, user, context, candidate) for candidate in candidates]
        scores.append(torch.stack([score for score, _ in row]))
        attention.append([a for _, a in row])
    return torch.stack(scores), attention


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-9), (torch.float32, 2e-5)])
@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_scores_and_gradients_are_those_of_the_equations(hops: int, dtype: torch.dtype, atol: float) -> None:
    model = built(hops, dtype)
    oracle = copy.deepcopy(model).double()
    scores, (expected, _) = model(USERS, CONTEXTS, CANDIDATES), literal(oracle)
    assert scores.dtype == dtype
    torch.testing.assert_close(scores.double(), expected, rtol=0, atol=atol)
    weights = torch.randn(CANDIDATES.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (scores * weights.to(dtype)).sum().backward()
    (expected * weights).sum().backward()
    assert_same_gradients(model, oracle, atol)


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_attention_is_that_of_the_equations(hops: int) -> None:
    model = built(hops)
    with torch.no_grad():
        attention, (_, expected) = model.attention(USERS, CONTEXTS, CANDIDATES), literal(model)
    assert attention.shape == (hops, *CANDIDATES.shape, CONTEXTS.shape[1])
    torch.testing.assert_close(attention.sum(-1), torch.ones_like(attention[..., 0]), rtol=0, atol=1e-12)
    for instance, context in enumerate(CONTEXTS):
        real = context != N_ITEMS
        if not real.any():
            real[-1] = True
        assert not attention[:, instance, :, ~real].any()
        for candidate in range(CANDIDATES.shape[1]):
            for hop in range(hops):
                literal_one = torch.stack(expected[instance][candidate][hop])
                torch.testing.assert_close(attention[hop, instance, candidate, real], literal_one, rtol=0, atol=1e-9)


def test_more_padding_changes_nothing() -> None:
    model = built(hops=3)
    longer = torch.nn.functional.pad(CONTEXTS, (3, 0), value=N_ITEMS)
    with torch.no_grad():
        torch.testing.assert_close(
            model(USERS, longer, CANDIDATES), model(USERS, CONTEXTS, CANDIDATES), rtol=0, atol=1e-12
        )


def test_the_order_of_the_context_does_not_matter_but_its_items_do() -> None:
    model = built(hops=3)
    other = CONTEXTS.clone()
    other[:, -1] = torch.tensor([3, 3, 3, N_ITEMS, 3])
    with torch.no_grad():
        scores = model(USERS, CONTEXTS, CANDIDATES)
        torch.testing.assert_close(model(USERS, CONTEXTS.flip(1), CANDIDATES), scores, rtol=0, atol=1e-12)
        changed = (model(USERS, other, CANDIDATES) - scores).abs().amin(dim=1) > 1e-6
    assert changed.tolist() == [True, True, True, False, True]


def test_it_starts_as_released() -> None:
    """Tables: standard deviation 0.01; W_a … W_d He-normal with fan-in 2d, W_g with d; w_e LeCun-uniform; biases 0."""
    d, outputs = 64, []
    for seed in range(20):
        torch.manual_seed(seed)
        model = SDM(dim=d)
        model.build(n_users=100, n_items=50)
        outputs.append(model.output.weight.detach().flatten())
    expected = {f"{layer}_{half}.weight": math.sqrt(2 / (2 * d)) for layer in "ab" for half in ("user", "item")}
    expected |= {f"{layer}_{half}.weight": math.sqrt(2 / (2 * d)) for layer in "cd" for half in ("query", "context")}
    expected |= {f"{kind}_{memory}.weight": 0.01 for kind in ("users", "items") for memory in ("in", "out")}
    expected |= {"gate.weight": math.sqrt(2 / d)}
    for name, parameter in model.named_parameters():
        weight = parameter.detach()
        if "bias" in name:
            assert not weight.any(), name
        elif name != "output.weight":
            if name.startswith("items"):
                assert not weight[-1].any()
                weight = weight[:-1]
            n = weight.numel()
            assert abs(weight.std().item() / expected[name] - 1) < 5 / math.sqrt(2 * n), name
            assert abs(weight.mean().item() / expected[name]) < 5 / math.sqrt(n), name
    uniform, bound = torch.cat(outputs), math.sqrt(3 / d)
    assert 0.98 * bound < uniform.abs().max() <= bound
    assert abs(uniform.std().item() / (bound / math.sqrt(3)) - 1) < 0.1
    assert abs(uniform.mean().item()) < 5 * bound / math.sqrt(3 * len(uniform))


@pytest.mark.parametrize(("hops", "context_length"), [(0, 5), (1, 0)])
def test_no_hop_or_no_context_is_an_error(hops: int, context_length: int) -> None:
    with pytest.raises(ValueError, match=rf"^SDM needs .* not {hops} and {context_length}"):
        SDM(hops=hops, context_length=context_length)
