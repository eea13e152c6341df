from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch

from sdmr.harness.evaluation import rank
from sdmr.harness.metrics import TIE_POLICIES
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.sdm import SDM
from sdmr.models.sdmr import SDMR
from sdmr.models.sdp import SDP
from sdmr.models.variant import AS_RELEASED
from tests.behavior import RecommenderBehavior, checkerboard, small

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)
THREE_EPOCHS = replace(FAST, epochs=3)
Inputs = tuple[np.ndarray, np.ndarray, np.ndarray]


def sdmr(
    combine: Literal["learned", "sum"] = "learned",
    activation: Literal["relu", "identity"] = "relu",
    beta: float = 0.5,
    parts: OptimizationConfig = THREE_EPOCHS,
    optimization: OptimizationConfig = THREE_EPOCHS,
) -> SDMR:
    """Create a model whose parts differ in their d."""
    sdp, sdm = SDP(dim=8, optimization=parts), SDM(dim=12, hops=2, optimization=parts)
    return SDMR(sdp, sdm, combine, activation, beta, optimization=optimization)


def fitted(model: SDMR) -> SDMR:
    model.fit(small().training)
    return model


def as_built(model: SDMR) -> SDMR:
    """Fit the parts and build the model without training it."""
    for part in model.parts.values():
        if not part.is_fitted:
            part.fit(small().training)
    model.build(small().training.n_users, small().training.n_items)
    return model


def inputs_of(model: SDMR) -> Inputs:
    test = small().test
    return test.users, test.contexts.last_n(model.context_length), test.candidates


class TestSDMR(RecommenderBehavior):
    def make(self) -> SDMR:
        return sdmr(parts=FAST, optimization=FAST)

    def test_the_model_learns_a_checkerboard(self) -> None:
        """Test without ReLU: with it, every candidate close enough to the user ties at distance 0."""
        model = sdmr(activation="identity", parts=FAST, optimization=FAST)
        model.fit(checkerboard().training)
        assert rank(model, checkerboard().test).hit(1).mean() >= 0.9


def arguments(model: SDMR, inputs: Inputs) -> np.ndarray:
    """Compute w_uᵀ [e_SDP; e_SDM] + b_u of Eq. 20 by loops: [B, C]."""
    users, contexts, candidates = map(torch.from_numpy, inputs)
    with torch.no_grad():
        e_sdp, e_sdm = model.sdp.distances(users, candidates), model.sdm.distances(users, contexts, candidates)
    weights, bias = model.output.weight.detach().numpy()[0].astype(float), model.output.bias.item()
    values = np.empty(candidates.shape)
    for b, c in np.ndindex(values.shape):
        e = np.concatenate([e_sdp[b, c].numpy(), e_sdm[b, c].numpy()]).astype(float)
        values[b, c] = sum(weight * entry for weight, entry in zip(weights, e, strict=True)) + bias
    return values


@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_scores_are_those_of_equation_20(activation: Literal["relu", "identity"]) -> None:
    model = fitted(sdmr(activation=activation))
    inputs = inputs_of(model)
    o = arguments(model, inputs)
    with torch.no_grad():
        model.output.bias.sub_(float(np.median(o)))  # about half of the candidates are clamped
    distances: np.ndarray = o - float(np.median(o))
    expected = -np.maximum(distances, 0) if activation == "relu" else -distances
    np.testing.assert_allclose(model.score(*inputs), expected, rtol=0, atol=1e-5)


