"""Loops compiled by Numba at the first call, and kept on disk for the next; and the threads that share them out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

# `error_model`: a division that could raise would keep a loop from being vectorised. What is on disk does not know of
# these flags: after a change of them, delete `__pycache__/*.nb*`.
compiled = numba.njit(nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy", cache=True)
_WORTH_A_THREAD = 1 << 21  # tanh, about half a millisecond of them


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Always the same threads for a number of them: to start them costs more than many a loop. Compiled loops release
    Python's lock.
    """
    return ThreadPoolExecutor(threads)


def call(kernel: Any, work: int, *inputs: Tensor, shared: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
    """A compiled loop's outputs from the inputs, which are by instance, and what all instances share.

    Instances are independent, so that PyTorch's number of threads shares them out where there are enough: to wake a
    thread costs about as much as a whole loop of a training step at d = 64 and s = 5. `work` counts the tanh to
    compute, or what takes as long; 0 keeps to one thread, as a sum over instances must. Outputs of several threads
    are put one after the other. What a loop is to add to must be contiguous: of anything else it gets a copy.
    """
    arrays, common = ([each.detach().contiguous().numpy() for each in tensors] for tensors in (inputs, shared))
    threads = torch.get_num_threads()
    if threads == 1 or work < _WORTH_A_THREAD:
        return tuple(torch.from_numpy(output) for output in kernel(*arrays, *common))
    first, *others = zip(*(np.array_split(array, threads) for array in arrays), strict=True)
    waiting = [pool(threads - 1).submit(kernel, *block, *common) for block in others]
    outputs = zip(kernel(*first, *common), *(future.result() for future in waiting), strict=True)
    return tuple(torch.cat([torch.from_numpy(part) for part in parts]) for parts in outputs)
