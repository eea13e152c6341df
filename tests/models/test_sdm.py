from __future__ import annotations

import copy
import math
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from sdmr.harness.training.layers import Dropout
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.sdm import SDM
from sdmr.models.variant import AS_RELEASED
from tests.behavior import RecommenderBehavior
from tests.oracles.loops import assert_same_gradients, scatter, sdm_score

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)
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


class TestSDM(RecommenderBehavior):
    def make(self) -> SDM:
        return SDM(dim=16, hops=2, optimization=FAST)

    def test_the_output_bias_stays_where_it_starts(self, fitted: SDM) -> None:
        assert fitted.output.bias.item() == 0


class TestOneHop(RecommenderBehavior):
    def make(self) -> SDM:
        return SDM(dim=16, hops=1, context_length=3, optimization=FAST)


class TestReleased(RecommenderBehavior):
    """Test the released variant without dropout at test, which has tests below."""

    def make(self) -> SDM:
        return SDM(dim=16, hops=2, variant="released", dropout_at_test="off", optimization=FAST)


def built(hops: int, dtype: torch.dtype = torch.float64, **choices: Any) -> SDM:
    model = SDM(dim=6, hops=hops, context_length=4, **choices)
    model.build(n_users=5, n_items=N_ITEMS)
    model.to(dtype)
    scatter(model, seed=hops)
    return model


def literal(model: SDM, **choices: Any) -> tuple[Tensor, list[list[list[list[Tensor]]]]]:
    """Compute scores [B, C], and attention by instance, candidate, hop and real context item."""
    scores, attention = [], []
    for user, context, candidates in zip(USERS.tolist(), CONTEXTS.tolist(), CANDIDATES.tolist(), strict=True):
        row = [sdm_score(model, user, context, candidate, **choices) for candidate in candidates]
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


CHOICES: list[dict[str, Any]] = [
    {"value_layer": "layer"},
    {"gate_update": "negated"},
    {"padding": "scaled"},
    {"value_layer": "layer", "gate_update": "negated", "padding": "scaled"},
]


@pytest.mark.parametrize("scale", [1.0, 0.002])  # with queries so small, scaled padding is not yet out of the softmax
@pytest.mark.parametrize("choices", CHOICES, ids=str)
@pytest.mark.parametrize("hops", [1, 3])
def test_each_difference_of_the_released_code_is_the_literal_one(
    hops: int, choices: dict[str, Any], scale: float
) -> None:
    model = built(hops, **choices)
    with torch.no_grad():
        for layer in (model.c_query, model.c_context):
            layer.weight.mul_(scale)
        model.c_context.bias.mul_(scale)
    oracle = copy.deepcopy(model)
    scores = model(USERS, CONTEXTS, CANDIDATES)
    arguments = {"padding_choice" if name == "padding" else name: value for name, value in choices.items()}
    expected, _ = literal(oracle, **arguments)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-9)
    weights = torch.randn(CANDIDATES.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (scores * weights).sum().backward()
    (expected * weights).sum().backward()
    assert_same_gradients(model, oracle, 1e-9 if scale == 1 else 1e-6)
    paper = SDM(dim=6, hops=hops, context_length=4)
    paper.build(n_users=5, n_items=N_ITEMS)
    paper.double().load_state_dict(oracle.state_dict(), strict=False)
    differs = (paper(USERS, CONTEXTS, CANDIDATES) - scores).abs().amax(1) > 1e-9
    if "value_layer" in choices:
        assert differs.all()
    elif "gate_update" in choices:  # one context item is attended to whatever the query
        assert differs.tolist() == [hops > 1, hops > 1, False, False, hops > 1]
    elif scale < 1:  # an empty context is all padding, and as before
        assert differs.tolist() == [False, True, True, False, False]
    else:  # far from the query, scaled padding is out
        assert not differs.any()


class Scaled(Dropout):
    """Multiply every value, so that the effect of dropout is known."""

    def __init__(self, factor: float) -> None:
        super().__init__(0.5, "on")
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factor


@pytest.mark.parametrize("hops", [1, 3])
def test_dropout_is_on_both_queries_and_before_squaring(hops: int) -> None:
    model = built(hops)
    oracle = copy.deepcopy(model)
    model.query_dropout, model.dropout = Scaled(0.7), Scaled(0.4)
    scores = model(USERS, CONTEXTS, CANDIDATES)
    expected, _ = literal(oracle, drop_query=lambda values: values * 0.7, drop=lambda values: values * 0.4)
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


@pytest.mark.parametrize("at_test", ["off", "on"])
def test_at_test_the_queries_alone_are_dropped_and_only_if_asked(at_test: Literal["off", "on"]) -> None:
    model = built(hops=2, dropout=0.5, dropout_at_test=at_test).eval()
    with torch.no_grad():
        scores = [model(USERS, CONTEXTS, CANDIDATES) for _ in range(2)]
        assert torch.equal(*scores) == (at_test == "off")
        model.query_dropout.p = 0.0
        torch.testing.assert_close(model(USERS, CONTEXTS, CANDIDATES), literal(model)[0], rtol=0, atol=1e-9)
        model.train()
        assert not torch.equal(model(USERS, CONTEXTS, CANDIDATES), model(USERS, CONTEXTS, CANDIDATES))


def test_the_released_variant_is_its_differences() -> None:
    paper, released = SDM(), SDM(variant="released")
    for model, values in (
        (paper, (0.0, "off", "nothing", "distance", "excluded", "padded", "he")),
        (released, (0.2, "on", "layer", "negated", "scaled", "left-over", "torch")),
    ):
        query = model.query_dropout
        actual = (
            query.p,
            query.test_mode,
            model.value_layer,
            model.gate_update,
            model.padding,
            model.short_context,
            model.initialization,
        )
        assert actual == values
        assert (model.dropout.p, model.dropout.test_mode) == (query.p, "off")
    assert paper.optimization == OptimizationConfig(negatives="hardest")
    assert released.optimization == AS_RELEASED
    assert SDM(variant="released", gate_update="distance").gate_update == "distance"


@pytest.mark.parametrize("name", ["value_layer", "gate_update", "padding", "short_context", "initialization"])
def test_an_unknown_choice_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=f"SDM: {name} must be one of .*, not 'else'"):
        SDM(**{name: "else"})  # type: ignore[arg-type]


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


