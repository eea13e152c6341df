"""Run compiled loops on several threads, and find the distinct rows of a table."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from torch import Tensor


class _DisjointArrays(CompilerBase):
    """Compile a loop whose arguments share no memory."""

    def define_pipelines(self) -> list[Any]:
        self.state.flags.noalias = True
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


# Numba compiles a loop at its first call and keeps it on disk, until code has changed (`sdmr.harness`). `error_model`:
# a division that could raise would keep a loop from being vectorized.
_FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
compiled = numba.njit(nogil=True, fastmath=_FASTMATH, error_model="numpy", cache=True)
compiled_disjoint = numba.njit(
    nogil=True, fastmath=_FASTMATH, error_model="numpy", cache=True, pipeline_class=_DisjointArrays
)
_MIN_WORK_TO_SHARE = 1 << 21  # tanh, about half a millisecond of them


@cache
def get_pool(threads: int) -> ThreadPoolExecutor:
    """Return the one pool with this number of threads.

    Starting threads costs more than many a loop. Compiled loops release Python's lock.
    """
    return ThreadPoolExecutor(threads)


def run_loop(kernel: Any, work: int, *inputs: Tensor, shared: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
    """Run a compiled loop on PyTorch's number of threads.

    The loop must treat instances independently. Little work stays on one thread. Waking another costs about as much as
    the loop of a training step at d = 64 and s = 5.

    Args:
        kernel: The compiled loop. It takes the arrays of `inputs`, then those of `shared`, and returns arrays.
        work: The number of tanh to compute, or of operations that take as long. Give 0 to keep to one thread, as a sum
            over instances must.
        inputs: Tensors whose first axis counts instances. Those that the loop adds to must be contiguous: the loop gets
            a copy of any other.
        shared: Tensors that all instances read.

    Returns:
        The loop's outputs. The outputs of several threads are concatenated.
    """
    arrays, common = ([each.detach().contiguous().numpy() for each in tensors] for tensors in (inputs, shared))
    threads = count_threads(work)
    if threads == 1:
        return tuple(torch.from_numpy(output) for output in kernel(*arrays, *common))
    blocks = zip(*(np.array_split(array, threads) for array in arrays), strict=True)
    outputs = zip(*run_blocks(lambda *block: kernel(*block, *common), *blocks), strict=True)
    return tuple(torch.cat([torch.from_numpy(block) for block in blocks]) for blocks in outputs)


def count_threads(work: int) -> int:
    """Return how many threads to share this work among: PyTorch's number, or 1 (see `run_loop`)."""
    return torch.get_num_threads() if work >= _MIN_WORK_TO_SHARE else 1


def run_blocks(function: Any, first: Sequence[Any], *others: Sequence[Any]) -> list[Any]:
    """Call a function with the arguments of each block, each on its own thread."""
    futures = [get_pool(len(others)).submit(function, *block) for block in others]
    return [function(*first), *(future.result() for future in futures)]


class UniqueIndex:
    """Find the distinct ids among many, in time that depends on these alone.

    PyTorch's `unique` sorts them.
    """

    def __init__(self, n_rows: int) -> None:
        self._positions = np.full(n_rows, -1)

    def __call__(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distinct ids and the position of each id among them.

        Args:
            ids: [...] ids from 0 to n_rows − 1.

        Returns:
            The distinct ids [n], on a CPU in order of appearance, and positions [...]. `distinct[positions]` is `ids`.
        """
        if ids.device.type != "cpu":
            return torch.unique(ids, return_inverse=True)
        distinct, positions = _find_unique(ids.reshape(-1).numpy(), self._positions)
        return torch.from_numpy(distinct), torch.from_numpy(positions).view(ids.shape)


def gather(rows: Tensor, positions: Tensor) -> Tensor:
    """Return `rows[positions]` [..., dim], with a fast gradient, from rows [n, dim]."""
    return _Gather.apply(rows, positions)


def scatter_sum(positions: Tensor, values: Tensor, n: int) -> Tensor:
    """Sum values [..., dim] into n rows [n, dim], each at its position [...]."""
    values = values.reshape(-1, values.shape[-1])
    if values.device.type != "cpu":
        return values.new_zeros(n, values.shape[1]).index_add_(0, positions.flatten(), values)
    return torch.from_numpy(_scatter_sum(positions.reshape(-1).numpy(), values.contiguous().numpy(), n))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, positions: Tensor) -> Tensor:
        ctx.save_for_backward(positions)
        ctx.n = len(rows)
        return rows.index_select(0, positions.flatten()).view(*positions.shape, -1)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        (positions,) = ctx.saved_tensors
        return scatter_sum(positions, grad_output, ctx.n), None


@numba.njit(nogil=True, cache=True)
def _find_unique(ids, position_of):  # type: ignore[no-untyped-def]
    """Loop over ids; `position_of` [n_rows] is −1 everywhere, before and after."""
    for row in ids:
        if not 0 <= row < len(position_of):
            raise IndexError("an id lies outside its table: expected 0 or more, and less than the table's rows")
    distinct, positions, n = np.empty_like(ids), np.empty_like(ids), 0
    for i in range(len(ids)):
        position = position_of[ids[i]]
        if position < 0:
            position = n
            position_of[ids[i]] = n
            distinct[n] = ids[i]
            n += 1
        positions[i] = position
    for i in range(n):
        position_of[distinct[i]] = -1
    return distinct[:n], positions


@numba.njit(nogil=True, cache=True)
def _scatter_sum(positions, values, n):  # type: ignore[no-untyped-def]
    sums = np.zeros((n, values.shape[1]), values.dtype)
    for i in range(len(positions)):
        position = positions[i]
        for k in range(values.shape[1]):
            sums[position, k] += values[i, k]
    return sums
