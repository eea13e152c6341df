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

from sdmr.harness.loops import call, compiled
from sdmr.harness.rows import sum_at


def tanh(x: Tensor) -> Tensor:
    """tanh(x) = 2σ(2x) − 1: PyTorch's sigmoid is faster than its tanh. Absolute error in float32 below 3e-7."""
    result: Tensor = _Tanh.apply(x)
    return result


def hops(
    number: int,
    place: Tensor,
    context: Tensor,
    is_padding: Tensor,
    inputs: tuple[Tensor, Tensor, Tensor],
    outputs: tuple[Tensor, Tensor, Tensor],
    c_query: Tensor,
    d_query: Tensor,
    gate: Tensor,
    gate_bias: Tensor,
) -> tuple[Tensor, Tensor]:
    """The hops of `sdmr.models.sdm.SDM` as the paper has them: e^H [B, C, d], and a^h of each hop, [H, B, C, s].

    `inputs` are W_a's parts of the users [B, d] and of the distinct candidates [n, d], and W_c's of the distinct
    context items [m, d]; `outputs` W_b's, W_b's and W_d's. `place` [B, C] and `context` [B, s] have the rows of the
    candidates and of the context items in them; is_padding [B, s] must not be all of a row. The weights are W_c's and
    W_d's halves for the queries, W_g (each [d, d]) and b_g [d]. The attention is not differentiable.
    """
    weights = c_query, d_query, gate, gate_bias
    e, attention = _Hops.apply(number, place, context, is_padding, *inputs, *outputs, *weights)
    return e, attention


