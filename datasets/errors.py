"""The error that all layers raise for bad data."""


class DataError(ValueError):
    """Report data that is missing, damaged or unexpected.

    The message names the file, the line where it is known, and what was expected.
    """
