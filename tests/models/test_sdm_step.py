"""SDM's compiled step: loss, gradients and scores against the literal equations, and dropout's masks."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from torch import Tensor

from sdmr.harness.training.layers import Dropout
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.kernels.functions import draw_mask, exponential
from sdmr.models.released import ReleasedSDM
from sdmr.models.sdm import SDM
from tests.behavior import small
from tests.harness.factors import Killed, assert_same_bits, kill_at
from tests.oracles.batched import LiteralSDM
from tests.oracles.loops import CONTEXTS, N_ITEMS, USERS, assert_same_gradients, scatter

THREE_EPOCHS = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=3)


def build(model: SDM, dtype: torch.dtype = torch.float64) -> Any:
    model.build(n_users=5, n_items=N_ITEMS)
    model.to(dtype)
    scatter(model, seed=0)
    return model


def draw_inputs(n: int, n_candidates: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Repeat the instances of the oracle in random order, with random candidates."""
    generator = torch.Generator().manual_seed(n)
    rows = torch.randint(len(USERS), (n,), generator=generator)
    return USERS[rows], CONTEXTS[rows], torch.randint(N_ITEMS, (n, n_candidates), generator=generator)


@pytest.mark.parametrize("negatives", ["all", "hardest"])
@pytest.mark.parametrize(("dim", "hops"), [(6, 1), (8, 2), (19, 3)])  # 6 and 19 are no multiples of a vector's width
def test_loss_and_gradients_are_those_of_the_literal_equations(
    dim: int, hops: int, negatives: Any, threads: int
) -> None:
    options = OptimizationConfig(negatives=negatives)
    fast, literal = (build(cls(dim, hops, context_length=4, optimization=options)) for cls in (SDM, LiteralSDM))
    inputs = draw_inputs(97)  # several blocks, the last one cut
    assert fast.compute_gradients(*inputs) == pytest.approx(literal.compute_gradients(*inputs), abs=1e-9)
    assert_same_gradients(fast, literal, 1e-9)


def test_a_batch_with_fewer_instances_than_threads_is_trained(threads: int) -> None:
    fast, literal = (build(cls(6, 2, context_length=4)) for cls in (SDM, LiteralSDM))
    inputs = draw_inputs(1)
    assert fast.compute_gradients(*inputs) == pytest.approx(literal.compute_gradients(*inputs), abs=1e-9)
    assert_same_gradients(fast, literal, 1e-9)


@pytest.mark.parametrize("n_candidates", [1, 4, 500])
def test_scores_are_those_of_the_literal_equations(n_candidates: int, threads: int) -> None:
    fast, literal = (build(cls(19, 3, context_length=4)) for cls in (SDM, LiteralSDM))
    inputs = draw_inputs(9, n_candidates)
    with torch.no_grad():
        torch.testing.assert_close(fast(*inputs), literal(*inputs), rtol=0, atol=1e-9)


