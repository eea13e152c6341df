from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from sdmr.harness.evaluation import rank
from sdmr.harness.metrics import TIE_POLICIES
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.sdm import SDM
from sdmr.models.sdmr import SDMR
from sdmr.models.sdp import SDP
from tests.behavior import RecommenderBehavior, checkerboard, small
from tests.models.helpers import Inputs, build_on_parts, inputs_of

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)
THREE_EPOCHS = replace(FAST, epochs=3)


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


class TestSDMR(RecommenderBehavior):
    def make(self) -> SDMR:
        return sdmr(parts=FAST, optimization=FAST)

    def test_the_model_learns_a_checkerboard(self) -> None:
        """Test without ReLU: with it, every candidate close enough to the user ties at distance 0."""
        model = sdmr(activation="identity", parts=FAST, optimization=FAST)
        model.fit(checkerboard().training)
        assert rank(model, checkerboard().test).hit(1).mean() >= 0.9


def test_defaults_follow_the_parts() -> None:
    model = SDMR(SDP(), SDM(context_length=3))
    assert model.context_length == 3
    assert model.optimization == SDM().optimization  # whose learning rate the paper fixes at .001


def test_the_start_is_a_model_of_fitted_parts() -> None:
    once = replace(FAST, epochs=1)
    assert "validation" in fitted(sdmr(parts=once, optimization=once)).history[0]


def test_rows_with_fewer_candidates_do_not_lower_the_share_of_zeros() -> None:
    validation = small().training.validation
    scores = np.zeros(validation.candidates.shape, np.float32)
    scores[:, -1] = np.where(validation.target_columns == scores.shape[1] - 1, 0, -np.inf)  # no candidate
    assert SDMR(SDP(), SDM()).epoch_metrics(validation, scores)["zero_share"] == 1


def arguments(model: SDMR, inputs: Inputs) -> np.ndarray:
    """Compute w_uᵀ [e_SDP; e_SDM] + b_u of Eq. 20 by loops: [B, C]."""
    users, contexts, candidates = map(torch.tensor, inputs)
    with torch.no_grad():
        e_sdp, e_sdm = (
            model.sdp.compute_distances(users, candidates),
            model.sdm.compute_distances(users, contexts, candidates),
        )
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
    start = build_on_parts(sdmr()).state_dict()
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
    build_on_parts(model)
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
    validation = small().training.validation
    inputs = (validation.users, validation.contexts.last_n(model.context_length), validation.candidates)
    with torch.no_grad():  # b_u, and with it the clamp, follows from the parts' biases
        model.sdm.output.bias.fill_(0.0)
        model.sdp.output.bias.fill_(0.0)
        o = arguments(build_on_parts(SDMR(model.sdp, model.sdm)), inputs)
        model.sdp.output.bias.fill_(-10 * float(np.median(o)))
    fitted(model)
    assert [entry["epoch"] for entry in model.history] == [0, 1]
    states = build_on_parts(SDMR(model.sdp, model.sdm)), model
    for entry, state in zip(model.history, states, strict=True):
        share = np.mean([o <= 0 for o in arguments(state, inputs).flatten()])
        assert 0.1 < share < 0.9  # some are clamped, others are not
        assert entry["zero_share"] == pytest.approx(share, abs=1e-12)
        ranks = rank(state, validation)
        assert entry["tied_share"] == pytest.approx((ranks.tied > 0).mean())
        assert entry["mean_tied"] == pytest.approx(ranks.tied[ranks.tied > 0].mean())
        for ties in TIE_POLICIES:
            assert entry[f"NDCG@10 {ties}"] == pytest.approx(ranks.ndcg(10, ties).mean())
            assert entry[f"hit@10 {ties}"] == pytest.approx(ranks.hit(10, ties).mean())


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
    with pytest.raises(ValueError, match="SDMR: combine must be 'learned' or 'sum', not 'product'"):
        sdmr(combine="product")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="SDMR: activation must be 'relu' or 'identity', not 'tanh'"):
        sdmr(activation="tanh")  # type: ignore[arg-type]


def test_a_choice_without_effect_is_an_error() -> None:
    for wrong in ({"beta": 0.3}, {"combine": "sum", "activation": "identity"}):
        with pytest.raises(ValueError, match="no effect with combine"):
            sdmr(**wrong)  # type: ignore[arg-type]
