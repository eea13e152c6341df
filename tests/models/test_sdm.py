import copy
import math

import pytest
import torch

from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.sdm import SDM
from tests.behavior import RecommenderBehavior
from tests.oracles.loops import (
    CANDIDATES,
    CONTEXTS,
    N_ITEMS,
    USERS,
    Scaled,
    assert_same_gradients,
    build_sdm,
    sdm_scores,
)

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)


class TestSDM(RecommenderBehavior):
    def make(self) -> SDM:
        return SDM(dim=16, hops=2, optimization=FAST)

    def test_the_output_bias_stays_where_it_starts(self, fitted: SDM) -> None:
        assert fitted.output.bias.item() == 0


class TestOneHop(RecommenderBehavior):
    def make(self) -> SDM:
        return SDM(dim=16, hops=1, context_length=3, optimization=FAST)


def built(hops: int, dtype: torch.dtype = torch.float64, dropout: float = 0.0) -> SDM:
    return build_sdm(SDM(dim=6, hops=hops, context_length=4, dropout=dropout), dtype)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-9), (torch.float32, 2e-5)])
@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_scores_and_gradients_are_those_of_the_equations(hops: int, dtype: torch.dtype, atol: float) -> None:
    model = built(hops, dtype)
    oracle = copy.deepcopy(model).double()
    scores, (expected, _) = model(USERS, CONTEXTS, CANDIDATES), sdm_scores(oracle)
    assert scores.dtype == dtype
    torch.testing.assert_close(scores.double(), expected, rtol=0, atol=atol)
    weights = torch.randn(CANDIDATES.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (scores * weights.to(dtype)).sum().backward()
    (expected * weights).sum().backward()
    assert_same_gradients(model, oracle, atol)


@pytest.mark.parametrize("hops", [1, 3])
def test_dropout_is_on_both_queries_and_before_squaring(hops: int) -> None:
    model = built(hops)
    oracle = copy.deepcopy(model)
    model.query_dropout, model.dropout = Scaled(0.7), Scaled(0.4)
    scores = model(USERS, CONTEXTS, CANDIDATES)
    expected, _ = sdm_scores(oracle, drop_query=lambda values: values * 0.7, drop=lambda values: values * 0.4)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-9)
    scores.sum().backward()
    expected.sum().backward()
    assert_same_gradients(model, oracle, 1e-9)


def test_the_output_query_is_dropped_anew_at_each_hop() -> None:
    model, calls = built(hops=3), []
    model.query_dropout = Scaled(0.7)
    model.query_dropout.register_forward_hook(lambda *call: calls.append(call))
    model(USERS, CONTEXTS, CANDIDATES)
    assert len(calls) == 1 + 3  # the input query once


def test_dropout_ends_with_training() -> None:
    model = built(hops=2, dropout=0.5)
    assert (model.query_dropout.p, model.dropout.p) == (0.5, 0.5)
    assert not torch.equal(model(USERS, CONTEXTS, CANDIDATES), model(USERS, CONTEXTS, CANDIDATES))
    model.eval()
    with torch.no_grad():
        expected, _ = sdm_scores(model)
        torch.testing.assert_close(model(USERS, CONTEXTS, CANDIDATES), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_attention_is_that_of_the_equations(hops: int) -> None:
    model = built(hops)
    with torch.no_grad():
        attention, (_, expected) = model.compute_attention(USERS, CONTEXTS, CANDIDATES), sdm_scores(model)
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


def test_the_initialization_is_the_released_one() -> None:
    """Check tables, W_a … W_d and W_g normal, w_e uniform, biases 0."""
    d, outputs = 64, []
    for seed in range(20):
        torch.manual_seed(seed)
        model = SDM(dim=d)
        model.build(n_users=100, n_items=50)
        outputs.append(model.output.weight.detach().flatten())
    expected = {f"{layer}_{half}.weight": math.sqrt(2 / (2 * d)) for layer in "ab" for half in ("user", "item")}
    expected |= {f"{layer}_{half}.weight": math.sqrt(2 / (2 * d)) for layer in "cd" for half in ("query", "context")}
    expected |= {f"{table}_{memory}.weight": 0.01 for table in ("users", "items") for memory in ("in", "out")}
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


@pytest.mark.parametrize("name", ["hops", "context_length"])
def test_no_hop_or_no_context_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"^SDM: {name} must be ≥ 1, not 0$"):
        SDM(**{name: 0})  # type: ignore[arg-type]
