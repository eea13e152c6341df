"""SDM's fused loops against the plain expressions they stand for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from models.kernels import attended_squares, squared_norms

N, CANDIDATES, CONTEXT, DIM = 7, 3, 4, 19  # no multiple of a vector's width


def plain_norms(query: Tensor, keys: Tensor) -> Tensor:
    return torch.tanh(query[:, :, None] + keys[:, None]).square().sum(-1)


def plain_attended(attention: Tensor, query: Tensor, values: Tensor) -> Tensor:
    return (attention[..., None] * torch.tanh(query[:, :, None] + values[:, None]).square()).sum(2)


def inputs(dtype: torch.dtype, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Attention, query and keys (or values), to be differentiated."""
    torch.manual_seed(0)
    shapes = (N, CANDIDATES, CONTEXT), (N, CANDIDATES, DIM), (N, CONTEXT, DIM)
    attention, query, keys = (torch.randn(shape, dtype=dtype) for shape in shapes)
    return attention.requires_grad_(), query.mul(scale).requires_grad_(), keys.mul(scale).requires_grad_()


def gradients(output: Tensor, of: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return torch.autograd.grad((output * weights).sum(), of)


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize("scale", [0.01, 1.0, 8.0])  # near 0, about 1, saturated
def test_values_and_gradients_are_those_of_the_plain_expressions(
    dtype: torch.dtype, tolerance: float, scale: float, threads: int
) -> None:
    attention, query, keys = inputs(dtype, scale)
    pairs = [
        (squared_norms(query, keys), plain_norms(query, keys), (query, keys)),
        (attended_squares(attention, query, keys), plain_attended(attention, query, keys), (attention, query, keys)),
    ]
    for fused, plain, of in pairs:
        torch.testing.assert_close(fused, plain, rtol=tolerance, atol=tolerance)
        for ours, theirs in zip(gradients(fused, of), gradients(plain, of), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_an_input_that_is_not_contiguous_counts_by_its_values(threads: int) -> None:
    _, query, keys = inputs(torch.float64)
    turned = query.detach().transpose(0, 1).contiguous().transpose(0, 1)
    torch.testing.assert_close(squared_norms(turned, keys), plain_norms(query, keys))


def test_nan_is_not_hidden() -> None:
    attention, query, keys = (tensor.detach() for tensor in inputs(torch.float32))
    query[2, 1, 5] = torch.nan
    assert squared_norms(query, keys).isnan().sum() == CONTEXT
    assert attended_squares(attention, query, keys).isnan().sum() == 1