@pytest.mark.parametrize("compute", [SDM.forward, SDM.compute_distances, SDM.compute_attention])
@pytest.mark.parametrize("hops", [1, 3])
def test_the_compiled_hops_equal_those_of_other_devices(
    hops: int, compute: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs = build(SDM(6, hops, context_length=4)), draw_inputs(30)
    with torch.no_grad():
        fast = compute(model, *inputs)
        monkeypatch.setattr(SDM, "_uses_kernel", False)
        torch.testing.assert_close(fast, compute(model, *inputs), rtol=0, atol=1e-9)


def test_a_tanh_of_a_sum_is_right_for_large_summands() -> None:
    """Try summands up to 43, where an exponential nears the limit of float32."""
    model = build(SDM(6, 2, context_length=4), torch.float32)
    torch.manual_seed(0)
    with torch.no_grad():
        for table in (model.users_in, model.items_in, model.users_out, model.items_out):
            table.weight.uniform_(-20, 20)
        literal = LiteralSDM(6, 2, context_length=4)
        literal.build(5, N_ITEMS)
        literal.load_state_dict(model.state_dict())
        inputs = draw_inputs(30)
        torch.testing.assert_close(model(*inputs), literal(*inputs), rtol=0, atol=5e-3)


class FixedDropout(Dropout):
    """Multiply by given factors, call after call."""

    def __init__(self, *factors: Tensor) -> None:
        super().__init__(0.5, "on")
        self.factors = list(factors)

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factors.pop(0).view_as(values)


def draw_factors(key: int, number: int, rate: float, n: int, m: int) -> Tensor:
    mask, threshold = np.empty((n, m), np.bool_), round(rate * 65_536)
    draw_mask(key, number, 0, threshold, mask)
    return torch.from_numpy(mask).double() * (65_536 / (65_536 - threshold))


@pytest.mark.parametrize("hops", [1, 3])
def test_gradients_with_dropout_are_those_of_the_same_masks(hops: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = build(SDM(6, hops, context_length=4, dropout=0.3))
    oracle, inputs, key = copy.deepcopy(fast), draw_inputs(97), 5
    fast.query_dropout = Dropout(0.1)
    monkeypatch.setattr(torch, "randint", lambda *_: torch.tensor(key))
    loss, n = fast.compute_gradients(*inputs), inputs[2].numel()
    queries = [0, *(1 + 3 * hop for hop in range(hops))]
    oracle.query_dropout = FixedDropout(*(draw_factors(key, number, 0.1, n, 6) for number in queries))
    tanh = [number + 3 * hop for hop in range(hops) for number in (2, 3)]
    oracle.dropout = FixedDropout(*(draw_factors(key, number, 0.3, n, 24) for number in tanh))
    expected = oracle.loss(oracle(*inputs))
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-9)
    assert_same_gradients(fast, oracle, 1e-9)


def test_masks_follow_from_their_key_number_and_row_and_drop_the_right_share() -> None:
    masks = np.empty((4, 500, 30), np.bool_)
    for mask, arguments in zip(masks, [(3, 1, 0), (3, 2, 0), (4, 1, 0), (3, 1, 100)], strict=True):
        draw_mask(*arguments, round(0.2 * 65_536), mask)
        assert abs((~mask).mean() - 0.2) < 5 * math.sqrt(0.2 * 0.8 / mask.size)
    assert len({mask.tobytes() for mask in masks}) == 4
    np.testing.assert_array_equal(masks[3, :400], masks[0, 100:])


def test_a_killed_fit_with_dropout_resumes_to_the_same_bits(tmp_path: Path) -> None:
    def make() -> SDM:
        return SDM(8, 2, dropout=0.3, optimization=THREE_EPOCHS)

    uninterrupted, killed, resumed = make(), make(), make()
    uninterrupted.fit(small().training)
    training = replace(small().training, checkpoint=tmp_path / "fit.pt")
    kill_at(killed, 2)  # when the second epoch is ranked
    with pytest.raises(Killed):
        killed.fit(training)
    resumed.fit(training)
    assert_same_bits(resumed, uninterrupted)


class Squared(SDM):
    """Have a loss of one's own."""

    def loss(self, scores: Tensor) -> Tensor:
        return (scores - 1).square().sum()


class Doubled(SDM):
    """Have a score of one's own."""

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        return 2 * super().forward(users, contexts, candidates)


@pytest.mark.parametrize("model", [Squared(6, 2, 4), Doubled(6, 2, 4), ReleasedSDM(6, 2, 4, dropout_at_test="off")])
def test_models_with_other_equations_have_gradients_of_their_equations(model: SDM) -> None:
    build(model)
    other, inputs = copy.deepcopy(model), draw_inputs(30)
    torch.manual_seed(1)
    loss = model.compute_gradients(*inputs)
    torch.manual_seed(1)
    expected = other.loss(other(*inputs))
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-9)
    assert_same_gradients(model, other, 1e-9)


def test_left_over_contexts_are_filled_in_training() -> None:
    paper = {name: value for name, value in ReleasedSDM.PAPER_CHOICES.items() if "." not in name}
    padded, filled = (
        build(ReleasedSDM(6, 2, 4, **{**paper, "short_context": choice})) for choice in ("padded", "left-over")
    )
    inputs = draw_inputs(30)
    other = copy.deepcopy(filled)
    loss, expected = filled.compute_gradients(*inputs), other.loss(other(*inputs))
    assert loss == pytest.approx(expected.item(), abs=1e-9)
    assert loss != pytest.approx(padded.compute_gradients(*inputs))
    assert filled.eval().compute_gradients(*inputs) == pytest.approx(padded.compute_gradients(*inputs))


@pytest.mark.parametrize("position", ["users_in", "items_out", "gate", "c_query"])
def test_nan_stays_nan(position: str) -> None:
    model, literal = (build(cls(6, 2, context_length=4), torch.float32) for cls in (SDM, LiteralSDM))
    for each in (model, literal):
        with torch.no_grad():
            getattr(each, position).weight[0] = torch.nan
    inputs = draw_inputs(30)
    with torch.no_grad():
        assert torch.equal(model(*inputs).isnan(), literal(*inputs).isnan())
    assert math.isnan(model.compute_gradients(*inputs))
    assert model.b_user.weight.grad.isnan().any()


@numba.njit
def compute_exponentials(x):  # type: ignore[no-untyped-def]
    result = np.empty_like(x)
    for i in range(len(x)):
        result[i] = exponential(x[i])
    return result


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-7), (np.float64, 1e-15)])
def test_exponentials_are_as_exact_as_numpys(dtype: type, tolerance: float) -> None:
    x = np.linspace(-86, 86, 10_001).astype(dtype)
    np.testing.assert_allclose(compute_exponentials(x), np.exp(x.astype(np.float64)), rtol=tolerance)
