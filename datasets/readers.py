"""Readers: the only functions that a configuration may name to load a data set."""

import importlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from sdmr.datasets.errors import quote

Function = TypeVar("Function", bound=Callable[..., Any])


def reader(function: Function) -> Function:
    """Declare a function as a reader, which `dataset=package.function` may name."""
    function.is_reader = True  # type: ignore[attr-defined]
    return function


def import_reader(target: str) -> Callable[..., Any]:
    """Import the reader that a dotted name names.

    Raises:
        ValueError: There is no such function, or it is neither the suite's reader nor declared as one.
    """
    module, _, name = target.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # a user's module may raise any when it is imported
        raise ValueError(f"dataset={target} cannot be imported: {type(error).__name__}: {error}") from error
    if not (re.fullmatch(r"sdmr\.datasets\.\w+\.load_\w+", target) or getattr(function, "is_reader", False)):
        raise ValueError(f"dataset={target} is no reader; declare it with @sdmr.datasets.readers.reader")
    return function


def read_settings(target: str) -> dict[str, Any]:
    """Read the configuration of a reader: its name, and its arguments with their defaults.

    Raises:
        ValueError: It is no reader, or has a default that no configuration can hold.
    """
    settings: dict[str, Any] = {"_target_": target}
    for parameter in inspect.signature(import_reader(target)).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = "???" if parameter.default is parameter.empty else parameter.default
        try:
            json.dumps(default)
        except (TypeError, ValueError) as error:
            name = f"{parameter.name}={quote(repr(default))}"
            raise ValueError(f"dataset={target}: the default {name} is none of null, number, text or list") from error
        settings[parameter.name] = default
    return settings


def bind_reader(dataset: Mapping[str, Any]) -> partial[Any]:
    """Bind the reader that a configuration names to its settings; call nothing.

    Raises:
        ValueError: It is no reader, or lacks an argument.
    """
    settings = dict(dataset)
    target = settings.pop("_target_")
    function = import_reader(target)
    try:
        inspect.signature(function).bind(**settings)
    except TypeError as error:
        raise ValueError(f"dataset={target}: {error}, expected its arguments alone as dataset.*") from error
    return partial(function, **settings)