def test_without_dropout_the_released_variant_says_what_else_to_set() -> None:
    with pytest.raises(ValueError, match="with dropout=0: where it is the variant's, say dropout_at_test=off"):
        SDM(variant="released", dropout=0)
    assert not SDM(variant="released", dropout=0, dropout_at_test="off").query_dropout.is_on


def test_the_initialization_is_the_released_one() -> None:
    """Check tables normal, W_a … W_d He-normal with fan-in 2d, W_g with d, w_e LeCun-uniform, biases 0."""
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


@pytest.mark.parametrize("value_layer", ["nothing", "layer"])
def test_torch_initializes_gate_layer_and_biases_within_one_by_the_root_of_fan_in(
    value_layer: Literal["nothing", "layer"],
) -> None:
    d = 64
    he, torchs = (SDM(dim=d, value_layer=value_layer, initialization=which) for which in ("he", "torch"))  # type: ignore[arg-type]
    for model in (he, torchs):
        torch.manual_seed(0)
        model.build(n_users=100, n_items=50)
    same = dict(he.named_parameters())
    bounds = {f"{half}.bias": 2 * d for half in ("a_item", "b_item", "c_context", "d_context")}
    bounds |= {f"{layer}.{name}": d for layer in ("gate", "layer") for name in ("weight", "bias")}
    for name, parameter in torchs.named_parameters():
        if name in bounds:
            bound = 1 / math.sqrt(bounds[name])
            assert 0.8 * bound < parameter.abs().max() <= bound, name
            assert abs(parameter.std().item() / (bound / math.sqrt(3)) - 1) < 0.3, name
        else:
            assert torch.equal(parameter, same[name]), name


def test_short_context_left_over_fills_padding_but_the_last_entry_in_training() -> None:
    pad, generator = N_ITEMS, torch.Generator().manual_seed(0)
    contexts = torch.randint(0, N_ITEMS, (40, 4), generator=generator)
    for row, length in enumerate(torch.randint(0, 5, (40,), generator=generator)):
        contexts[row, : 4 - length] = pad
    buffer, expected = [pad] * 4, []
    for context in contexts.tolist():
        real = [item for item in context if item != pad] or [pad]
        buffer[-len(real) :] = real
        expected.append(list(buffer))
    users, candidates = torch.zeros(40, dtype=torch.long), CANDIDATES[:1].repeat(40, 1)
    left, padded = built(hops=2, short_context="left-over"), built(hops=2)
    padded.load_state_dict(left.state_dict())
    with torch.no_grad():
        padded_scores = padded(users, contexts, candidates)
        assert torch.equal(left.eval()(users, contexts, candidates), padded_scores)
        scores = left.train()(users, contexts, candidates)
        torch.testing.assert_close(scores, padded(users, torch.tensor(expected), candidates), rtol=0, atol=0)
    assert not torch.equal(scores, padded_scores)


@pytest.mark.parametrize(("hops", "context_length"), [(0, 5), (1, 0)])
def test_no_hop_or_no_context_is_an_error(hops: int, context_length: int) -> None:
    with pytest.raises(ValueError, match=rf"^SDM needs .* not {hops} and {context_length}"):
        SDM(hops=hops, context_length=context_length)


@pytest.mark.parametrize("hops", [1, 3])
def test_the_fast_hops_equal_those_of_other_devices_and_variants(hops: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def compute() -> list[Tensor]:
        model = built(hops)
        scores, attention = model(USERS, CONTEXTS, CANDIDATES), model.attention(USERS, CONTEXTS, CANDIDATES)
        scores.square().sum().backward()
        gradients = [p.grad.to_dense() for p in model.parameters() if p.grad is not None]
        return [scores.detach(), attention.detach(), *gradients]

    fast = compute()
    monkeypatch.setattr(SDM, "_is_as_in_paper", False)
    reference = compute()
    assert len(fast) == len(reference) > 10
    for ours, theirs in zip(fast, reference, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
