"""Compare the fast arithmetic of SDP with the PyTorch expressions that it replaces."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sdmr.models.kernels.autograd import compute_squared_distances, tanh

N, CANDIDATES, DIM = 7, 3, 19  # no multiple of a vector's width


def random_candidates(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(N, CANDIDATES, DIM, dtype=dtype)).requires_grad_()


def random_users(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(N, DIM, dtype=dtype)).requires_grad_()


ITEM_INDEX = torch.arange(N * CANDIDATES).view(N, CANDIDATES).remainder(5)  # one of six is never a candidate


def random_items(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(6, DIM, dtype=dtype)).requires_grad_()


def torch_distances(user: Tensor, item: Tensor, weight: Tensor) -> Tensor:
    return torch.tanh(user[:, None] + item[ITEM_INDEX]).square() @ weight


def random_bias(dtype: torch.dtype, scale: float) -> Tensor:
    return torch.randn(DIM, dtype=dtype).requires_grad_()


FUNCTIONS = {
    "tanh": (tanh, torch.tanh, (random_candidates,)),
    "squared distances": (
        lambda user, item, weight: compute_squared_distances(user, item, ITEM_INDEX, weight),
        torch_distances,
        (random_users, random_items, random_bias),
    ),
}


def some_candidates(values: Tensor) -> Tensor:
    """Weigh some candidates of an instance, none, or all of them."""
    weights = torch.linspace(-1, 1, values.numel(), dtype=values.dtype).view_as(values).clone()
    weights[::2, 1] = 0
    weights[1, 1:] = 0
    weights[3] = 0
    return weights


def one_candidate(values: Tensor) -> Tensor:
    """Weigh at most one candidate of each instance."""
    weights = torch.zeros_like(values)
    weights[0, 2] = weights[4, 0] = 1
    return weights


def gradients(output: Tensor, inputs: tuple[Tensor, ...], weights: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(
        (output * weights(output.detach())).sum(), inputs, allow_unused=True, materialize_grads=True
    )


@pytest.mark.parametrize("weights", [torch.ones_like, some_candidates, one_candidate, torch.zeros_like])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("scale", [0.01, 1.0, 8.0])  # near 0, about 1, saturated
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_those_of_pytorch(
    name: str, dtype: torch.dtype, tolerance: float, scale: float, weights: Callable[[Tensor], Tensor], threads: int
) -> None:
    torch.manual_seed(0)
    fast, reference, shapes = FUNCTIONS[name]
    inputs = tuple(shape(dtype, scale) for shape in shapes)
    ours, theirs = fast(*inputs), reference(*inputs)
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    for grad_ours, grad_theirs in zip(
        gradients(ours, inputs, weights), gradients(theirs, inputs, weights), strict=True
    ):
        rounding = tolerance * max(1.0, grad_theirs.abs().max().item())  # of a sum, as large as its largest
        torch.testing.assert_close(grad_ours, grad_theirs, rtol=tolerance, atol=rounding)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tanh_of_a_sum_is_right_for_large_summands(dtype: torch.dtype) -> None:
    """Try summands up to 43, where an exponential nears the limit of float32."""
    user = torch.linspace(-42, 42, DIM, dtype=dtype).expand(N, DIM)
    item = torch.stack([-user[0], user[0], 0 * user[0], 1 - user[0], user[0], user[0]])
    ones = torch.ones(DIM, dtype=dtype)
    ours, theirs = compute_squared_distances(user, item, ITEM_INDEX, ones), torch_distances(user, item, ones)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5)  # a sum of 19, of summands rounded to 2e-6


@pytest.mark.parametrize("name", FUNCTIONS)
def test_inputs_need_not_be_contiguous(name: str) -> None:
    fast, reference, shapes = FUNCTIONS[name]
    inputs = [shape(torch.float64, 1.0).detach() for shape in shapes]
    turned = [t.transpose(0, 1).contiguous().transpose(0, 1) if t.dim() > 1 else t for t in inputs]
    torch.testing.assert_close(fast(*turned), reference(*inputs))
    grad_turned, grad_contiguous = (
        gradients(function(*leaves), leaves, torch.ones_like)
        for function, leaves in (
            (fast, tuple(t.requires_grad_() for t in turned)),
            (reference, tuple(t.requires_grad_() for t in inputs)),
        )
    )
    for ours, theirs in zip(grad_turned, grad_contiguous, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_stays_nan(name: str) -> None:
    fast, reference, shapes = FUNCTIONS[name]
    for position in range(len(shapes)):
        inputs = [shape(torch.float32, 1.0).detach() for shape in shapes]
        inputs[position][..., 1] = torch.nan
        assert torch.equal(fast(*inputs).isnan(), reference(*inputs).isnan())
