"""Errors of what is typed on the command line."""


class UsageError(ValueError):
    """A typed argument that cannot be understood, or asks for something not allowed."""


class ConfigError(UsageError):
    """A setting that is unknown, is missing, or has a value that is not allowed."""


class NotTunedError(ConfigError):
    """The lack of tuned settings for a model on some data."""
