"""SDP's and SDM's arithmetic on the CPU: what PyTorch's operations and gradients compute, in less time.

Three savings. With the exponentials of its summands at hand, a tanh of a sum costs one division, and is never stored:
SDM's attention has one for each candidate, context item and dimension. The gradient is computed for those candidates
alone that have one: of a BPR loss with the hardest of four negatives, two in five. And SDP's distance and SDM's hops
are one function each, where PyTorch would keep account of some ten and some hundred small ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from harness.loops import call, compiled


def tanh(x: Tensor) -> Tensor:
    """tanh(x) = 2σ(2x) − 1: PyTorch's sigmoid is faster than its tanh. Absolute error in float32 below 3e-7."""
    result: Tensor = _Tanh.apply(x)
    return result


def hops(
    number: int,
    q: Tensor,
    output: Tensor,
    keys: Tensor,
    values: Tensor,
    is_padding: Tensor,
    c_query: Tensor,
    gate: Tensor,
    gate_bias: Tensor,
) -> tuple[Tensor, Tensor]:
    """The hops of `models.sdm.SDM` as the paper has them: e^H [B, C, d], and a^h of each hop, [H, B, C, s].

    From q¹ and W_d's part of p, `output` (both [B, C, d]), W_c's and W_d's parts of the context items, `keys` and
    `values` [B, s, d], and is_padding [B, s], which must not be all of a row. The weights are W_c's half for q, W_g
    (both [d, d]) and b_g [d]. The attention is not differentiable.
    """
    e, attention = _Hops.apply(number, q, output, keys, values, is_padding, c_query, gate, gate_bias)
    return e, attention


def squared_distances(user: Tensor, item: Tensor, place: Tensor, weight: Tensor) -> Tensor:
    """w_oᵀ tanh²(user + item[place]) [B, C]: `models.sdp.SDP` with one layer as the paper has it, less b_o.

    From W¹'s parts of the users [B, d] and of the distinct candidates [n, d], the candidates' places among these
    [B, C], and w_o [d].
    """
    distances: Tensor = _SquaredDistances.apply(user, item, place, weight)
    return distances


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
    def forward(ctx: Any, user: Tensor, item: Tensor, place: Tensor, weight: Tensor) -> Tensor:
        inputs = _exponential(user), place, _exponential(item), weight
        ctx.save_for_backward(*inputs)
        (distances,) = call(_distances, place.numel() * len(weight), *inputs[:2], shared=inputs[2:])
        return distances

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        user, place, *shared = ctx.saved_tensors
        of_user, of_item, of_weight = call(_distances_backward, 0, user, place, gradient, shared=shared)
        return of_user, of_item, None, of_weight


