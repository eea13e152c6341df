"""Readers: the only functions that a configuration may name to load a data set."""

import importlib
import re
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def reader(function: Function) -> Function:
    """Declare a function as a reader, which `dataset._target_` may name."""
    function.is_reader = True  # type: ignore[attr-defined]
    return function


def get_reader(target: str) -> Callable[..., Any]:
    """Get the reader of a dotted path, before anything is called.

    Raises:
        ValueError: There is no such function, or it is neither the suite's reader nor declared as one.
    """
    module, _, name = target.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"dataset._target_={target} cannot be imported: {error}") from error
    if not (re.fullmatch(r"sdmr\.datasets\.\w+\.load_\w+", target) or getattr(function, "is_reader", False)):
        raise ValueError(f"dataset._target_={target} is no reader; declare it with @sdmr.datasets.readers.reader")
    return function
