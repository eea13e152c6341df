"""The released variants: each difference from the paper's models alone, all of them, and none."""

import copy
import math
from dataclasses import asdict, replace
from typing import Any, Literal

import numpy as np
import pytest
import torch

from sdmr.harness.recommender import offers_score_all
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.released import ReleasedSDM, ReleasedSDMR, ReleasedSDP
from sdmr.models.sdm import SDM
from sdmr.models.sdmr import SDMR
from sdmr.models.sdp import SDP
from tests.behavior import RecommenderBehavior, small
from tests.models.helpers import build_on_parts, inputs_of
from tests.oracles.loops import (
    CANDIDATES,
    CONTEXTS,
    N_ITEMS,
    USERS,
    assert_same_gradients,
    build_sdm,
    check_sdp,
    sdm_scores,
)

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)
THREE_EPOCHS = replace(FAST, epochs=3)
Released = type[ReleasedSDP] | type[ReleasedSDM] | type[ReleasedSDMR]


def paper_choices(cls: Released) -> dict[str, Any]:
    """Return the paper's value of each difference that is an argument of the model."""
    return {name: value for name, value in cls.PAPER_CHOICES.items() if "." not in name}


class TestReleasedSDP(RecommenderBehavior):
    def make(self) -> ReleasedSDP:
        return ReleasedSDP(dim=16, optimization=FAST)


class TestReleasedSDM(RecommenderBehavior):
    """Test without dropout at test, which makes scores random and has tests below."""

    def make(self) -> ReleasedSDM:
        return ReleasedSDM(dim=16, hops=2, dropout_at_test="off", optimization=FAST)


class TestReleasedSDMR(RecommenderBehavior):
    """Test without dropout at test, as of its SDM."""

    def make(self) -> ReleasedSDMR:
        return ReleasedSDMR(TestReleasedSDP().make(), TestReleasedSDM().make(), optimization=FAST)


def test_defaults_are_the_released_choices() -> None:
    sdp = ReleasedSDP()
    assert (sdp.distance, sdp.initialization, sdp.dropout.p, sdp.dropout.test_mode) == ("absolute", "torch", 0.2, "off")
    sdm = ReleasedSDM()
    choices = sdm.value_layer, sdm.gate_update, sdm.padding, sdm.short_context, sdm.initialization
    assert choices == ("layer", "negated", "scaled", "left-over", "torch")
    assert (sdm.query_dropout.p, sdm.query_dropout.test_mode, sdm.dropout.p, sdm.dropout.test_mode) == (
        0.2,
        "on",
        0.2,
        "off",
    )
    sdmr = ReleasedSDMR(sdp, sdm)
    assert (sdmr.part_mode, sdmr.dropout.p, sdmr.dropout.test_mode) == ("training", 0.2, "off")
    assert ReleasedSDP(dropout_at_test="on").dropout.test_mode == "on"
    assert ReleasedSDMR(sdp, sdm, dropout_at_test="on").dropout.test_mode == "on"


def test_a_model_with_dropout_at_test_ranks_all_items_as_it_ranks_candidates() -> None:
    assert not offers_score_all(ReleasedSDM())
    assert offers_score_all(SDM())


def test_an_epoch_of_the_released_sdmr_is_trained_in_any_case() -> None:
    once = replace(FAST, epochs=1)
    model = ReleasedSDMR(ReleasedSDP(8, optimization=once), ReleasedSDM(8, 1, optimization=once), optimization=once)
    model.fit(small().training)
    assert "validation" not in model.history[0]


@pytest.mark.parametrize("cls", [ReleasedSDP, ReleasedSDM])
def test_with_the_papers_choices_it_is_the_papers_model_to_the_last_bit(cls: type[ReleasedSDP | ReleasedSDM]) -> None:
    paper = (SDP if cls is ReleasedSDP else SDM)(dim=8, optimization=THREE_EPOCHS)
    released = cls(dim=8, **paper_choices(cls), optimization=THREE_EPOCHS)
    test = small().test
    inputs = test.users, test.contexts.last_n(paper.context_length), test.candidates
    for model in (paper, released):
        model.fit(small().training)
    assert list(paper.state_dict()) == list(released.state_dict())
    np.testing.assert_array_equal(released.score(*inputs), paper.score(*inputs))


def test_with_the_papers_choices_sdmr_is_the_papers_model_to_the_last_bit() -> None:
    paper = SDMR(SDP(dim=8, optimization=THREE_EPOCHS), SDM(dim=12, optimization=THREE_EPOCHS), optimization=FAST)
    parts = (
        ReleasedSDP(dim=8, **paper_choices(ReleasedSDP), optimization=THREE_EPOCHS),
        ReleasedSDM(dim=12, **paper_choices(ReleasedSDM), optimization=THREE_EPOCHS),
    )
    released = ReleasedSDMR(*parts, **paper_choices(ReleasedSDMR), optimization=FAST)
    for model in (paper, released):
        model.fit(small().training)
    np.testing.assert_array_equal(released.score(*inputs_of(released)), paper.score(*inputs_of(paper)))


