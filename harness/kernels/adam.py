"""Move some rows of a table by Adam, in one pass over its numbers."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from sdmr.harness.kernels.threads import get_pool

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # as Kingma & Ba (2015) propose them
_MIN_NUMBERS_TO_SHARE = 1 << 20  # numbers to move


def adam_step(
    weight: Tensor,
    first_moment: Tensor,
    second_moment: Tensor,
    rows: Tensor,
    positions: Tensor,
    sums: Tensor,
    l2: float,
    l2_inactive: float,
    learning_rate: float,
    step: int,
) -> None:
    """Update rows of a table and of its two moments.

    Args:
        weight: [N, dim] the table.
        first_moment: [N, dim].
        second_moment: [N, dim].
        rows: [n] the rows to move.
        positions: [n] where `sums` has the gradient of each row; −1 for an inactive row, whose gradient is 0.
        sums: [m, dim] gradients.
        l2: The gradient of an active row gains `l2` × the row.
        l2_inactive: The gradient of an inactive row is `l2_inactive` × the row.
        learning_rate: Adam's α.
        step: The number of this step, from 1.
    """
    rate, scale = learning_rate / (1 - BETA_1**step), 1 / (1 - BETA_2**step) ** 0.5  # correct the moments' bias
    if weight.device.type != "cpu":
        _adam_step_in_torch(weight, first_moment, second_moment, rows, positions, sums, l2, l2_inactive, rate, scale)
        return
    table = weight.numpy(), first_moment.numpy(), second_moment.numpy()
    dtype = table[0].dtype.type
    factors = l2, l2_inactive, rate, scale, BETA_1, 1 - BETA_1, BETA_2, 1 - BETA_2, EPSILON
    indices, gradient = (rows.numpy(), positions.numpy()), (sums.contiguous().numpy(), *map(dtype, factors))
    threads = torch.get_num_threads()
    if threads == 1 or len(rows) * weight.shape[1] < _MIN_NUMBERS_TO_SHARE:
        _adam_step(*table, *indices, *gradient)
        return
    blocks = zip(*(np.array_split(array, threads) for array in indices), strict=True)
    list(get_pool(threads).map(lambda block: _adam_step(*table, block[0], block[1], *gradient), blocks))


def _adam_step_in_torch(weight: Tensor, first_moment: Tensor, second_moment: Tensor, *rest: Any) -> None:
    """Do the work of the loop below in PyTorch's operations, for a GPU."""
    rows, positions, sums, l2, l2_inactive, rate, scale = rest
    values = weight[rows]
    gradient = torch.where((positions >= 0)[:, None], sums[positions] + l2 * values, l2_inactive * values)
    m = first_moment[rows].lerp_(gradient, 1 - BETA_1)
    v = second_moment[rows].mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
    first_moment.index_copy_(0, rows, m)
    second_moment.index_copy_(0, rows, v)
    weight.index_copy_(0, rows, values - rate * m / (v.sqrt() * scale + EPSILON))


@numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy", cache=True)
def _adam_step(  # type: ignore[no-untyped-def]
    weight, first, second, rows, positions, sums, l2, l2_inactive, rate, scale, beta_1, rest_1, beta_2, rest_2, epsilon
):
    """Loop over rows; `rest_1` and `rest_2` are 1 − β₁ and 1 − β₂."""
    zero, tiny = weight.dtype.type(0), weight.dtype.type(1e-30)  # far below what epsilon lets count
    for n in range(len(rows)):
        row, position = rows[n], positions[n]
        for k in range(weight.shape[1]):
            w = weight[row, k]
            g = sums[position, k] + l2 * w if position >= 0 else l2_inactive * w
            m = beta_1 * first[row, k] + rest_1 * g
            v = beta_2 * second[row, k] + rest_2 * g * g
            # The moments of a row that stays inactive decay to subnormal numbers, which take ten times as long.
            m, v = zero if abs(m) < tiny else m, zero if v < tiny else v
            first[row, k], second[row, k] = m, v
            weight[row, k] = w - rate * m / (np.sqrt(v) * scale + epsilon)
