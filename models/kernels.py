"""The elementwise work of SDP and SDM, fused: every tanh is computed where it is used and never stored.

PyTorch writes and reads a tensor, for SDM's attention one of shape [B, C, s, d], for each elementary operation; these
loops keep one row in the first cache. They run on the CPU (compiled by Numba at the first call, kept on disk for the
next); other devices take the plain PyTorch expressions, which stand first in each function and say what it computes.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from numba.extending import overload
from torch import Tensor

# `error_model`: a division that could raise would keep a loop from being vectorised.
_compile = numba.njit(nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy", cache=True)
_WORTH_A_THREAD = 1 << 20  # tanh, somewhat more than half a millisecond of them


def tanh_of_sum(user: Tensor, item: Tensor) -> Tensor:
    """tanh(u + v_c) for every candidate c: user [B, d] and item [B, C, d] to [B, C, d]."""
    if user.device.type != "cpu":
        return torch.tanh(user[:, None] + item)
    return _TanhOfSum.apply(user, item)


def attend(query: Tensor, output: Tensor, keys: Tensor, values: Tensor, is_padding: Tensor) -> tuple[Tensor, Tensor]:
    """One hop: e_c = Σ_j a_cj square(tanh(p_c + v_j)), a_c = softmax_j(−‖tanh(q_c + k_j)‖²) over what is no padding.

    query (q) and output (p) [B, C, d], keys and values [B, s, d], is_padding [B, s], not all of a row: e [B, C, d] and
    a [B, C, s], which is not differentiable.
    """
    if query.device.type != "cpu":
        z = torch.tanh(query[:, :, None] + keys[:, None]).square().sum(-1)
        a = torch.softmax(-z.masked_fill(is_padding[:, None], torch.inf), dim=-1)
        return (a[..., None] * torch.tanh(output[:, :, None] + values[:, None]).square()).sum(2), a.detach()
    return _Attend.apply(query, output, keys, values, is_padding)


def mix(gate: Tensor, query: Tensor, e: Tensor) -> Tensor:
    """(1 − g) ⊙ e + g ⊙ q with g = σ(gate), all [B, C, d]."""
    if query.device.type != "cpu":
        return torch.lerp(e, query, torch.sigmoid(gate))
    return _Mix.apply(gate, query, e)


class _TanhOfSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, user: Tensor, item: Tensor) -> Tensor:
        (result,) = _call(_tanh_of_sum, item.numel(), user, item)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _call(_tanh_of_sum_backward, gradient.numel(), *ctx.saved_tensors, gradient)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        query, _, keys, _, _ = inputs
        e, attention = _call(_attend, query.numel() * keys.shape[1], *inputs)
        ctx.save_for_backward(*inputs, attention)
        ctx.mark_non_differentiable(attention)
        return e, attention

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> Any:
        *saved, attention = ctx.saved_tensors
        work = gradient.numel() * attention.shape[2]
        return *_call(_attend_backward, work, *saved, attention, gradient), None


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*inputs)
        return _call(_mix, inputs[0].numel(), *inputs)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _call(_mix_backward, gradient.numel(), *ctx.saved_tensors, gradient)


def _call(kernel: Any, work: int, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The kernel's outputs. `work` counts the tanh it computes.

    Instances are independent, so that PyTorch's number of threads shares them out where there are enough: to wake a
    thread costs about as much as a whole kernel of a training step at d = 64 and s = 5.
    """
    arrays = [tensor.detach().contiguous().numpy() for tensor in inputs]
    threads = torch.get_num_threads()
    if threads == 1 or work < _WORTH_A_THREAD:
        return tuple(torch.from_numpy(output) for output in kernel(*arrays))
    first, *others = zip(*(np.array_split(array, threads) for array in arrays), strict=True)
    waiting = [_pool(threads - 1).submit(kernel, *block) for block in others]
    outputs = zip(kernel(*first), *(future.result() for future in waiting), strict=True)
    return tuple(torch.cat([torch.from_numpy(part) for part in parts]) for parts in outputs)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def _tanh(x):  # type: ignore[no-untyped-def]
    """In float64 the exact one. In float32 one that vectorises, with an absolute error below 3e-7.

    Lambert's continued fraction, cut after seven terms, gives tanh(x/2) = n/d; then tanh x = 2nd / (n² + d²). Beyond
    ±9, tanh is ±1 in float32.
    """


@overload(_tanh, inline="always")
def _(x):  # type: ignore[no-untyped-def]
    if x != numba.float32:
        return lambda x: math.tanh(x)

    def by_continued_fraction(x):  # type: ignore[no-untyped-def]
        half = min(max(x, np.float32(-9)), np.float32(9)) * np.float32(0.5)
        y = half * half
        n = half * (((y + np.float32(378)) * y + np.float32(17325)) * y + np.float32(135135))
        d = ((np.float32(28) * y + np.float32(3150)) * y + np.float32(62370)) * y + np.float32(135135)
        return np.float32(2) * n * d / (n * n + d * d)

    return by_continued_fraction


