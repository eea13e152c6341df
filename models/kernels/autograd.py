"""Compute SDP's distances and their gradients on the CPU faster than PyTorch's operations.

Three savings:
- A loop that has e^2x of the summands computes the tanh of a sum with one division, and never stores it.
- Only candidates with a nonzero gradient take part in the backward pass. A BPR loss on the hardest of four negatives
  leaves two of five.
- The distance is one autograd function, in place of ten small ones.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdmr.harness.kernels import run_loop
from sdmr.models.kernels import loops


def tanh(x: Tensor) -> Tensor:
    """Compute tanh(x) = 2σ(2x) − 1: PyTorch's sigmoid is faster than its tanh.

    The absolute error in float32 is below 3e-7.
    """
    return _Tanh.apply(x)


def compute_squared_distances(user: Tensor, item: Tensor, item_index: Tensor, weight: Tensor) -> Tensor:
    """Compute w_oᵀ tanh²(user + item[item_index]): the paper's SDP with one layer, without b_o.

    Args:
        user: W¹'s part for the users, [B, d].
        item: W¹'s part for the distinct candidates, [n, d].
        item_index: [B, C], the row of each candidate in `item`.
        weight: w_o, [d].

    Returns:
        [B, C].
    """
    return _SquaredDistances.apply(user, item, item_index, weight)


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        result = (2 * x).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return torch.ops.aten.tanh_backward(gradient, *ctx.saved_tensors)


class _SquaredDistances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, user: Tensor, item: Tensor, item_index: Tensor, weight: Tensor) -> Tensor:
        inputs = exponential(user), item_index, exponential(item), weight
        ctx.save_for_backward(*inputs)
        (distances,) = run_loop(loops.distances, item_index.numel() * len(weight), *inputs[:2], shared=inputs[2:])
        return distances

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        user, item_index, *shared = ctx.saved_tensors
        inputs = user, item_index, gradient
        grad_user, grad_item, grad_weight = run_loop(loops.distances_backward, 0, *inputs, shared=shared)
        return grad_user, grad_item, None, grad_weight


def exponential(x: Tensor) -> Tensor:
    """Compute e^2x.

    With it, a loop has tanh(x + y) = 1 − 2 / (1 + e^2x e^2y), as exact as the summands are. The bounds prevent a
    product ∞ · 0; they matter only beyond |x| = 43. NumPy's exp takes half as long as PyTorch's.
    """
    e = 2 * x.detach().numpy()
    return torch.from_numpy(np.exp(np.clip(e, -86, 86, out=e), out=e))
