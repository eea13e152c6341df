"""Seed and restore the generators of random numbers that all models of a process share."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_generators(seed: int) -> None:
    """Seed the generators of PyTorch, `numpy.random` and `random`."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


def get_generators() -> tuple[Any, ...]:
    """Return the states of these generators."""
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda  # noqa: NPY002


def set_generators(states: tuple[Any, ...]) -> None:
    """Restore states that `get_generators` has returned."""
    python, numpy, pytorch, cuda = states
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    torch.set_rng_state(pytorch)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda)


@contextmanager
def keep_generators() -> Iterator[None]:
    """Restore the states of these generators at the end."""
    states = get_generators()
    try:
        yield
    finally:
        set_generators(states)
