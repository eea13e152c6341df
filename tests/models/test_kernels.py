"""The fast arithmetic of SDP and SDM against the plain expressions it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sdmr.models.kernels import hops, squared_distances, tanh

N, CANDIDATES, CONTEXT, DIM = 7, 3, 4, 19  # no multiple of a vector's width


def plain_hops(
    number: int, user_in: Tensor, item_in: Tensor, keys: Tensor, user_out: Tensor, item_out: Tensor, *others: Tensor
) -> Any:
    values, c_query, d_query, gate, gate_bias = others
    q, p = torch.tanh(user_in[:, None] + item_in[PLACE]), torch.tanh(user_out[:, None] + item_out[PLACE])
    keys, values, output = keys[CONTEXT_PLACE], values[CONTEXT_PLACE], p @ d_query.T
    attention = []
    for _ in range(number):
        z = torch.tanh((q @ c_query.T)[:, :, None] + keys[:, None]).square().sum(-1)
        attention.append(torch.softmax(-z.masked_fill(padding()[:, None], torch.inf), dim=-1))
        e = (attention[-1][..., None] * torch.tanh(output[:, :, None] + values[:, None]).square()).sum(2)
        g = torch.sigmoid(q @ gate.T + gate_bias)
        q = (1 - g) * e + g * q
    return e, torch.stack(attention)


def of_candidates(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(N, CANDIDATES, DIM, dtype=dtype)).requires_grad_()


def padding() -> Tensor:
    """From none to all but one of a row's places."""
    return torch.arange(CONTEXT) < torch.arange(N)[:, None] % CONTEXT


def of_users(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(N, DIM, dtype=dtype)).requires_grad_()


PLACE = torch.arange(N * CANDIDATES).view(N, CANDIDATES).remainder(5)  # one of six is never a candidate
CONTEXT_PLACE = torch.arange(N * CONTEXT).view(N, CONTEXT).remainder(5)


def of_items(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(6, DIM, dtype=dtype)).requires_grad_()


def plain_distances(user: Tensor, item: Tensor, weight: Tensor) -> Tensor:
    return torch.tanh(user[:, None] + item[PLACE]).square() @ weight


def of_weights(dtype: torch.dtype, scale: float) -> Tensor:
    return (torch.randn(DIM, DIM, dtype=dtype) / DIM**0.5).requires_grad_()


def of_bias(dtype: torch.dtype, scale: float) -> Tensor:
    return torch.randn(DIM, dtype=dtype).requires_grad_()


def fast_hops(number: int, *inputs: Tensor) -> Any:
    return hops(number, PLACE, CONTEXT_PLACE, padding(), inputs[:3], inputs[3:6], *inputs[6:])  # type: ignore[arg-type]


SHAPES = (of_users, of_items, of_items, of_users, of_items, of_items, of_weights, of_weights, of_weights, of_bias)
FUNCTIONS = {
    "tanh": (tanh, torch.tanh, (of_candidates,)),
    "squared distances": (
        lambda user, item, weight: squared_distances(user, item, PLACE, weight),
        plain_distances,
        (of_users, of_items, of_bias),
    ),
    **{
        f"{number} hops": (
            lambda *inputs, number=number: fast_hops(number, *inputs)[0],
            lambda *inputs, number=number: plain_hops(number, *inputs)[0],
            SHAPES,
        )
        for number in (1, 2, 3)
    },
}


def of_some(values: Tensor) -> Tensor:
    """As where a negative is not the hardest: some candidates of an instance, or none or all of them, count."""
    weights = torch.linspace(-1, 1, values.numel(), dtype=values.dtype).view_as(values).clone()
    weights[::2, 1] = 0
    weights[1, 1:] = 0
    weights[3] = 0
    return weights


def of_one(values: Tensor) -> Tensor:
    """No instance has a gradient for more than one of its candidates."""
    weights = torch.zeros_like(values)
    weights[0, 2] = weights[4, 0] = 1
    return weights


def gradients(output: Tensor, of: tuple[Tensor, ...], weights: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad((output * weights(output.detach())).sum(), of, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("weights", [torch.ones_like, of_some, of_one, torch.zeros_like])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("scale", [0.01, 1.0, 8.0])  # near 0, about 1, saturated
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_those_of_the_plain_expressions(
    name: str, dtype: torch.dtype, tolerance: float, scale: float, weights: Callable[[Tensor], Tensor], threads: int
) -> None:
    torch.manual_seed(0)
    fast, plain, shapes = FUNCTIONS[name]
    inputs = tuple(shape(dtype, scale) for shape in shapes)
    ours, theirs = fast(*inputs), plain(*inputs)
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    for of_ours, of_theirs in zip(gradients(ours, inputs, weights), gradients(theirs, inputs, weights), strict=True):
        rounding = tolerance * max(1.0, of_theirs.abs().max().item())  # of a sum, as large as its largest
        torch.testing.assert_close(of_ours, of_theirs, rtol=tolerance, atol=rounding)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_out_a_tanh_of_a_sum_is_right_still(dtype: torch.dtype) -> None:
    """Up to 43, where an exponential comes near the end of float32; the summands cancel to 0, or add up."""
    user = torch.linspace(-42, 42, DIM, dtype=dtype).expand(N, DIM)
    item = torch.stack([-user[0], user[0], 0 * user[0], 1 - user[0], user[0], user[0]])
    eye, ones = torch.eye(DIM, dtype=dtype), torch.ones(DIM, dtype=dtype)
    of_sdm = 2, *(user, item, item) * 2, 42 * eye, 42 * eye, eye, ones
    ours = squared_distances(user, item, PLACE, ones), *fast_hops(*of_sdm)
    theirs = plain_distances(user, item, ones), *plain_hops(*of_sdm)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5)  # a sum of 19, of summands rounded to 2e-6


def test_attention_is_the_softmax_over_what_is_no_padding() -> None:
    torch.manual_seed(0)
    inputs = [shape(torch.float64, 1.0) for shape in SHAPES]
    attention = fast_hops(3, *inputs)[1]
    torch.testing.assert_close(attention, plain_hops(3, *inputs)[1])
    assert not attention.requires_grad
    assert not attention[padding()[None, :, None].expand_as(attention)].any()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_input_that_is_not_contiguous_counts_by_its_values(name: str) -> None:
    fast, plain, shapes = FUNCTIONS[name]
    inputs = [shape(torch.float64, 1.0).detach() for shape in shapes]
    turned = [t.transpose(0, 1).contiguous().transpose(0, 1) if t.dim() > 1 else t for t in inputs]
    torch.testing.assert_close(fast(*turned), plain(*inputs))
    of_turned, of_plain = (
        gradients(function(*leaves), leaves, torch.ones_like)
        for function, leaves in (
            (fast, tuple(t.requires_grad_() for t in turned)),
            (plain, tuple(t.requires_grad_() for t in inputs)),
        )
    )
    for ours, theirs in zip(of_turned, of_plain, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_is_not_hidden(name: str) -> None:
    fast, plain, shapes = FUNCTIONS[name]
    for place in range(len(shapes)):
        inputs = [shape(torch.float32, 1.0).detach() for shape in shapes]
        inputs[place][..., 1] = torch.nan
        assert torch.equal(fast(*inputs).isnan(), plain(*inputs).isnan())


def test_a_gradient_of_nan_is_not_taken_for_none() -> None:
    inputs = [shape(torch.float32, 1.0) for shape in SHAPES]
    of_query = gradients(FUNCTIONS["2 hops"][0](*inputs), tuple(inputs), lambda e: torch.full_like(e, torch.nan))[0]
    assert of_query.isnan().all()
