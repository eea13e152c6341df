"""Words of error messages: values as they are typed, choices, and what is expected."""

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

NO_VALUE = "this option needs a value"
UNION_MEMBER = re.compile(r"int|float|bool|str|.*[\[-].*")  # how pydantic names a type of a union


def list_choices(word: str, names: Collection[str]) -> str:
    """Return the end of a message on a wrong word: all names, and the closest."""
    return f"there are {', '.join(names)}{suggest(word, names)}"


def suggest(word: str, names: Collection[str]) -> str:
    """Return "; did you mean NAME?", or nothing if no name is close."""
    close = [] if word in names else get_close_matches(word, names, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def explain_validation_error(error: ValidationError, key: str = "") -> str:
    """Return pydantic's first fault in one line: the setting, its value, and what is allowed."""
    fault, *others = error.errors()
    parts = [part for part in fault["loc"] if isinstance(part, str)]  # the others are positions in a list
    name = key or ".".join(part for part in parts if not UNION_MEMBER.fullmatch(part))
    if fault["type"] == "missing":
        return f"{name}=... is missing"
    if fault["type"] == "too_short":
        return f"{name}=[]: expected at least one value"
    if fault["type"] == "string_too_short":
        return f"{name}=: {NO_VALUE}"
    expected = fault["msg"].replace("Input should be", "must be")
    if fault["loc"] and UNION_MEMBER.fullmatch(str(fault["loc"][-1])):  # another fault for each other type of the union
        literals = [
            other for other in others if other["type"] == "literal_error" and other["loc"][:-1] == fault["loc"][:-1]
        ]
        expected += "".join(f" or {other['ctx']['expected']}" for other in literals)
    return f"{name}={quote(fault['input'])}: {expected[0].lower()}{expected[1:]}"


def format_value(value: Any) -> str:
    """Return a value as Hydra's grammar writes it; text without quotes."""
    if isinstance(value, list):
        return f"[{','.join(map(format_value, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def quote(value: Any) -> str:
    """Return a value as a message shows it: escaped, and cut to 80 characters."""
    text = escape(format_value(value))
    return text if len(text) <= 80 else f"{text[:79]}…"


def escape(text: str) -> str:
    """Return a text in one line, with escapes for what no terminal prints."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in " ".join(text.split()))


def describe_threads(number: int) -> str:
    """Return a number of threads in words."""
    return f"{number} thread" + "s" * (number != 1)
