"""Compute SDP's distances, SDM's hops and their gradients on the CPU faster than PyTorch's operations.

Three savings:
- A loop that has e^2x of the summands computes the tanh of a sum with one division, and never stores it. SDM's
  attention has one tanh for each candidate, context item and dimension.
- Only candidates with a nonzero gradient take part in the backward pass. A BPR loss on the hardest of four negatives
  leaves two of five.
- SDP's distance and all of SDM's hops are one autograd function each, in place of ten and a hundred small ones.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from sdmr.harness.kernels import run_loop, scatter_sum
from sdmr.models.kernels import loops


def tanh(x: Tensor) -> Tensor:
    """Compute tanh(x) = 2σ(2x) − 1: PyTorch's sigmoid is faster than its tanh.

    The absolute error in float32 is below 3e-7.
    """
    return _Tanh.apply(x)


def compute_hops(
    n_hops: int,
    item_index: Tensor,
    context_index: Tensor,
    is_padding: Tensor,
    inputs: tuple[Tensor, Tensor, Tensor],
    outputs: tuple[Tensor, Tensor, Tensor],
    weights: tuple[Tensor, Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Compute all hops of `sdmr.models.sdm.SDM` as in the paper.

    Args:
        n_hops: H ≥ 1.
        item_index: [B, C], the row of each candidate in `inputs[1]` and `outputs[1]`.
        context_index: [B, s], the row of each context item in `inputs[2]` and `outputs[2]`.
        is_padding: [B, s]; at least one entry of each row is False.
        inputs: W_a's part for the users [B, d], W_a's for the distinct candidates [n, d], and W_c's for the distinct
            context items [m, d].
        outputs: The same of W_b, W_b and W_d.
        weights: The halves of W_c and W_d for the query [d, d], W_g [d, d] and b_g [d].

    Returns:
        e^H [B, C, d], and a^h of each hop [H, B, C, s], which is not differentiable.
    """
    return _Hops.apply(n_hops, item_index, context_index, is_padding, *inputs, *outputs, *weights)


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
        inputs = _exponential(user), item_index, _exponential(item), weight
        ctx.save_for_backward(*inputs)
        (distances,) = run_loop(loops.distances, item_index.numel() * len(weight), *inputs[:2], shared=inputs[2:])
        return distances

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        user, item_index, *shared = ctx.saved_tensors
        inputs = user, item_index, gradient
        grad_user, grad_item, grad_weight = run_loop(loops.distances_backward, 0, *inputs, shared=shared)
        return grad_user, grad_item, None, grad_weight


