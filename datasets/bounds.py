"""Declare the bounds of arguments as types, and refuse values outside them."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import astuple
from functools import wraps
from inspect import signature
from math import inf
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

PositiveInt = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0), Lt(inf)]
NonNegativeFloat = Annotated[float, Ge(0), Lt(inf)]
Fraction = Annotated[float, Ge(0), Le(1)]
FiniteFloat = Annotated[float, Gt(-inf), Lt(inf)]

_COMPARISONS = {Ge: (operator.ge, "≥"), Gt: (operator.gt, ">"), Le: (operator.le, "≤"), Lt: (operator.lt, "<")}
_NAMES = {int: "an integer", float: "a number", str: "text", bool: "true or false", NoneType: "none"}
_TYPES: dict[Any, Any] = {int: Integral, float: Real, str: str, bool: bool, NoneType: NoneType}
P = ParamSpec("P")
R = TypeVar("R")


def check_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Let a constructor or a function refuse arguments outside the bounds of their types."""

    prefix = f"{function.__qualname__.partition('.')[0]}: "

    @wraps(function)
    def checked_function(*args: P.args, **kwargs: P.kwargs) -> R:
        check_values(function, signature(function).bind(*args, **kwargs).arguments, prefix)
        return function(*args, **kwargs)

    return checked_function


def check_values(owner: Any, values: Mapping[str, Any], prefix: str) -> None:
    """Raise ValueError for a value outside the choices and bounds of its type.

    Args:
        owner: The function or the dataclass that declares the types.
        values: The values by name.
        prefix: What precedes a name in the message.
    """
    hints = get_type_hints(owner, include_extras=True)
    for name, value in values.items():
        if not _is_allowed(value, hints.get(name)):
            raise ValueError(f"{prefix}{name} must be {_describe(hints[name])}, not {value!r:.80}")


def _is_allowed(value: Any, annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        is_of_type = _is_allowed(value, get_args(annotation)[0])
        return is_of_type and all(compare(value, limit) for compare, _, limit in _read_bounds(annotation))
    if annotation in _TYPES:
        is_switch = isinstance(value, bool) and annotation is not bool  # which Python takes for a number
        return not is_switch and isinstance(value, _TYPES[annotation])
    if get_origin(annotation) in (Union, UnionType):
        return any(_is_allowed(value, choice) for choice in get_args(annotation))
    choices = [(type(choice), choice) for choice in get_args(annotation)]  # 99.0 and True are equal to integers
    return get_origin(annotation) is not Literal or (type(value), value) in choices


def _describe(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return " and ".join(f"{symbol} {limit}" for _, symbol, limit in _read_bounds(annotation))
    if annotation in _NAMES:
        return _NAMES[annotation]
    describe_choice = repr if get_origin(annotation) is Literal else _describe
    return " or ".join(map(describe_choice, get_args(annotation)))


def _read_bounds(annotation: Any) -> list[tuple[Callable[[Any, Any], bool], str, float]]:
    """Return the comparison, its symbol and the limit of each bound."""
    return [(*_COMPARISONS[type(bound)], *astuple(bound)) for bound in annotation.__metadata__]
