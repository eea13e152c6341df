"""Distinct rows of a table: each is worked on once, however often a batch names it."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor


class Distinct:
    """Finds the distinct ids among many, in time that depends on these alone; PyTorch's `unique` sorts them."""

    def __init__(self, n_rows: int) -> None:
        self._place = np.full(n_rows, -1)

    def __call__(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The distinct ones [n] of ids [...] below n_rows, in order of appearance on a CPU; and each one's place in
        them, [...].
        """
        if ids.device.type != "cpu":
            return torch.unique(ids, return_inverse=True)
        rows, place = _distinct(ids.reshape(-1).numpy(), self._place)
        return torch.from_numpy(rows), torch.from_numpy(place).view(ids.shape)


def gather(rows: Tensor, place: Tensor) -> Tensor:
    """`rows[place]`, [..., dim] from rows [n, dim] and place [...], and its gradient."""
    gathered: Tensor = _Gather.apply(rows, place)
    return gathered


def sum_at(place: Tensor, values: Tensor, n: int) -> Tensor:
    """[n, dim]: at each place the sum of the values [..., dim] whose place [...] it is."""
    values = values.reshape(-1, values.shape[-1])
    if values.device.type != "cpu":
        return values.new_zeros(n, values.shape[1]).index_add_(0, place.flatten(), values)
    return torch.from_numpy(_sum_at(place.reshape(-1).numpy(), values.contiguous().numpy(), n))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, place: Tensor) -> Tensor:
        ctx.save_for_backward(place)
        ctx.n = len(rows)
        return rows.index_select(0, place.flatten()).view(*place.shape, -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (place,) = ctx.saved_tensors
        return sum_at(place, gradient, ctx.n), None


@numba.njit(nogil=True, cache=True)
def _distinct(ids, place_of):  # type: ignore[no-untyped-def]
    """`place_of` [n_rows] is −1 everywhere, before and after: what stands where is written while the ids are read."""
    for row in ids:
        if not 0 <= row < len(place_of):
            raise IndexError("an id lies outside of its table")
    rows, place, n = np.empty_like(ids), np.empty_like(ids), 0
    for i in range(len(ids)):
        at = place_of[ids[i]]
        if at < 0:
            at = n
            place_of[ids[i]] = n
            rows[n] = ids[i]
            n += 1
        place[i] = at
    for i in range(n):
        place_of[rows[i]] = -1
    return rows[:n], place


@numba.njit(nogil=True, cache=True)
def _sum_at(place, values, n):  # type: ignore[no-untyped-def]
    sums = np.zeros((n, values.shape[1]), values.dtype)
    for i in range(len(place)):
        at = place[i]
        for k in range(values.shape[1]):
            sums[at, k] += values[i, k]
    return sums
