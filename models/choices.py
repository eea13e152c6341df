"""Check the arguments of models that are a choice among a few words."""

from __future__ import annotations

from typing import get_args, get_type_hints


def check_choices(model: type, **choices: str) -> None:
    """Raise ValueError if an argument is none of the values of its `Literal` type.

    Args:
        model: The class whose constructor has the arguments.
        choices: The arguments' values.
    """
    hints = get_type_hints(model.__init__)  # type: ignore[misc]
    for name, value in choices.items():
        allowed = get_args(hints[name])
        if value not in allowed:
            raise ValueError(f"{model.__name__}: {name} must be one of {', '.join(allowed)}, not {value!r}")
