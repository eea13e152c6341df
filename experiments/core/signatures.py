"""Signatures of classes and functions: their arguments, and values of the arguments' types."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from sdmr.experiments.core.errors import ConfigError
from sdmr.harness.training.base import TorchRecommender


@cache
def read_signature(called: Any) -> inspect.Signature:
    """Return the arguments of a class or function. An annotation that cannot be resolved counts as none.

    A `TorchRecommender` with `**kwargs` also takes the arguments of its base class.
    """
    names = getattr(inspect.unwrap(called.__init__ if inspect.isclass(called) else called), "__globals__", {})
    parameters = []
    for parameter in inspect.signature(called).parameters.values():
        if isinstance(parameter.annotation, str):
            try:
                parameter = parameter.replace(annotation=eval(parameter.annotation, names))
            except Exception:  # such as a class that is imported under `if TYPE_CHECKING`
                parameter = parameter.replace(annotation=parameter.empty)
        if str(parameter.default) == "<factory>":  # of a dataclass's field
            parameter = parameter.replace(default=called.__dataclass_fields__[parameter.name].default_factory())
        parameters.append(parameter)
    if is_open(called) and issubclass(called, TorchRecommender):
        known = {parameter.name for parameter in parameters}
        base = inspect.signature(TorchRecommender).parameters.values()
        parameters[-1:-1] = [one.replace(kind=one.KEYWORD_ONLY) for one in base if one.name not in known]
    return inspect.Signature(parameters)


def is_open(called: Any) -> bool:
    """Tell whether a class takes any further argument, as `**kwargs`."""
    kinds = {parameter.kind for parameter in inspect.signature(called).parameters.values()}
    return inspect.isclass(called) and inspect.Parameter.VAR_KEYWORD in kinds


def check_default(called: Any, parameter: inspect.Parameter) -> None:
    """Raise ConfigError for a default that no configuration can hold."""
    if parameter.default is parameter.empty or is_dataclass(parameter.default):
        return
    try:
        json.dumps(parameter.default, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{called.__module__}.{called.__qualname__}: the default of {parameter.name} is a "
            f"{type(parameter.default).__name__}; expected null, a finite number, text, or a list, tuple or dict of "
            "these"
        ) from error


def convert_value(value: Any, parameter: inspect.Parameter) -> Any:
    """Return a list or a dictionary as its argument's type, such as a tuple."""
    annotation = type(parameter.default) if parameter.annotation is parameter.empty else parameter.annotation
    if not isinstance(value, list | Mapping):
        return value
    try:
        return TypeAdapter(annotation).validate_python(value)
    except (PydanticUserError, ValidationError, NameError):  # a type of the user's own, or a default of another type
        return value
