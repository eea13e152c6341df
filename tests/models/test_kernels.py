"""The fused loops of SDP and SDM against the plain expressions they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from models import kernels
from models.kernels import attend, mix, tanh_of_sum

N, CANDIDATES, CONTEXT, DIM = 7, 3, 4, 19  # no multiple of a vector's width


def plain_tanh_of_sum(user: Tensor, item: Tensor) -> Tensor:
    return torch.tanh(user[:, None] + item)


def plain_attend(query: Tensor, output: Tensor, keys: Tensor, values: Tensor, is_padding: Tensor) -> Any:
    z = torch.tanh(query[:, :, None] + keys[:, None]).square().sum(-1)
    a = torch.softmax(-z.masked_fill(is_padding[:, None], torch.inf), dim=-1)
    return (a[..., None] * torch.tanh(output[:, :, None] + values[:, None]).square()).sum(2), a


def plain_mix(gate: Tensor, query: Tensor, e: Tensor) -> Tensor:
    g = torch.sigmoid(gate)
    return (1 - g) * e + g * query


def of_user(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(N, DIM, dtype=dtype)).requires_grad_()


def of_candidates(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(N, CANDIDATES, DIM, dtype=dtype)).requires_grad_()


def of_context(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(N, CONTEXT, DIM, dtype=dtype)).requires_grad_()


def padding() -> Tensor:
    """From none to all but one of a row's places."""
    return torch.arange(CONTEXT) < torch.arange(N)[:, None] % CONTEXT


FUNCTIONS = {
    "tanh_of_sum": (tanh_of_sum, plain_tanh_of_sum, (of_user, of_candidates)),
    "attend": (
        lambda *inputs: attend(*inputs, padding())[0],
        lambda *inputs: plain_attend(*inputs, padding())[0],
        (of_candidates, of_candidates, of_context, of_context),
    ),
    "mix": (mix, plain_mix, (of_candidates, of_candidates, of_candidates)),
}


def gradients(output: Tensor, of: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output).clone()
    weights[::2, 1] = 0  # as where a negative is not the hardest
    return torch.autograd.grad((output * weights).sum(), of)


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    before = torch.get_num_threads()
    monkeypatch.setattr(kernels, "_WORTH_A_THREAD", 1)
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 4e-6)])
@pytest.mark.parametrize("scale", [0.01, 1.0, 8.0])  # near 0, about 1, saturated
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_those_of_the_plain_expressions(
    name: str, dtype: torch.dtype, tolerance: float, scale: float, threads: int
) -> None:
    torch.manual_seed(0)
    fused, plain, shapes = FUNCTIONS[name]
    inputs = tuple(shape(dtype, scale) for shape in shapes)
    ours, theirs = fused(*inputs), plain(*inputs)
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    for of_ours, of_theirs in zip(gradients(ours, inputs), gradients(theirs, inputs), strict=True):
        torch.testing.assert_close(of_ours, of_theirs, rtol=tolerance, atol=tolerance)


def test_attention_is_the_softmax_over_what_is_no_padding() -> None:
    torch.manual_seed(0)
    inputs = [make(torch.float64, 1.0) for make in FUNCTIONS["attend"][2]]
    attention = attend(*inputs, padding())[1]
    torch.testing.assert_close(attention, plain_attend(*inputs, padding())[1])
    assert not attention.requires_grad
    assert not attention[padding()[:, None].expand_as(attention)].any()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_input_that_is_not_contiguous_counts_by_its_values(name: str) -> None:
    fused, plain, shapes = FUNCTIONS[name]
    inputs = [shape(torch.float64, 1.0).detach() for shape in shapes]
    turned = [tensor.transpose(0, 1).contiguous().transpose(0, 1) for tensor in inputs]
    torch.testing.assert_close(fused(*turned), plain(*inputs))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_is_not_hidden(name: str) -> None:
    fused, plain, shapes = FUNCTIONS[name]
    for place in range(len(shapes)):
        inputs = [shape(torch.float32, 1.0).detach() for shape in shapes]
        inputs[place][2, ..., 1] = torch.nan
        assert torch.equal(fused(*inputs).isnan(), plain(*inputs).isnan())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_another_device_takes_the_plain_expressions(name: str) -> None:
    fused, _, shapes = FUNCTIONS[name]
    shape_only = [shape(torch.float32, 1.0).detach().to("meta") for shape in shapes]
    with torch.device("meta"):  # no numbers, shapes only: what the compiled loops could not read
        assert fused(*shape_only).shape == (N, CANDIDATES, DIM)