def test_only_the_last_layer_is_learned() -> None:
    model = sdmr()
    model.sdp.fit(small().training)
    model.sdm.fit(small().training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start = as_built(sdmr()).state_dict()
    model.fit(small().training)
    after = model.state_dict()
    assert {name for name in after if name not in before} == {"output.weight", "output.bias"}
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    assert not torch.equal(after["output.weight"], start["output.weight"])
    assert not any(parameter.requires_grad for part in model.parts.values() for parameter in part.parameters())


def test_the_last_layer_starts_at_a_tenth_of_sdp_and_nine_tenths_of_sdm() -> None:
    model = sdmr()
    model.sdp.fit(small().training)
    model.sdm.fit(small().training)
    with torch.no_grad():
        model.sdp.output.bias.fill_(0.25)
        model.sdm.output.bias.fill_(-0.5)
    as_built(model)
    weights = [0.1 * w for w in model.sdp.output.weight[0].tolist()]
    weights += [0.9 * w for w in model.sdm.output.weight[0].tolist()]
    assert model.output.weight[0].tolist() == pytest.approx(weights, rel=1e-6)
    assert model.output.bias.item() == pytest.approx(0.1 * 0.25 + 0.9 * -0.5, rel=1e-6)


def test_the_ends_of_equation_19_are_its_parts() -> None:
    scores = {}
    for beta in (0.0, 0.3, 1.0):
        model = fitted(sdmr(combine="sum", beta=beta))
        inputs = inputs_of(model)
        scores[beta] = model.score(*inputs)
        assert len(model.history) == 1  # nothing is learned
    sdp, sdm = model.sdp.score(*inputs), model.sdm.score(*inputs)
    np.testing.assert_array_equal(scores[0.0], sdm)
    np.testing.assert_array_equal(scores[1.0], sdp)
    assert np.abs(sdp - sdm).max() > 0.01
    np.testing.assert_allclose(scores[0.3], 0.3 * sdp + 0.7 * sdm, rtol=0, atol=1e-6)


def test_the_share_of_zeros_and_the_ties_are_recorded_from_epoch_0() -> None:
    model = sdmr(optimization=replace(THREE_EPOCHS, epochs=1))
    model.sdp.fit(small().training)
    model.sdm.fit(small().training)
    development = small().training.validation
    inputs = (development.users, development.contexts.last_n(model.context_length), development.candidates)
    with torch.no_grad():  # b_u, and with it the clamp, follows from the parts' biases
        model.sdm.output.bias.fill_(0.0)
        model.sdp.output.bias.fill_(0.0)
        o = arguments(as_built(SDMR(model.sdp, model.sdm)), inputs)
        model.sdp.output.bias.fill_(-10 * float(np.median(o)))
    fitted(model)
    assert [entry["epoch"] for entry in model.history] == [0, 1]
    states = as_built(SDMR(model.sdp, model.sdm)), model
    for entry, state in zip(model.history, states, strict=True):
        share = np.mean([o <= 0 for o in arguments(state, inputs).flatten()])
        assert 0.2 < share < 0.8
        assert entry["zero_share"] == pytest.approx(share, abs=1e-12)
        ranks = rank(state, development)
        assert entry["tied_share"] == pytest.approx((ranks.tied > 0).mean())
        assert entry["mean_tied"] == pytest.approx(ranks.tied[ranks.tied > 0].mean())
        for ties in TIE_POLICIES:
            assert entry[f"NDCG@10 {ties}"] == pytest.approx(ranks.ndcg(10, ties).mean())
            assert entry[f"hit@10 {ties}"] == pytest.approx(ranks.hit(10, ties).mean())


def test_with_dropout_at_test_the_recorded_metrics_are_those_that_select_the_epoch() -> None:
    sdm = SDM(dim=12, dropout=0.5, dropout_at_test="on", optimization=THREE_EPOCHS)
    model = fitted(SDMR(SDP(dim=8, optimization=THREE_EPOCHS), sdm, activation="identity", optimization=THREE_EPOCHS))
    for entry in model.history[1:]:
        assert entry["NDCG@10 expected"] == pytest.approx(entry["validation"], abs=1e-12)


@pytest.mark.parametrize("shift", [-100.0, 0.0, 100.0])
def test_clamped_candidates_tie_at_the_top(shift: float) -> None:
    model = fitted(sdmr())
    inputs = inputs_of(model)
    with torch.no_grad():
        model.output.bias.add_(shift - float(np.median(arguments(model, inputs))))
    o = arguments(model, inputs)
    test = small().test
    ranks = rank(model, test)
    for n, column in enumerate(test.target_columns):
        clamped = int((o[n] <= 0).sum())
        if o[n, column] <= 0:
            assert (ranks.above[n], ranks.tied[n]) == (0, clamped - 1)
            assert ranks.hit(10)[n] == pytest.approx(min(1, 10 / clamped))
        else:
            assert ranks.above[n] >= clamped
    if shift < 0:
        assert (ranks.hit(10) == 10 / test.candidates.shape[1]).all()
    if shift > 0:
        assert ranks.tied.max() < test.candidates.shape[1] - 1


def test_an_unknown_combination_is_an_error() -> None:
    with pytest.raises(ValueError, match="SDMR: combine must be one of learned, sum, not 'product'"):
        sdmr(combine="product")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="SDMR: activation must be one of relu, identity, not 'tanh'"):
        sdmr(activation="tanh")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="SDMR: part_mode must be one of evaluation, training, not 'test'"):
        SDMR(SDP(), SDM(), part_mode="test")  # type: ignore[arg-type]


