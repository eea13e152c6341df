"""Hydra's grammar of `key=value` arguments."""

import re
from collections.abc import Sequence
from math import isinf
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from sdmr.experiments.core.errors import ConfigError, UsageError
from sdmr.experiments.core.messages import format_value, quote

EXPECTED = "expected key=value, a list key=[a,b], or text with such characters in quotes"
LARGE_NUMBER = re.compile(r"(?<=[=\[,( ])[+-]?\d[\d._]*e\+?\d+(?![^\]), ])", re.IGNORECASE)


def drop_plus(override: str) -> str:
    """Return an override without `+` or `++`. No setting may be added, except for Hydra's own."""
    return override if is_of_hydra(override) else override.lstrip("+")


def is_of_hydra(override: str) -> bool:
    """Tell whether an override is a setting of Hydra's own, such as a launcher."""
    return override.lstrip("+").startswith(("hydra.", "hydra/"))


def parse_value(argument: str) -> Any:
    """Return what Hydra's grammar makes of the value of `key=value`. Raises UsageError if it is not one value."""
    override = OverridesParser.create().parse_override(quote_value(argument))
    if override.is_sweep_override():
        key, _, values = argument.partition("=")
        raise UsageError(f"{argument}: expected one value; a list is written {key}=[{values}]")
    return override.value()


def quote_value(argument: str) -> str:
    """Return `key=value` with the quotes that Hydra's grammar needs, such as for ; and ~.

    Raises UsageError for a number that is too large, and for what seems meant as a list, text in quotes or a sweep.
    """
    key, equals, value = argument.partition("=")
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException as error:
        if not equals or (re.search(r"[\[\]{}()'\",]", value) and not key.endswith(".filter")):
            raise UsageError(f"{quote(argument)}: {EXPECTED}") from error
        return f"{key}={quote_text(value)}"
    if any(isinf(float(number)) for number in LARGE_NUMBER.findall(argument)):
        raise UsageError(f"{quote(argument)}: expected a number below 1.8e308")
    return argument


def expand_sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Return, for each override, the overrides that a multirun takes in its place.

    Raises ConfigError for text that Hydra's grammar does not know.
    """
    expanded, parser = [], OverridesParser.create()
    for text in overrides:
        try:
            override = parser.parse_override(text)
            values = override.sweep_string_iterator() if override.is_sweep_override() else []
            expanded.append([f"{text.partition('=')[0]}={value}" for value in values] or [text])
        except HydraException as error:
            raise ConfigError(f"{quote(text)}: {EXPECTED}") from error
    return expanded


def quote_elements(argument: str) -> str:
    """Return `key=[a,b]` with quotes around each element, so that all are text, such as 1_000."""
    key, _, value = argument.partition("=")
    elements = r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|[^\[\],'"\s][^\[\],'"]*"""
    quoted = re.sub(elements, lambda match: match[1] or quote_text(match[0].strip()), value)
    return argument if value == "null" else f"{key}={quoted}"


def format_setting(value: Any) -> str:
    """Return a value as it is typed behind `key=`, in quotes if it needs them."""
    text = "\\t" if value == "\t" else format_value(value)
    return quote_text(text) if isinstance(value, str) and re.search(r"[\[\]{}()'\",]", text) else text


def quote_text(text: str) -> str:
    """Return text in the quotes of Hydra's grammar."""
    escaped = re.sub(r'(\\*)("|$)', lambda match: 2 * match[1] + (r"\"" if match[2] else ""), text)
    return f'"{escaped}"'