class _Hops(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, n_hops: int, item_index: Tensor, context_index: Tensor, is_padding: Tensor, *inputs: Tensor
    ) -> Any:
        user_in, item_in, keys, user_out, item_out, values, c_query, d_query, gate, gate_bias = inputs
        exp_item_in, exp_item_out = _exponential(item_in), _exponential(item_out)
        work = item_index.numel() * user_in.shape[1]
        (q,) = run_loop(loops.tanh_of_sums, work, _exponential(user_in), item_index, shared=[exp_item_in])  # Eq. 7
        (p,) = run_loop(loops.tanh_of_sums, work, _exponential(user_out), item_index, shared=[exp_item_out])  # Eq. 8
        output = _exponential(linear(p, d_query))
        memory = output, _exponential(keys)[context_index], _exponential(values)[context_index], is_padding
        saved_hops = []
        for hop in range(n_hops):
            query = _exponential(linear(q, c_query))
            e, attention = run_loop(loops.attend, q.numel() * context_index.shape[1], query, *memory)  # Eq. 9-13, 16
            saved_hops.append([q, query, attention])
            if hop + 1 < n_hops:
                g = linear(q, gate, gate_bias).sigmoid_()  # Eq. 14
                saved_hops[-1] += [g, e]  # not e^H: an output that is held here is never freed
                q = torch.lerp(e, q, g)  # Eq. 15
        ctx.indices, ctx.memory, ctx.p, ctx.saved_hops = (item_index, context_index), memory, p, saved_hops
        ctx.weights, ctx.item, ctx.n_keys = inputs[6:], item_in, len(keys)
        all_attention = torch.stack([attention for _, _, attention, *_ in saved_hops])
        ctx.mark_non_differentiable(all_attention)
        return e, all_attention

    @staticmethod
    def backward(ctx: Any, grad_e: Tensor, _: Tensor) -> Any:
        (item_index, context_index), p, (c_query, d_query, gate, gate_bias) = ctx.indices, ctx.p, ctx.weights
        active = _find_active(grad_e)  # [B, K]; from here on, there are no other candidates
        rows = (active + item_index.shape[1] * torch.arange(len(item_index))[:, None]).flatten()
        grad_e = _take_rows(grad_e, rows).view(*active.shape, -1)
        grad_q, grad_output = torch.zeros_like(grad_e), torch.zeros_like(grad_e)
        grad_keys, grad_values = (grad_e.new_zeros(*context_index.shape, grad_e.shape[2]) for _ in range(2))
        grad_c_query, grad_gate, grad_gate_bias = map(torch.zeros_like, (c_query, gate, gate_bias))
        for q, query, attention, *gated in reversed(ctx.saved_hops):
            q_active = _take_rows(q, rows)
            if gated:
                grad_g, grad_q, grad_e = run_loop(loops.gate_backward, 0, q, *gated, active, grad_q)
                _add_linear_gradients(gate, q_active, grad_g, grad_q, grad_gate)
                grad_gate_bias += grad_g.sum((0, 1))
            inputs = (query, *ctx.memory, attention, active, grad_e, grad_output, grad_keys, grad_values)
            (grad_query,) = run_loop(loops.attend_backward, grad_e.numel() * context_index.shape[1], *inputs)
            _add_linear_gradients(c_query, q_active, grad_query, grad_q, grad_c_query)
        grad_p, grad_d_query = torch.zeros_like(grad_q), torch.zeros_like(d_query)
        _add_linear_gradients(d_query, _take_rows(p, rows), grad_output, grad_p, grad_d_query)
        queries = ((ctx.saved_hops[0][0], grad_q), (p, grad_p))
        grad_in, grad_out = (
            run_loop(loops.tanh_of_sums_backward, 0, x, item_index, active, grad_x, shared=[ctx.item])
            for x, grad_x in queries
        )
        grad_keys, grad_values = (scatter_sum(context_index, x, ctx.n_keys) for x in (grad_keys, grad_values))
        # A single hop does not use the gate.
        grad_gates = (grad_gate, grad_gate_bias) if len(ctx.saved_hops) > 1 else (None, None)
        grad_inputs = *grad_in, grad_keys, *grad_out, grad_values
        return None, None, None, None, *grad_inputs, grad_c_query, grad_d_query, *grad_gates


def _find_active(gradient: Tensor) -> Tensor:
    """Find the candidates whose gradient is not zero.

    Args:
        gradient: [B, C, d].

    Returns:
        [B, K] indices of K distinct candidates of each instance; K is the largest number that an instance needs.
    """
    is_active = gradient.ne(0).any(2).to(torch.uint8)  # NaN included; PyTorch sorts it faster than bool
    n_active = max(1, int(is_active.sum(1).max()))
    return is_active.topk(n_active, dim=1, sorted=False).indices


def _take_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Take rows [B·K, d] of x [B, C, d]."""
    return x.flatten(0, 1).index_select(0, rows)


def _add_linear_gradients(weight: Tensor, x: Tensor, grad_y: Tensor, grad_x: Tensor, grad_weight: Tensor) -> None:
    """Add the gradients of y = W x to grad_x [B, K, d] and grad_weight."""
    grad_y = grad_y.flatten(0, 1)
    grad_x.flatten(0, 1).addmm_(grad_y, weight)
    grad_weight.addmm_(grad_y.T, x)


def _exponential(x: Tensor) -> Tensor:
    """Compute e^2x.

    With it, a loop has tanh(x + y) = 1 − 2 / (1 + e^2x e^2y), as exact as the summands are. The bounds prevent a
    product ∞ · 0; they matter only beyond |x| = 43. NumPy's exp takes half as long as PyTorch's.
    """
    e = 2 * x.detach().numpy()
    return torch.from_numpy(np.exp(np.clip(e, -86, 86, out=e), out=e))
