"""The fast arithmetic of SDP and SDM against the plain expressions it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models.kernels import hops, squared_distances, tanh

N, CANDIDATES, CONTEXT, DIM = 7, 3, 4, 19  # no multiple of a vector's width


def plain_hops(number: int, q: Tensor, output: Tensor, keys: Tensor, values: Tensor, *others: Tensor) -> Any:
    is_padding, c_query, gate, gate_bias = others
    attention = []
    for _ in range(number):
        z = torch.tanh((q @ c_query.T)[:, :, None] + keys[:, None]).square().sum(-1)
        attention.append(torch.softmax(-z.masked_fill(is_padding[:, None], torch.inf), dim=-1))
        e = (attention[-1][..., None] * torch.tanh(output[:, :, None] + values[:, None]).square()).sum(2)
        g = torch.sigmoid(q @ gate.T + gate_bias)
        q = (1 - g) * e + g * q
    return e, torch.stack(attention)


def of_candidates(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(N, CANDIDATES, DIM, dtype=dtype)).requires_grad_()


def of_context(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(N, CONTEXT, DIM, dtype=dtype)).requires_grad_()


def padding() -> Tensor:
    """From none to all but one of a row's places."""
    return torch.arange(CONTEXT) < torch.arange(N)[:, None] % CONTEXT


def of_users(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(N, DIM, dtype=dtype)).requires_grad_()


PLACE = torch.arange(N * CANDIDATES).view(N, CANDIDATES).remainder(5)  # one of six is never a candidate


def of_items(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(6, DIM, dtype=dtype)).requires_grad_()


def plain_distances(user: Tensor, item: Tensor, weight: Tensor) -> Tensor:
    return torch.tanh(user[:, None] + item[PLACE]).square() @ weight


def of_weights(dtype: torch.dtype, scale: float) -> Tensor:
    return (torch.randn(DIM, DIM, dtype=dtype) / DIM**0.5).requires_grad_()


def of_bias(dtype: torch.dtype, scale: float) -> Tensor:
    return torch.randn(DIM, dtype=dtype).requires_grad_()


def of_hops(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    """The function of what has a gradient."""
    return lambda *inputs: function(number, *inputs[:4], padding(), *inputs[4:])


SHAPES = (of_candidates, of_candidates, of_context, of_context, of_weights, of_weights, of_bias)
FUNCTIONS = {
    "tanh": (tanh, torch.tanh, (of_candidates,)),
    "squared distances": (
        lambda user, item, weight: squared_distances(user, item, PLACE, weight),
        plain_distances,
        (of_users, of_items, of_bias),
    ),
    **{
        f"{number} hops": (
            lambda *inputs, number=number: of_hops(hops, number)(*inputs)[0],
            lambda *inputs, number=number: of_hops(plain_hops, number)(*inputs)[0],
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
    """Up to 43, where an exponential comes near the end of float32; the query and a key cancel to 0, or add up."""
    query = torch.linspace(-43, 43, DIM, dtype=dtype).expand(N, CANDIDATES, DIM)
    keys = torch.stack([-query[:, 0], query[:, 0], 0 * query[:, 0], 1 - query[:, 0]], dim=1)
    nothing = torch.zeros(N, CONTEXT, dtype=torch.bool)
    eye, zero = torch.eye(DIM, dtype=dtype), torch.zeros(DIM, dtype=dtype)
    inputs = (1, query, query, keys, keys, nothing, eye, eye, zero)
    for ours, theirs in zip(hops(*inputs), plain_hops(*inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5)  # a sum of 19, of summands rounded to 2e-6


def test_attention_is_the_softmax_over_what_is_no_padding() -> None:
    torch.manual_seed(0)
    inputs = [shape(torch.float64, 1.0) for shape in SHAPES]
    attention = of_hops(hops, 3)(*inputs)[1]
    torch.testing.assert_close(attention, of_hops(plain_hops, 3)(*inputs)[1])
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
        inputs[place][(2, ..., 1) if inputs[place].dim() > 2 else (..., 1)] = torch.nan
        assert torch.equal(fast(*inputs).isnan(), plain(*inputs).isnan())


def test_a_gradient_of_nan_is_not_taken_for_none() -> None:
    inputs = [shape(torch.float32, 1.0) for shape in SHAPES]
    of_query = gradients(FUNCTIONS["2 hops"][0](*inputs), tuple(inputs), lambda e: torch.full_like(e, torch.nan))[0]
    assert of_query.isnan().all()
