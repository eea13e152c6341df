"""The error of bad data, and what messages need."""

from collections.abc import Mapping


class DataError(ValueError):
    """Report data that is missing, damaged or unexpected.

    The message names the file, the line where it is known, and what was expected.
    """


def check_choice(name: str, value: str, *allowed: str) -> None:
    """Raise ValueError if an option has none of the allowed values."""
    if value not in allowed:
        choices = " or ".join(f'"{choice}"' for choice in allowed)
        raise ValueError(f"{name} must be {choices}, not {value!r}")


def format_counts(counts: Mapping[str, int]) -> str:
    """Format the numbers of dropped rows, or of users, by reason."""
    return ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in counts.items())


def quote(value: object, length: int = 80) -> str:
    """Cut a value to `length` characters and escape its control characters, for a message."""
    text = str(value)
    text = text if len(text) <= length else f"{text[:length]}..."
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def quote_name(value: object, length: int = 80) -> str:
    """Quote a value, with quotation marks if it has a blank at an end."""
    return quote(repr(value) if isinstance(value, str) and value != value.strip() else value, length)
