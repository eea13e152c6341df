"""Adam on some rows of a table, in one pass over its numbers where PyTorch's needs several, and a dense gradient."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from sdmr.harness.loops import pool

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # as Kingma & Ba (2015) propose them
_WORTH_A_THREAD = 1 << 20  # numbers to move


def adam(
    weight: Tensor,
    first: Tensor,
    second: Tensor,
    rows: Tensor,
    at: Tensor,
    sums: Tensor,
    pull: float,
    pull_outside: float,
    learning_rate: float,
    step: int,
) -> None:
    """Move the `rows` [n] of a table `weight` [N, dim] with its moments `first` and `second`, in the step of a number.

    `sums[at]` is the gradient of the rows, at [n]; 0 where at is −1. `pull` × itself enters the gradient of a row that
    has one, `pull_outside` × itself that of the others.
    """
    rate, scale = learning_rate / (1 - BETA_1**step), 1 / (1 - BETA_2**step) ** 0.5  # correct the moments' bias
    if weight.device.type != "cpu":
        _adam_in_torch(weight, first, second, rows, at, sums, pull, pull_outside, rate, scale)
        return
    table = weight.numpy(), first.numpy(), second.numpy()
    exact = table[0].dtype.type
    factors = pull, pull_outside, rate, scale, BETA_1, 1 - BETA_1, BETA_2, 1 - BETA_2, EPSILON
    which, gradient = (rows.numpy(), at.numpy()), (sums.contiguous().numpy(), *map(exact, factors))
    threads = torch.get_num_threads()
    if threads == 1 or len(rows) * weight.shape[1] < _WORTH_A_THREAD:
        _adam(*table, *which, *gradient)
        return
    blocks = zip(*(np.array_split(array, threads) for array in which), strict=True)
    list(pool(threads).map(lambda block: _adam(*table, block[0], block[1], *gradient), blocks))


def _adam_in_torch(weight: Tensor, first: Tensor, second: Tensor, *rest: Any) -> None:
    """The loop below, in PyTorch's operations, for a GPU."""
    rows, at, sums, pull, pull_outside, rate, scale = rest
    values = weight[rows]
    gradient = torch.where((at >= 0)[:, None], sums[at] + pull * values, pull_outside * values)
    m = first[rows].lerp_(gradient, 1 - BETA_1)
    v = second[rows].mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
    first.index_copy_(0, rows, m)
    second.index_copy_(0, rows, v)
    weight.index_copy_(0, rows, values - rate * m / (v.sqrt() * scale + EPSILON))


@numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy", cache=True)
def _adam(  # type: ignore[no-untyped-def]
    weight, first, second, rows, at, sums, pull, pull_outside, rate, scale, beta_1, rest_1, beta_2, rest_2, epsilon
):
    zero, tiny = weight.dtype.type(0), weight.dtype.type(1e-30)  # far below what epsilon lets count
    for n in range(len(rows)):
        row, place = rows[n], at[n]
        for k in range(weight.shape[1]):
            w = weight[row, k]
            g = sums[place, k] + pull * w if place >= 0 else pull_outside * w
            m = beta_1 * first[row, k] + rest_1 * g
            v = beta_2 * second[row, k] + rest_2 * g * g
            # A row that is long away decays to subnormal numbers, of which each operation takes ten times as long.
            m, v = zero if abs(m) < tiny else m, zero if v < tiny else v
            first[row, k], second[row, k] = m, v
            weight[row, k] = w - rate * m / (np.sqrt(v) * scale + epsilon)
