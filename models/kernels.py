"""The two inner loops of SDM, fused: every tanh is computed where it is used and never stored.

PyTorch writes and reads a tensor [B, C, s, d] for each elementary operation; these loops keep one row in the first
cache. They run on the CPU (compiled by Numba at the first call, kept on disk for the next); other devices take the
plain PyTorch expressions, which stand first in each function and say what it computes.
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


def squared_norms(query: Tensor, keys: Tensor) -> Tensor:
    """‖tanh(q_c + k_j)‖² for every candidate c and context item j: query [B, C, d], keys [B, s, d] to [B, C, s]."""
    if query.device.type != "cpu":
        return torch.tanh(query[:, :, None] + keys[:, None]).square().sum(-1)
    return _SquaredNorms.apply(query, keys)


def attended_squares(attention: Tensor, query: Tensor, values: Tensor) -> Tensor:
    """Σ_j a_cj · square(tanh(q_c + v_j)): attention [B, C, s], query [B, C, d], values [B, s, d] to [B, C, d]."""
    if query.device.type != "cpu":
        return (attention[..., None] * torch.tanh(query[:, :, None] + values[:, None]).square()).sum(2)
    return _AttendedSquares.apply(attention, query, values)


class _SquaredNorms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor) -> Tensor:
        ctx.save_for_backward(query, keys)
        return _call(_norms, query, keys)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _call(_norms_backward, *ctx.saved_tensors, gradient)


class _AttendedSquares(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, attention: Tensor, query: Tensor, values: Tensor) -> Tensor:
        ctx.save_for_backward(attention, query, values)
        return _call(_attended, attention, query, values)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _call(_attended_backward, *ctx.saved_tensors, gradient)


def _call(kernel: Any, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The kernel's outputs; instances are independent, so that PyTorch's number of threads shares them out."""
    arrays = [tensor.detach().contiguous().numpy() for tensor in inputs]
    threads = torch.get_num_threads()
    if threads == 1:
        return tuple(torch.from_numpy(output) for output in kernel(*arrays))
    blocks = zip(*(np.array_split(array, threads) for array in arrays), strict=True)
    outputs = zip(*_pool(threads).map(lambda block: kernel(*block), blocks), strict=True)
    return tuple(torch.from_numpy(np.concatenate(output)) for output in outputs)


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
def _norms(query, keys):  # type: ignore[no-untyped-def]
    n, candidates, dim = query.shape
    norms = np.empty((n, candidates, keys.shape[1]), query.dtype)
    for b in range(n):
        for c in range(candidates):
            for j in range(keys.shape[1]):
                norm = norms.dtype.type(0)
                for i in range(dim):
                    t = _tanh(query[b, c, i] + keys[b, j, i])
                    norm += t * t
                norms[b, c, j] = norm
    return (norms,)


@_compile
def _norms_backward(query, keys, gradient):  # type: ignore[no-untyped-def]
    n, candidates, dim = query.shape
    of_query, of_keys = np.zeros_like(query), np.zeros_like(keys)
    for b in range(n):
        for c in range(candidates):
            for j in range(keys.shape[1]):
                twice = gradient[b, c, j] + gradient[b, c, j]
                for i in range(dim):
                    t = _tanh(query[b, c, i] + keys[b, j, i])
                    g = twice * (t - t * t * t)
                    of_query[b, c, i] += g
                    of_keys[b, j, i] += g
    return of_query, of_keys


@_compile
def _attended(attention, query, values):  # type: ignore[no-untyped-def]
    n, candidates, dim = query.shape
    sums = np.zeros_like(query)
    for b in range(n):
        for c in range(candidates):
            for j in range(values.shape[1]):
                weight = attention[b, c, j]
                for i in range(dim):
                    t = _tanh(query[b, c, i] + values[b, j, i])
                    sums[b, c, i] += weight * (t * t)
    return (sums,)


@_compile
def _attended_backward(attention, query, values, gradient):  # type: ignore[no-untyped-def]
    n, candidates, dim = query.shape
    of_attention, of_query, of_values = np.empty_like(attention), np.zeros_like(query), np.zeros_like(values)
    for b in range(n):
        for c in range(candidates):
            for j in range(values.shape[1]):
                twice = attention[b, c, j] + attention[b, c, j]
                weight = of_attention.dtype.type(0)
                for i in range(dim):
                    t = _tanh(query[b, c, i] + values[b, j, i])
                    weight += gradient[b, c, i] * (t * t)
                    g = twice * gradient[b, c, i] * (t - t * t * t)
                    of_query[b, c, i] += g
                    of_values[b, j, i] += g
                of_attention[b, c, j] = weight
    return of_attention, of_query, of_values
