"""Readers: the only functions that a configuration may name to load a data set."""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def reader(function: Function) -> Function:
    """Declare a function as a reader, which `dataset._target_` may name."""
    function.is_reader = True  # type: ignore[attr-defined]
    return function


def bind_reader(dataset: Mapping[str, Any]) -> partial[Any]:
    """Bind the reader that a configuration names to its settings; call nothing.

    Raises:
        ValueError: There is no such function, it is neither the suite's reader nor declared as one, or it lacks an
            argument.
    """
    settings = dict(dataset)
    target = settings.pop("_target_")
    module, _, name = target.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"dataset._target_={target} cannot be imported: {error}") from error
    if not (re.fullmatch(r"sdmr\.datasets\.\w+\.load_\w+", target) or getattr(function, "is_reader", False)):
        raise ValueError(f"dataset._target_={target} is no reader; declare it with @sdmr.datasets.readers.reader")
    try:
        inspect.signature(function).bind(**settings)
    except TypeError as error:
        raise ValueError(f"dataset._target_={target}: {error}, expected its arguments alone as dataset.*") from error
    return partial(function, **settings)
