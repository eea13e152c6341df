"""The error for bad data, and the check of an option's value."""


class DataError(ValueError):
    """Report data that is missing, damaged or unexpected.

    The message names the file, the line where it is known, and what was expected.
    """


def check_choice(name: str, value: str, *allowed: str) -> None:
    """Raise ValueError if an option has none of the allowed values."""
    if value not in allowed:
        choices = " or ".join(f'"{choice}"' for choice in allowed)
        raise ValueError(f"{name} must be {choices}, not {value!r}")