def squared_distances(user: Tensor, item: Tensor, place: Tensor, weight: Tensor) -> Tensor:
    """w_oᵀ tanh²(user + item[place]) [B, C]: `sdmr.models.sdp.SDP` with one layer as the paper has it, less b_o.

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
    def forward(ctx: Any, number: int, place: Tensor, context: Tensor, is_padding: Tensor, *inputs: Tensor) -> Any:
        user_in, item_in, keys, user_out, item_out, values, c_query, d_query, gate, gate_bias = inputs
        work = place.numel() * user_in.shape[1]
        (q,) = call(_tanh_of_sums, work, _exponential(user_in), place, shared=[_exponential(item_in)])  # Eq. 7
        (p,) = call(_tanh_of_sums, work, _exponential(user_out), place, shared=[_exponential(item_out)])  # Eq. 8
        near = _exponential(linear(p, d_query)), _exponential(keys)[context], _exponential(values)[context], is_padding
        passed = []
        for hop in range(number):
            query = _exponential(linear(q, c_query))
            e, attention = call(_attend, q.numel() * context.shape[1], query, *near)  # Eq. 9-13, 16
            passed.append([q, query, attention])
            if hop + 1 < number:
                g = linear(q, gate, gate_bias).sigmoid_()  # Eq. 14
                passed[-1] += [g, e]  # not e^H: an output that is held here is never freed
                q = torch.lerp(e, q, g)  # Eq. 15
        ctx.places, ctx.near, ctx.p, ctx.passed = (place, context), near, p, passed
        ctx.weights, ctx.item, ctx.n_keys = inputs[6:], item_in, len(keys)
        all_attention = torch.stack([attention for _, _, attention, *_ in passed])
        ctx.mark_non_differentiable(all_attention)
        return e, all_attention

    @staticmethod
    def backward(ctx: Any, of_e: Tensor, _: Tensor) -> Any:
        (place, context), p, (c_query, d_query, gate, gate_bias) = ctx.places, ctx.p, ctx.weights
        chosen = _with_gradient(of_e)  # [B, K]; from here on, there are no other candidates
        rows = (chosen + place.shape[1] * torch.arange(len(place))[:, None]).flatten()
        of_e = _chosen(of_e, rows).view(*chosen.shape, -1)
        of_q, of_output = torch.zeros_like(of_e), torch.zeros_like(of_e)
        of_keys, of_values = (of_e.new_zeros(*context.shape, of_e.shape[2]) for _ in range(2))
        of_c_query, of_gate, of_gate_bias = map(torch.zeros_like, (c_query, gate, gate_bias))
        for q, query, attention, *gated in reversed(ctx.passed):
            q_chosen = _chosen(q, rows)
            if gated:
                of_g, of_q, of_e = call(_mix_backward, 0, q, *gated, chosen, of_q)
                _through(gate, q_chosen, of_g, of_q, of_gate)
                of_gate_bias += of_g.sum((0, 1))
            inputs = (query, *ctx.near, attention, chosen, of_e, of_output, of_keys, of_values)
            (of_query,) = call(_attend_backward, of_e.numel() * context.shape[1], *inputs)
            _through(c_query, q_chosen, of_query, of_q, of_c_query)
        of_p, of_d_query = torch.zeros_like(of_q), torch.zeros_like(d_query)
        _through(d_query, _chosen(p, rows), of_output, of_p, of_d_query)
        ends = ((ctx.passed[0][0], of_q), (p, of_p))
        of_in, of_out = (call(_tanh_of_sums_backward, 0, x, place, chosen, of_x, shared=[ctx.item]) for x, of_x in ends)
        of_keys, of_values = (sum_at(context, each, ctx.n_keys) for each in (of_keys, of_values))
        of_gates = (of_gate, of_gate_bias) if len(ctx.passed) > 1 else (None, None)  # which a single hop does not use
        return *(None,) * 4, *of_in, of_keys, *of_out, of_values, of_c_query, of_d_query, *of_gates


def _with_gradient(gradient: Tensor) -> Tensor:
    """Indices [B, K] of K distinct candidates of each instance, among them all whose gradient [B, C, d] is not zero."""
    (has,) = call(_is_not_zero, 0, gradient)
    most = max(1, int(has.sum(1).max()))
    return has.topk(most, dim=1, sorted=False).indices


def _chosen(x: Tensor, rows: Tensor) -> Tensor:
    """Rows [B·K, d] of x [B, C, d]."""
    return x.flatten(0, 1).index_select(0, rows)


def _through(weight: Tensor, x: Tensor, of_y: Tensor, of_x: Tensor, of_weight: Tensor) -> None:
    """Adds to of_x [B, K, d] and of_weight what the gradient of y = weight · x, of_y [B, K, d], makes of them."""
    of_y = of_y.flatten(0, 1)
    of_x.flatten(0, 1).addmm_(of_y, weight)
    of_weight.addmm_(of_y.T, x)


def _exponential(x: Tensor) -> Tensor:
    """e^2x, by which a loop has tanh(x + y) = 1 − 2 / (1 + e^2x e^2y), as exact as its summands are.

    The bounds keep a product from being ∞ · 0, and matter only beyond |x| = 43. By NumPy, whose exp takes half as long.
    """
    e = 2 * x.detach().numpy()
    return torch.from_numpy(np.exp(np.clip(e, -86, 86, out=e), out=e))


# Loops over indices, not over rows: only these are vectorised. `user`, `item`, `query`, `output`, `keys` and `values`
# hold exponentials; but in `_tanh_of_sums_backward`.


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
def _tanh_of_sums(user, place, item):  # type: ignore[no-untyped-def]
    n, candidates = place.shape
    result = np.empty((n, candidates, user.shape[1]), user.dtype)
    one, two = user.dtype.type(1), user.dtype.type(2)
    for b in range(n):
        for c in range(candidates):
            row = place[b, c]
            for i in range(user.shape[1]):
                result[b, c, i] = one - two / (one + user[b, i] * item[row, i])
    return (result,)


@compiled
def _tanh_of_sums_backward(result, place, chosen, of_result, item):  # type: ignore[no-untyped-def]
    of_user, of_item = np.zeros((len(result), result.shape[2]), result.dtype), np.zeros_like(item)
    one = result.dtype.type(1)
    for b in range(chosen.shape[0]):
        for k in range(chosen.shape[1]):
            c = chosen[b, k]
            row = place[b, c]
            for i in range(result.shape[2]):
                t = result[b, c, i]
                g = of_result[b, k, i] * (one - t * t)
                of_user[b, i] += g
                of_item[row, i] += g
    return of_user, of_item


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
def _is_not_zero(gradient):  # type: ignore[no-untyped-def]
    has = np.zeros(gradient.shape[:2], np.uint8)  # which PyTorch sorts faster than bool
    for b in range(gradient.shape[0]):
        for c in range(gradient.shape[1]):
            for i in range(gradient.shape[2]):
                if gradient[b, c, i] != 0:  # NaN included
                    has[b, c] = 1
                    break
    return (has,)


@compiled
def _mix_backward(q, g, e, chosen, of_mixed):  # type: ignore[no-untyped-def]
    of_gate, of_q, of_e = np.empty_like(of_mixed), np.empty_like(of_mixed), np.empty_like(of_mixed)
    for b in range(of_mixed.shape[0]):
        for k in range(of_mixed.shape[1]):
            c = chosen[b, k]
            for i in range(of_mixed.shape[2]):
                of_q[b, k, i] = of_mixed[b, k, i] * g[b, c, i]
                of_e[b, k, i] = of_mixed[b, k, i] - of_q[b, k, i]
                of_gate[b, k, i] = of_e[b, k, i] * g[b, c, i] * (q[b, c, i] - e[b, c, i])
    return of_gate, of_q, of_e