class _Hops(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, number: int, q: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        output, keys, values, is_padding, c_query, gate, gate_bias = inputs
        ctx.context = *map(_exponential, (output, keys, values)), is_padding
        ctx.weights, ctx.hops, ctx.mixed = (c_query, gate), [], []
        for hop in range(number):
            query = _exponential(linear(q, c_query))
            e, attention = call(_attend, q.numel() * keys.shape[1], query, *ctx.context)  # Eq. 9-13, 16
            ctx.hops.append((q, query, attention))
            if hop + 1 < number:
                g = linear(q, gate, gate_bias).sigmoid_()  # Eq. 14
                ctx.mixed.append((g, q, e))
                q = torch.lerp(e, q, g)  # Eq. 15
        all_attention = torch.stack([attention for _, _, attention in ctx.hops])
        ctx.mark_non_differentiable(all_attention)
        return e, all_attention

    @staticmethod
    def backward(ctx: Any, of_e: Tensor, _: Tensor) -> Any:
        (output, keys, values, _), (c_query, gate) = ctx.context, ctx.weights
        shape, dim = output.shape, output.shape[2]
        chosen = _with_gradient(of_e)  # [B, K]; from here on, there are no other candidates
        rows = (chosen + shape[1] * torch.arange(shape[0])[:, None]).flatten()
        of_e = _chosen(of_e, rows).view(shape[0], -1, dim)
        of_output, of_keys, of_values = torch.zeros_like(of_e), torch.zeros_like(keys), torch.zeros_like(values)
        of_c_query, of_gate, of_gate_bias = torch.zeros_like(c_query), torch.zeros_like(gate), gate.new_zeros(dim)
        of_q = torch.zeros_like(of_e)
        for hop, (q, query, attention) in reversed(list(enumerate(ctx.hops))):
            q_chosen = _chosen(q, rows)
            if hop + 1 < len(ctx.hops):
                of_g, of_q, of_e = call(_mix_backward, 0, *ctx.mixed[hop], chosen, of_q)
                of_q.view(-1, dim).addmm_(of_g.view(-1, dim), gate)
                of_gate.addmm_(of_g.view(-1, dim).T, q_chosen)
                of_gate_bias += of_g.sum((0, 1))
            inputs = (query, *ctx.context, attention, chosen, of_e, of_output, of_keys, of_values)
            (of_query,) = call(_attend_backward, of_e.numel() * keys.shape[1], *inputs)
            of_q.view(-1, dim).addmm_(of_query.view(-1, dim), c_query)
            of_c_query.addmm_(of_query.view(-1, dim).T, q_chosen)
        of_candidates = (
            torch.zeros_like(output).view(-1, dim).index_copy_(0, rows, of_.view(-1, dim)).view(shape)
            for of_ in (of_q, of_output)
        )
        of_gates = (of_gate, of_gate_bias) if ctx.mixed else (None, None)  # which a single hop does not use
        return None, *of_candidates, of_keys, of_values, None, of_c_query, *of_gates


def _with_gradient(gradient: Tensor) -> Tensor:
    """Indices [B, K] of K distinct candidates of each instance, among them all whose gradient [B, C, d] is not zero."""
    has = gradient.abs().amax(2).ne(0)  # NaN included; `any` takes five times as long
    most = max(1, int(has.sum(1).max()))
    return has.to(torch.uint8).topk(most, dim=1, sorted=False).indices


def _chosen(x: Tensor, rows: Tensor) -> Tensor:
    """Rows [B·K, d] of x [B, C, d]."""
    return x.flatten(0, 1).index_select(0, rows)


def _exponential(x: Tensor) -> Tensor:
    """e^2x, by which a loop has tanh(x + y) = 1 − 2 / (1 + e^2x e^2y), as exact as its summands are.

    The bounds keep a product from being ∞ · 0, and matter only beyond |x| = 43. Contiguous, whatever x is.
    """
    return (2 * x.contiguous()).clamp_(-86, 86).exp_()


# Loops over indices, not over rows: only these are vectorised. `user`, `item`, `query`, `output`, `keys` and `values`
# hold exponentials.


@compiled
def _distances(user, place, item, weight):  # type: ignore[no-untyped-def]
    n, candidates = place.shape
    distances = np.empty((n, candidates), item.dtype)
    one, two = item.dtype.type(1), item.dtype.type(2)
    for b in range(n):
        for c in range(candidates):
            row, total = place[b, c], item.dtype.type(0)
            for i in range(len(weight)):
                t = one - two / (one + user[b, i] * item[row, i])
                total += weight[i] * (t * t)
            distances[b, c] = total
    return (distances,)


@compiled
def _distances_backward(user, place, gradient, item, weight):  # type: ignore[no-untyped-def]
    of_user, of_item, of_weight = np.zeros_like(user), np.zeros_like(item), np.zeros_like(weight)
    one, two = item.dtype.type(1), item.dtype.type(2)
    for b in range(place.shape[0]):
        for c in range(place.shape[1]):
            row, of_distance = place[b, c], gradient[b, c]
            if of_distance == 0:
                continue
            twice = of_distance + of_distance
            for i in range(len(weight)):
                t = one - two / (one + user[b, i] * item[row, i])
                of_weight[i] += of_distance * (t * t)
                g = twice * weight[i] * (t - t * t * t)
                of_item[row, i] += g
                of_user[b, i] += g
    return of_user, of_item, of_weight


@compiled
def _attend(query, output, keys, values, is_padding):  # type: ignore[no-untyped-def]
    n, candidates, dim = query.shape
    context = keys.shape[1]
    e, attention = np.zeros_like(query), np.zeros((n, candidates, context), query.dtype)
    one, two = query.dtype.type(1), query.dtype.type(2)
    for b in range(n):
        for c in range(candidates):
            a = attention[b, c]
            nearest = a.dtype.type(np.inf)
            for j in range(context):
                if is_padding[b, j]:
                    continue
                z = a.dtype.type(0)
                for i in range(dim):
                    t = one - two / (one + query[b, c, i] * keys[b, j, i])
                    z += t * t
                a[j] = z
                nearest = min(nearest, z)
            total = a.dtype.type(0)
            for j in range(context):
                if not is_padding[b, j]:
                    a[j] = np.exp(nearest - a[j])
                    total += a[j]
            for j in range(context):
                if is_padding[b, j]:
                    continue
                a[j] /= total
                weight = a[j]
                for i in range(dim):
                    t = one - two / (one + output[b, c, i] * values[b, j, i])
                    e[b, c, i] += weight * (t * t)
    return e, attention


@compiled
def _attend_backward(  # type: ignore[no-untyped-def]
    query, output, keys, values, is_padding, attention, chosen, of_e, of_output, of_keys, of_values
):
    """of_x is the loss's gradient by x. Adds to the last three; returns the query's.

    With t = tanh(x): d t²/dx = 2 (t − t³). With a = softmax(−z): of_z_j = a_j (Σ_k a_k of_a_k − of_a_j).
    """
    n, number, dim = of_e.shape
    context = keys.shape[1]
    of_query = np.zeros_like(of_e)
    of_attention, one, two = np.zeros(context, query.dtype), query.dtype.type(1), query.dtype.type(2)
    for b in range(n):
        for k in range(number):
            c = chosen[b, k]
            mean = of_attention.dtype.type(0)
            for j in range(context):
                if is_padding[b, j]:
                    continue
                a = attention[b, c, j]
                twice = a + a
                of_a = of_attention.dtype.type(0)
                for i in range(dim):
                    t = one - two / (one + output[b, c, i] * values[b, j, i])
                    of_a += of_e[b, k, i] * (t * t)
                    g = twice * of_e[b, k, i] * (t - t * t * t)
                    of_output[b, k, i] += g
                    of_values[b, j, i] += g
                of_attention[j] = of_a
                mean += a * of_a
            for j in range(context):
                if is_padding[b, j]:
                    continue
                of_z = attention[b, c, j] * (mean - of_attention[j])
                twice = of_z + of_z
                for i in range(dim):
                    t = one - two / (one + query[b, c, i] * keys[b, j, i])
                    g = twice * (t - t * t * t)
                    of_query[b, k, i] += g
                    of_keys[b, j, i] += g
    return (of_query,)


@compiled
def _mix_backward(g, q, e, chosen, of_mixed):  # type: ignore[no-untyped-def]
    of_gate, of_q, of_e = np.empty_like(of_mixed), np.empty_like(of_mixed), np.empty_like(of_mixed)
    for b in range(of_mixed.shape[0]):
        for k in range(of_mixed.shape[1]):
            c = chosen[b, k]
            for i in range(of_mixed.shape[2]):
                of_q[b, k, i] = of_mixed[b, k, i] * g[b, c, i]
                of_e[b, k, i] = of_mixed[b, k, i] - of_q[b, k, i]
                of_gate[b, k, i] = of_e[b, k, i] * g[b, c, i] * (q[b, c, i] - e[b, c, i])
    return of_gate, of_q, of_e
