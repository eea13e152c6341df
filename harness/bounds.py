"""Declare the bounds of constructor arguments as types, and refuse values outside them."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import astuple
from functools import wraps
from inspect import signature
from math import inf
from numbers import Real
from types import UnionType
from typing import Annotated, Any, Literal, ParamSpec, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

PositiveInt = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0), Lt(inf)]
NonNegativeFloat = Annotated[float, Ge(0), Lt(inf)]
Fraction = Annotated[float, Ge(0), Le(1)]

_COMPARISONS = {Ge: (operator.ge, "≥"), Gt: (operator.gt, ">"), Le: (operator.le, "≤"), Lt: (operator.lt, "<")}
P = ParamSpec("P")


def check_arguments(init: Callable[P, None]) -> Callable[P, None]:
    """Let a constructor refuse arguments outside the choices and bounds of their types."""

    prefix = f"{init.__qualname__.partition('.')[0]}: "

    @wraps(init)
    def checked_init(*args: P.args, **kwargs: P.kwargs) -> None:
        check_values(init, signature(init).bind(*args, **kwargs).arguments, prefix)
        init(*args, **kwargs)

    return checked_init


def check_values(owner: Any, values: Mapping[str, Any], prefix: str) -> None:
    """Raise ValueError for a value outside the choices and bounds of its type.

    Args:
        owner: The constructor or the dataclass that declares the types.
        values: The values by name.
        prefix: What precedes a name in the message.
    """
    hints = get_type_hints(owner, include_extras=True)
    for name, value in values.items():
        if not _is_allowed(value, hints.get(name)):
            raise ValueError(f"{prefix}{name} must be {_describe(hints[name])}, not {value!r}")


def _is_allowed(value: Any, annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return isinstance(value, Real) and all(compare(value, limit) for compare, _, limit in _read_bounds(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return any(_is_allowed(value, choice) for choice in get_args(annotation))
    choices = [(type(choice), choice) for choice in get_args(annotation)]  # 99.0 and True are equal to integers
    return get_origin(annotation) is not Literal or (type(value), value) in choices


def _describe(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return " and ".join(f"{symbol} {limit}" for _, symbol, limit in _read_bounds(annotation))
    describe_choice = repr if get_origin(annotation) is Literal else _describe
    return " or ".join(map(describe_choice, get_args(annotation)))


def _read_bounds(annotation: Any) -> list[tuple[Callable[[Any, Any], bool], str, float]]:
    """Return the comparison, its symbol and the limit of each bound."""
    return [(*_COMPARISONS[type(bound)], *astuple(bound)) for bound in annotation.__metadata__]