def test_a_choice_without_effect_is_an_error() -> None:
    for wrong in ({"beta": 0.3}, {"combine": "sum", "activation": "identity"}):
        with pytest.raises(ValueError, match="no effect with combine"):
            sdmr(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"dropout": 0.2}, {"dropout_at_test": "on"}, {"part_mode": "training"}])
def test_a_sum_refuses_options_of_learning_except_those_of_the_variant(wrong: dict[str, Any]) -> None:
    released = SDMR(SDP(dim=8), SDM(dim=8), combine="sum", variant="released")
    assert (released.combine, released.variant) == ("sum", "released")
    with pytest.raises(ValueError, match="no effect with combine=sum, which learns nothing: leave them out"):
        SDMR(SDP(dim=8), SDM(dim=8), combine="sum", variant="released", **wrong)


# --- the released variant ---


def test_the_released_variant_is_its_differences() -> None:
    paper, released = SDMR(SDP(), SDM()), SDMR(SDP(), SDM(), variant="released")
    assert (paper.dropout.p, released.dropout.p) == (0.0, 0.2)
    assert {paper.dropout.test_mode, released.dropout.test_mode} == {"off"}
    assert (paper.part_mode, released.part_mode) == ("evaluation", "training")
    assert paper.optimization == OptimizationConfig(learning_rate=0.01, negatives="hardest")
    assert released.optimization == replace(AS_RELEASED, regularization=1e-6, epochs=20, patience=20)
    mixture = SDMR(SDP(), SDM(), variant="released", dropout=0.1, optimization=THREE_EPOCHS)
    assert (mixture.dropout.p, mixture.optimization) == (0.1, THREE_EPOCHS)


def test_dropout_is_on_the_output_in_training_alone() -> None:
    model = as_built(SDMR(SDP(dim=8, optimization=THREE_EPOCHS), SDM(dim=12, optimization=THREE_EPOCHS), dropout=0.5))
    inputs = inputs_of(model)
    scores = model.score(*inputs)
    np.testing.assert_array_equal(model.score(*inputs), scores)
    model.train()
    torch.manual_seed(0)
    dropped = model(*map(torch.from_numpy, inputs)).detach().numpy()
    is_kept = dropped != 0
    assert 0.3 < is_kept[scores != 0].mean() < 0.7
    np.testing.assert_allclose(dropped[is_kept], 2 * scores[is_kept], rtol=1e-6)


@pytest.mark.parametrize("part_mode", ["evaluation", "training"])
def test_the_parts_drop_out_while_it_learns_only_if_asked(part_mode: Literal["evaluation", "training"]) -> None:
    model = as_built(
        SDMR(
            SDP(dim=8, dropout=0.5, optimization=THREE_EPOCHS),
            SDM(dim=12, optimization=THREE_EPOCHS),
            part_mode=part_mode,
        )
    )
    inputs = [torch.from_numpy(array) for array in inputs_of(model)]
    model.train()
    assert torch.equal(model(*inputs), model(*inputs)) == (part_mode == "evaluation")
    model.eval()
    assert torch.equal(model(*inputs), model(*inputs))
    before = [p.clone() for part in model.parts.values() for p in part.parameters()]
    fitted(model)
    after = [p for part in model.parts.values() for p in part.parameters()]
    assert all(map(torch.equal, before, after))


def test_dropout_of_sdms_queries_stays_on_in_sdmr() -> None:
    released = {"variant": "released", "optimization": THREE_EPOCHS}
    model = fitted(SDMR(SDP(dim=8, **released), SDM(dim=12, **released), **released))  # type: ignore[arg-type]
    inputs = inputs_of(model)
    assert (model.score(*inputs) != model.score(*inputs)).any()
    np.testing.assert_array_equal(model.sdp.score(*inputs), model.sdp.score(*inputs))
    model.sdm.query_dropout.test_mode = "off"
    np.testing.assert_array_equal(model.score(*inputs), model.score(*inputs))
