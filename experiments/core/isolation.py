"""Keep runs of one process apart that share modules of the user's."""

import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from sdmr.datasets.sources import list_project

_MUTABLE = (dict, list, set, np.ndarray, torch.Tensor, np.random.Generator, np.random.RandomState, random.Random)


@contextmanager
def keep_modules(modules: Iterable[str]) -> Iterator[None]:
    """Restore what modules and their classes hold: no run depends on an earlier one.

    These are a cache, a counter or a generator of random numbers that a model has outside of itself.

    Args:
        modules: Modules of models. What they import from their project counts; the suite's modules hold no such thing.
    """
    names = {name for module in modules for name in list_project(module, Path.cwd().resolve())}
    owners = [owner for name in sorted(names) if name.partition(".")[0] != "sdmr" for owner in _list_owners(name)]
    before = [(owner, dict(vars(owner)), _copy_values(owner)) for owner in owners]
    try:
        yield
    finally:
        for owner, values, copies in before:
            for name in vars(owner).keys() - values.keys():
                if not isinstance(vars(owner)[name], ModuleType) and not name.startswith("__"):
                    delattr(owner, name)
            for name, value in values.items():
                if vars(owner).get(name) is not value or (name in copies and not _is_equal(value, copies[name])):
                    setattr(owner, name, copies.get(name, value))


def _list_owners(name: str) -> list[Any]:
    """Return a module, if it is imported, and the classes that it defines."""
    if (module := sys.modules.get(name)) is None:
        return []
    return [module, *(one for one in vars(module).values() if isinstance(one, type) and one.__module__ == name)]


def _copy_values(owner: Any) -> dict[str, Any]:
    copies = {}
    for name, value in vars(owner).items():
        if isinstance(value, _MUTABLE) and not name.startswith("__"):
            try:
                copies[name] = deepcopy(value)
            except Exception:  # such as a lock in a dictionary
                continue
    return copies


def _is_equal(value: Any, other: Any) -> bool:
    try:
        return bool(np.all(value == other))
    except Exception:  # such as arrays in a list
        return False
