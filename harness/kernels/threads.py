"""Compile loops with Numba and share their instances out among threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

# Numba compiles a loop at its first call and keeps it on disk. `error_model`: a division that could raise would keep a
# loop from being vectorized. The cache on disk ignores these flags: after changing them, delete `__pycache__/*.nb*`.
compiled = numba.njit(nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy", cache=True)
_MIN_WORK_TO_SHARE = 1 << 21  # tanh, about half a millisecond of them


@cache
def get_pool(threads: int) -> ThreadPoolExecutor:
    """Return the one pool with this number of threads.

    Starting threads costs more than many a loop. Compiled loops release Python's lock.
    """
    return ThreadPoolExecutor(threads)


def run_loop(kernel: Any, work: int, *inputs: Tensor, shared: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
    """Run a compiled loop on PyTorch's number of threads.

    The loop must treat instances independently. Little work stays on one thread: waking another costs about as much as
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
    threads = torch.get_num_threads()
    if threads == 1 or work < _MIN_WORK_TO_SHARE:
        return tuple(torch.from_numpy(output) for output in kernel(*arrays, *common))
    first, *others = zip(*(np.array_split(array, threads) for array in arrays), strict=True)
    futures = [get_pool(threads - 1).submit(kernel, *block, *common) for block in others]
    outputs = zip(kernel(*first, *common), *(future.result() for future in futures), strict=True)
    return tuple(torch.cat([torch.from_numpy(block) for block in blocks]) for blocks in outputs)
