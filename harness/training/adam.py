"""Compute the steps of Adam: of given rows, and of rows that have missed some.

Kingma & Ba (2015) write step t, with the gradient g, as
m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², w ← w − α r_t m / (√v · c_t + ε),
where r_t = 1 / (1 − β₁^t) and c_t = 1 / √(1 − β₂^t) correct the moments' bias.
"""

import math
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdmr.datasets.interactions import IntArray
from sdmr.harness.kernels import compiled, get_pool

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # as Kingma & Ba propose them
_MIN_NUMBERS_TO_SHARE = 1 << 20  # numbers to move
_STEPS = np.arange(1.0, 40_001)  # later ones are corrected by exactly 1
_CORRECTIONS = 1 / (1 - BETA_1**_STEPS), 1 / np.sqrt(1 - BETA_2**_STEPS)  # r and c
_MIN_STEP_OF_SERIES = 500
_ONE_ROW = np.zeros(1, np.int64)


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
    if weight.device.type != "cpu":
        rates = _correct(learning_rate, step)
        _adam_step_in_torch(weight, first_moment, second_moment, rows, positions, sums, l2, l2_inactive, *rates)
        return
    table: list[Any] = [weight.numpy(), first_moment.numpy(), second_moment.numpy()]
    rest: list[Any] = [sums.contiguous().numpy(), l2, l2_inactive, *_correct(learning_rate, step)]
    _share(lambda *block: _adam_step(*table, *block, *rest), table[0].shape[1], rows.numpy(), positions.numpy())


def adam_step_of_row(
    weight: Tensor, moments: Sequence[NDArray[Any]], gradient: Tensor, l2: float, learning_rate: float, step: int
) -> None:
    """Do `adam_step` for a single row on a CPU, in fewer calls."""
    row: list[Any] = [weight.numpy(), *moments, _ONE_ROW, _ONE_ROW, gradient.numpy().reshape(1, -1)]
    rest: list[Any] = [l2, 0.0, *_correct(learning_rate, step)]
    _adam_step(*row, *rest)


def _correct(learning_rate: float, step: int) -> tuple[float, float]:
    """Return α r and c, which correct the moments' bias."""
    return learning_rate / (1 - BETA_1**step), 1 / (1 - BETA_2**step) ** 0.5


def catch_up(
    weight: Tensor,
    moments: Sequence[Tensor],
    last_steps: IntArray,
    rows: IntArray | None,
    learning_rate: float,
    step: int,
    is_clipped: bool,
) -> None:
    """Make the steps with gradient 0 that rows have missed.

    m falls by a factor of β₁ = 0.9 a step, so that n moves (158 of 32 bits, 349 of 64) make up all but half a unit in
    the last place of their sum; further ones are left out.

    Args:
        weight: [N, dim] the table.
        moments: Both moments, each [N, dim].
        last_steps: [N] the last step that each row has made; it becomes `step`.
        rows: [n] the rows to move, which may repeat; None for all. Ids outside the table are ignored.
        learning_rate: Adam's α, the same in all missed steps.
        step: The number of the last step to make, from 1.
        is_clipped: Whether each step ends by clipping the row to length 1.
    """
    n_moves = math.ceil(math.log(torch.finfo(weight.dtype).eps / 2) / math.log(BETA_1))
    table: list[Any] = [*(tensor.numpy() for tensor in (weight, *moments)), last_steps]
    rest: list[Any] = [learning_rate, step, n_moves, is_clipped, *_CORRECTIONS]

    def loop(*block: IntArray) -> None:
        _catch_up(*table, *block, *rest)

    if rows is None:
        _share(loop, weight.shape[1], np.arange(len(weight)))
    else:
        loop(rows)  # on one thread, since rows may repeat


def _share(loop: Any, dim: int, *indices: Any) -> None:
    """Run a loop over rows on PyTorch's number of threads; few rows on one."""
    if len(indices[0]) * dim < _MIN_NUMBERS_TO_SHARE or (threads := torch.get_num_threads()) == 1:
        loop(*indices)
    else:
        list(get_pool(threads).map(loop, *(np.array_split(array, threads) for array in indices)))


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
    weight, first, second, rows, positions, sums, l2, l2_inactive, rate, scale
):
    dtype = weight.dtype.type
    l2, l2_inactive, rate, scale, epsilon = dtype(l2), dtype(l2_inactive), dtype(rate), dtype(scale), dtype(EPSILON)
    beta_1, rest_1, beta_2, rest_2 = dtype(BETA_1), dtype(1 - BETA_1), dtype(BETA_2), dtype(1 - BETA_2)
    zero, tiny = dtype(0), dtype(1e-30)  # far below what epsilon lets count
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


@numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy", cache=True)
def _catch_up(  # type: ignore[no-untyped-def]
    weight, first, second, last_steps, rows, learning_rate, step, n_moves, is_clipped, rates, scales
):
    dtype, root_decay = weight.dtype.type, np.sqrt(BETA_2)
    zero, tiny, roots, moved = dtype(0), dtype(1e-30), np.empty_like(weight[0]), np.empty_like(weight[0])
    for row in rows:
        if not 0 <= row < len(weight) or last_steps[row] >= step:
            continue
        start, missed = last_steps[row], step - last_steps[row]
        last_steps[row], n = step, min(missed, n_moves)
        w, m, v = weight[row], first[row], second[row]
        for k in range(len(w)):
            roots[k] = np.sqrt(v[k])
        moved[:] = w
        if start < _MIN_STEP_OF_SERIES:
            _move(moved, m, roots, start, n, learning_rate, root_decay, rates, scales, False)
        else:
            _move_at_once(moved, m, roots, start, n, learning_rate, root_decay, rates, scales)
        # No number turns back. So no row between these two is longer than the larger of each pair of numbers.
        if is_clipped and np.sum(np.maximum(w * w, moved * moved)) > 1:
            _move(w, m, roots, start, n, learning_rate, root_decay, rates, scales, True)
        else:
            w[:] = moved
        decay_1, decay_2 = dtype(BETA_1**missed), dtype(BETA_2**missed)
        for k in range(len(w)):
            m[k], v[k] = m[k] * decay_1, v[k] * decay_2
            m[k], v[k] = zero if abs(m[k]) < tiny else m[k], zero if v[k] < tiny else v[k]  # see `_adam_step`


@compiled
def _move(w, m, roots, start, n, learning_rate, root_decay, rates, scales, is_clipped):  # type: ignore[no-untyped-def]
    """Move a row [dim] n times after step `start`; `roots` is √v then."""
    dtype, decay, scale = w.dtype.type, learning_rate, 1.0
    for t in range(start, start + n):  # step t + 1
        last = min(t, len(rates) - 1)
        decay, scale = decay * BETA_1, scale * root_decay
        a, f = dtype(decay * rates[last]), dtype(scale * scales[last])
        for k in range(len(w)):
            w[k] -= a * m[k] / (roots[k] * f + dtype(EPSILON))
        if is_clipped:
            square = dtype(0)
            for k in range(len(w)):
                square += w[k] * w[k]
            if square > 1:
                for k in range(len(w)):
                    w[k] /= np.sqrt(square)


@compiled
def _move_at_once(w, m, roots, start, n, learning_rate, root_decay, rates, scales):  # type: ignore[no-untyped-def]
    """Make the moves of `_move` by one sum.

    The moves are m Σ a_t / (√v f_t + ε). The f_t hardly differ: this expands the sum about their mean f, weighted by
    a_t, up to the third moment. From step 500 on, what is left out is less than 2e-7 of the sum, whatever v is.
    """
    dtype, decay, scale, total, mean, second, third = w.dtype.type, learning_rate, 1.0, 0.0, 0.0, 0.0, 0.0
    origin = scales[min(start, len(scales) - 1)]
    for t in range(start, start + n):
        last = min(t, len(rates) - 1)
        decay, scale = decay * BETA_1, scale * root_decay
        a, difference = decay * rates[last], scale * scales[last] - origin
        total, mean = total + a, mean + a * difference
        second, third = second + a * difference**2, third + a * difference**3
    mean = mean / total
    second, third = second - mean**2 * total, third - 3 * mean * second + 2 * mean**3 * total
    f, a_0, a_2, a_3 = dtype(origin + mean), dtype(total), dtype(second), dtype(third)
    for k in range(len(w)):
        x = dtype(1) / (roots[k] * f + dtype(EPSILON))
        q = roots[k] * x
        w[k] -= m[k] * x * (a_0 + q * q * (a_2 - q * a_3))