# Loops over indices, not over rows: only these are vectorised.


@_compile
def _tanh_of_sum(user, item):  # type: ignore[no-untyped-def]
    n, candidates, dim = item.shape
    result = np.empty_like(item)
    for b in range(n):
        for c in range(candidates):
            for i in range(dim):
                result[b, c, i] = _tanh(user[b, i] + item[b, c, i])
    return (result,)


@_compile
def _tanh_of_sum_backward(result, gradient):  # type: ignore[no-untyped-def]
    n, candidates, dim = result.shape
    of_user, of_item = np.zeros((n, dim), result.dtype), np.empty_like(result)
    for b in range(n):
        for c in range(candidates):
            for i in range(dim):
                t = result[b, c, i]
                g = gradient[b, c, i]
                of_item[b, c, i] = g - g * t * t
                of_user[b, i] += g - g * t * t
    return of_user, of_item


@_compile
def _attend(query, output, keys, values, is_padding):  # type: ignore[no-untyped-def]
    n, candidates, dim = query.shape
    context = keys.shape[1]
    e, attention = np.zeros_like(query), np.zeros((n, candidates, context), query.dtype)
    for b in range(n):
        for c in range(candidates):
            a = attention[b, c]
            nearest = a.dtype.type(np.inf)
            for j in range(context):
                if is_padding[b, j]:
                    continue
                z = a.dtype.type(0)
                for i in range(dim):
                    t = _tanh(query[b, c, i] + keys[b, j, i])
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
                    t = _tanh(output[b, c, i] + values[b, j, i])
                    e[b, c, i] += weight * (t * t)
    return e, attention


@_compile
def _attend_backward(query, output, keys, values, is_padding, attention, gradient):  # type: ignore[no-untyped-def]
    n, candidates, dim = query.shape
    context = keys.shape[1]
    of_query, of_output = np.zeros_like(query), np.zeros_like(query)
    of_keys, of_values = np.zeros_like(keys), np.zeros_like(keys)
    of_attention = np.zeros(context, query.dtype)
    for b in range(n):
        for c in range(candidates):
            if not gradient[b, c].any():  # a negative that is not the hardest
                continue
            mean = of_attention.dtype.type(0)
            for j in range(context):
                if is_padding[b, j]:
                    continue
                a = attention[b, c, j]
                twice = a + a
                of_a = of_attention.dtype.type(0)
                for i in range(dim):
                    t = _tanh(output[b, c, i] + values[b, j, i])
                    of_a += gradient[b, c, i] * (t * t)
                    g = twice * gradient[b, c, i] * (t - t * t * t)
                    of_output[b, c, i] += g
                    of_values[b, j, i] += g
                of_attention[j] = of_a
                mean += a * of_a
            for j in range(context):
                if is_padding[b, j]:
                    continue
                of_z = attention[b, c, j] * (mean - of_attention[j])
                twice = of_z + of_z
                for i in range(dim):
                    t = _tanh(query[b, c, i] + keys[b, j, i])
                    g = twice * (t - t * t * t)
                    of_query[b, c, i] += g
                    of_keys[b, j, i] += g
    return of_query, of_output, of_keys, of_values


@_compile
def _mix(gate, query, e):  # type: ignore[no-untyped-def]
    mixed, half = np.empty_like(gate), gate.dtype.type(0.5)
    for b in range(gate.shape[0]):
        for c in range(gate.shape[1]):
            for i in range(gate.shape[2]):
                g = half + half * _tanh(half * gate[b, c, i])  # the sigmoid
                mixed[b, c, i] = e[b, c, i] + g * (query[b, c, i] - e[b, c, i])
    return (mixed,)


@_compile
def _mix_backward(gate, query, e, gradient):  # type: ignore[no-untyped-def]
    of_gate, of_query, of_e = np.empty_like(gate), np.empty_like(gate), np.empty_like(gate)
    half = gate.dtype.type(0.5)
    for b in range(gate.shape[0]):
        for c in range(gate.shape[1]):
            for i in range(gate.shape[2]):
                g = half + half * _tanh(half * gate[b, c, i])
                of_mixed = gradient[b, c, i]
                of_query[b, c, i] = of_mixed * g
                of_e[b, c, i] = of_mixed - of_mixed * g
                of_gate[b, c, i] = of_mixed * (query[b, c, i] - e[b, c, i]) * (g - g * g)
    return of_gate, of_query, of_e
