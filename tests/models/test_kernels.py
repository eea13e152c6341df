"""Compare the fast arithmetic of SDP and SDM with the PyTorch expressions that it replaces."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sdmr.models.kernels.autograd import compute_hops, compute_squared_distances, tanh

N, CANDIDATES, CONTEXT, DIM = 7, 3, 4, 19  # no multiple of a vector's width


def torch_hops(
    n_hops: int, user_in: Tensor, item_in: Tensor, keys: Tensor, user_out: Tensor, item_out: Tensor, *others: Tensor
) -> Any:
    values, c_query, d_query, gate, gate_bias = others
    q, p = torch.tanh(user_in[:, None] + item_in[ITEM_INDEX]), torch.tanh(user_out[:, None] + item_out[ITEM_INDEX])
    keys, values, output = keys[CONTEXT_INDEX], values[CONTEXT_INDEX], p @ d_query.T
    attention = []
    for _ in range(n_hops):
        z = torch.tanh((q @ c_query.T)[:, :, None] + keys[:, None]).square().sum(-1)
        attention.append(torch.softmax(-z.masked_fill(padding()[:, None], torch.inf), dim=-1))
        e = (attention[-1][..., None] * torch.tanh(output[:, :, None] + values[:, None]).square()).sum(2)
        g = torch.sigmoid(q @ gate.T + gate_bias)
        q = (1 - g) * e + g * q
    return e, torch.stack(attention)


def random_candidates(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(N, CANDIDATES, DIM, dtype=dtype)).requires_grad_()


def padding() -> Tensor:
    """Mark as padding from none to all but one of a row's entries."""
    return torch.arange(CONTEXT) < torch.arange(N)[:, None] % CONTEXT


def random_users(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(N, DIM, dtype=dtype)).requires_grad_()


ITEM_INDEX = torch.arange(N * CANDIDATES).view(N, CANDIDATES).remainder(5)  # one of six is never a candidate
CONTEXT_INDEX = torch.arange(N * CONTEXT).view(N, CONTEXT).remainder(5)


def random_items(dtype: torch.dtype, scale: float) -> Tensor:
    return (scale * torch.randn(6, DIM, dtype=dtype)).requires_grad_()


def torch_distances(user: Tensor, item: Tensor, weight: Tensor) -> Tensor:
    return torch.tanh(user[:, None] + item[ITEM_INDEX]).square() @ weight


def random_weights(dtype: torch.dtype, scale: float) -> Tensor:
    return (torch.randn(DIM, DIM, dtype=dtype) / DIM**0.5).requires_grad_()


def random_bias(dtype: torch.dtype, scale: float) -> Tensor:
    return torch.randn(DIM, dtype=dtype).requires_grad_()


def fast_hops(n_hops: int, *inputs: Tensor) -> Any:
    return compute_hops(n_hops, ITEM_INDEX, CONTEXT_INDEX, padding(), inputs[:3], inputs[3:6], inputs[6:])  # type: ignore[arg-type]


SHAPES = (
    random_users,
    random_items,
    random_items,
    random_users,
    random_items,
    random_items,
    random_weights,
    random_weights,
    random_weights,
    random_bias,
)
FUNCTIONS = {
    "tanh": (tanh, torch.tanh, (random_candidates,)),
    "squared distances": (
        lambda user, item, weight: compute_squared_distances(user, item, ITEM_INDEX, weight),
        torch_distances,
        (random_users, random_items, random_bias),
    ),
    **{
        f"{n_hops} hops": (
            lambda *inputs, n_hops=n_hops: fast_hops(n_hops, *inputs)[0],
            lambda *inputs, n_hops=n_hops: torch_hops(n_hops, *inputs)[0],
            SHAPES,
        )
        for n_hops in (1, 2, 3)
    },
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
    eye, ones = torch.eye(DIM, dtype=dtype), torch.ones(DIM, dtype=dtype)
    sdm_inputs = 2, *(user, item, item) * 2, 42 * eye, 42 * eye, eye, ones
    ours = compute_squared_distances(user, item, ITEM_INDEX, ones), *fast_hops(*sdm_inputs)
    theirs = torch_distances(user, item, ones), *torch_hops(*sdm_inputs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5)  # a sum of 19, of summands rounded to 2e-6


def test_attention_is_the_softmax_over_the_real_context_items() -> None:
    torch.manual_seed(0)
    inputs = [shape(torch.float64, 1.0) for shape in SHAPES]
    attention = fast_hops(3, *inputs)[1]
    torch.testing.assert_close(attention, torch_hops(3, *inputs)[1])
    assert not attention.requires_grad
    assert not attention[padding()[None, :, None].expand_as(attention)].any()


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


def test_a_gradient_of_nan_counts_as_nonzero() -> None:
    inputs = [shape(torch.float32, 1.0) for shape in SHAPES]
    grad_query = gradients(FUNCTIONS["2 hops"][0](*inputs), tuple(inputs), lambda e: torch.full_like(e, torch.nan))[0]
    assert grad_query.isnan().all()