@pytest.mark.parametrize("cls", [ReleasedSDP, ReleasedSDM, ReleasedSDMR])
def test_the_papers_choices_name_arguments_and_training_options(cls: Released) -> None:
    training = {name.partition(".")[2]: value for name, value in cls.PAPER_CHOICES.items() if "." in name}
    defaults = asdict(OptimizationConfig())
    assert training == {name: defaults[name] for name in training}
    parts = (ReleasedSDP(), ReleasedSDM()) if cls is ReleasedSDMR else ()
    cls(*parts, **paper_choices(cls))  # type: ignore[arg-type]


# --- SDP ---


@pytest.mark.parametrize("distance", ["square", "absolute"])
@pytest.mark.parametrize("layers", [1, 3])
def test_sdps_distance_is_the_literal_one(layers: int, distance: Literal["square", "absolute"]) -> None:
    model = ReleasedSDP(dim=8, layers=layers, distance=distance, dropout=0.0)
    check_sdp(model, distance=distance)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"distance": "cube"}, "ReleasedSDP: distance must be 'square' or 'absolute', not 'cube'"),
        ({"initialization": "zero"}, "ReleasedSDP: initialization must be 'he' or 'torch', not 'zero'"),
        ({"dropout": 0, "dropout_at_test": "on"}, "dropout_at_test=on has no effect"),
        ({"dropout_at_test": "yes"}, "dropout_at_test must be 'off' or 'on', not 'yes'"),
    ],
)
def test_sdp_refuses_an_unknown_choice_or_one_without_effect(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReleasedSDP(**wrong)


def test_torch_initializes_sdps_biases_within_one_by_the_root_of_fan_in() -> None:
    d, biases = 32, []
    for seed in range(40):
        he, torchs = (ReleasedSDP(dim=d, layers=2, initialization=name) for name in ("he", "torch"))  # type: ignore[arg-type]
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


# --- SDM ---


def built(hops: int, **choices: Any) -> ReleasedSDM:
    """Build a model with the paper's choices except for these."""
    arguments = paper_choices(ReleasedSDM) | choices
    model = ReleasedSDM(dim=6, hops=hops, context_length=4, **arguments)
    build_sdm(model)
    return model


CHOICES: list[dict[str, Any]] = [
    {"value_layer": "layer"},
    {"gate_update": "negated"},
    {"padding": "scaled"},
    {"value_layer": "layer", "gate_update": "negated", "padding": "scaled"},
]


@pytest.mark.parametrize("scale", [1.0, 0.002])  # with queries so small, scaled padding is not yet out of the softmax
@pytest.mark.parametrize("choices", CHOICES, ids=str)
@pytest.mark.parametrize("hops", [1, 3])
def test_each_difference_of_sdm_is_the_literal_one(hops: int, choices: dict[str, Any], scale: float) -> None:
    model = built(hops, **choices)
    with torch.no_grad():
        for layer in (model.c_query, model.c_context):
            layer.weight.mul_(scale)
        model.c_context.bias.mul_(scale)
    oracle = copy.deepcopy(model)
    scores = model(USERS, CONTEXTS, CANDIDATES)
    arguments = {"padding_choice" if name == "padding" else name: value for name, value in choices.items()}
    expected, _ = sdm_scores(oracle, **arguments)
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
    elif "gate_update" in choices:  # a single context item gets all attention whatever the query
        assert differs.tolist() == [hops > 1, hops > 1, False, False, hops > 1]
    elif scale < 1:  # an empty context is all padding, and as before
        assert differs.tolist() == [False, True, True, False, False]
    else:  # far from the query, scaled padding is out
        assert not differs.any()


@pytest.mark.parametrize("at_test", ["off", "on"])
def test_at_test_sdm_drops_the_queries_alone_and_only_if_asked(at_test: Literal["off", "on"]) -> None:
    model = built(hops=2, dropout=0.5, dropout_at_test=at_test).eval()
    with torch.no_grad():
        scores = [model(USERS, CONTEXTS, CANDIDATES) for _ in range(2)]
        assert torch.equal(*scores) == (at_test == "off")
        model.query_dropout.p = 0.0
        torch.testing.assert_close(model(USERS, CONTEXTS, CANDIDATES), sdm_scores(model)[0], rtol=0, atol=1e-9)
        model.train()
        assert not torch.equal(model(USERS, CONTEXTS, CANDIDATES), model(USERS, CONTEXTS, CANDIDATES))


@pytest.mark.parametrize("name", ["value_layer", "gate_update", "padding", "short_context", "initialization"])
def test_sdm_refuses_an_unknown_choice(name: str) -> None:
    with pytest.raises(ValueError, match=f"ReleasedSDM: {name} must be .* or .*, not 'else'"):
        ReleasedSDM(**{name: "else"})  # type: ignore[arg-type]


def test_sdm_without_dropout_says_what_else_to_set() -> None:
    with pytest.raises(ValueError, match=r"dropout=0.*dropout_at_test=off"):
        ReleasedSDM(dropout=0)
    assert not ReleasedSDM(dropout=0, dropout_at_test="off").query_dropout.is_on


@pytest.mark.parametrize("value_layer", ["nothing", "layer"])
def test_torch_initializes_sdms_gate_layer_and_biases_within_one_by_the_root_of_fan_in(
    value_layer: Literal["nothing", "layer"],
) -> None:
    d = 64
    he, torchs = (ReleasedSDM(dim=d, value_layer=value_layer, initialization=name) for name in ("he", "torch"))  # type: ignore[arg-type]
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
    filled, padded = built(hops=2, short_context="left-over"), built(hops=2)
    padded.load_state_dict(filled.state_dict())
    with torch.no_grad():
        padded_scores = padded(users, contexts, candidates)
        assert torch.equal(filled.eval()(users, contexts, candidates), padded_scores)
        scores = filled.train()(users, contexts, candidates)
        torch.testing.assert_close(scores, padded(users, torch.tensor(expected), candidates), rtol=0, atol=1e-12)
    assert not torch.equal(scores, padded_scores)


# --- SDMR ---


def sdmr(part_dropout: float = 0.0, **choices: Any) -> ReleasedSDMR:
    """Create a model with the paper's choices except for these."""
    sdp = ReleasedSDP(8, **paper_choices(ReleasedSDP) | {"dropout": part_dropout}, optimization=THREE_EPOCHS)
    sdm = ReleasedSDM(12, **paper_choices(ReleasedSDM), optimization=THREE_EPOCHS)
    return ReleasedSDMR(sdp, sdm, **paper_choices(ReleasedSDMR) | {"optimization": THREE_EPOCHS} | choices)


def test_sdmr_refuses_an_unknown_choice() -> None:
    with pytest.raises(ValueError, match="ReleasedSDMR: part_mode must be 'evaluation' or 'training', not 'test'"):
        sdmr(part_mode="test")


@pytest.mark.parametrize("wrong", [{"dropout": 0.2}, {"part_mode": "training"}])
def test_a_sum_refuses_options_of_learning(wrong: dict[str, Any]) -> None:
    assert sdmr(combine="sum").combine == "sum"
    with pytest.raises(ValueError, match=r"no effect with combine=sum.*set dropout=0 and part_mode=evaluation"):
        sdmr(combine="sum", **wrong)


def test_dropout_is_on_sdmrs_output_in_training_alone() -> None:
    model = sdmr(dropout=0.5)
    build_on_parts(model)
    inputs = inputs_of(model)
    scores = model.score(*inputs)
    np.testing.assert_array_equal(model.score(*inputs), scores)
    model.train()
    torch.manual_seed(0)
    dropped = model(*map(torch.tensor, inputs)).detach().numpy()
    is_kept = dropped != 0
    assert 0.3 < is_kept[scores != 0].mean() < 0.7
    np.testing.assert_allclose(dropped[is_kept], 2 * scores[is_kept], rtol=1e-6)


@pytest.mark.parametrize("part_mode", ["evaluation", "training"])
def test_the_parts_drop_out_while_sdmr_learns_only_if_asked(part_mode: Literal["evaluation", "training"]) -> None:
    model = sdmr(part_dropout=0.5, part_mode=part_mode)
    build_on_parts(model)
    inputs = [torch.tensor(array) for array in inputs_of(model)]
    model.train()
    assert torch.equal(model(*inputs), model(*inputs)) == (part_mode == "evaluation")
    model.eval()
    assert torch.equal(model(*inputs), model(*inputs))
    before = [p.clone() for part in model.parts.values() for p in part.parameters()]
    model.fit(small().training)
    after = [p for part in model.parts.values() for p in part.parameters()]
    assert all(map(torch.equal, before, after))


def test_dropout_of_sdms_queries_stays_on_in_sdmr() -> None:
    parts = ReleasedSDP(dim=8, optimization=THREE_EPOCHS), ReleasedSDM(dim=12, optimization=THREE_EPOCHS)
    model = ReleasedSDMR(*parts, optimization=THREE_EPOCHS)
    model.fit(small().training)
    inputs = inputs_of(model)
    assert (model.score(*inputs) != model.score(*inputs)).any()
    np.testing.assert_array_equal(model.sdp.score(*inputs), model.sdp.score(*inputs))
    model.sdm.query_dropout.test_mode = "off"
    np.testing.assert_array_equal(model.score(*inputs), model.score(*inputs))


def test_with_dropout_at_test_the_recorded_metrics_are_those_that_select_the_epoch() -> None:
    sdm = ReleasedSDM(dim=12, dropout=0.5, optimization=THREE_EPOCHS)
    sdp = ReleasedSDP(dim=8, optimization=THREE_EPOCHS)
    model = ReleasedSDMR(sdp, sdm, activation="identity", optimization=THREE_EPOCHS)
    model.fit(small().training)
    for entry in model.history[1:]:
        assert entry["NDCG@10 expected"] == pytest.approx(entry["validation"], abs=1e-12)
