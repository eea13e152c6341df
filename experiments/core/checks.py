"""Checks that print a line each: passed, or what is wrong."""

import traceback
from collections.abc import Callable, Iterable

from sdmr.datasets.errors import DataError
from sdmr.experiments.core import cli

PASSED, FAILED, NOTE = "passed  ", "FAILED  ", "note    "  # how a line starts


def describe_check(name: str, check: Callable[[], object]) -> str:
    """Return a check's result in one line: passed, or what is wrong."""
    try:
        check()
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split())[:300]
        if not isinstance(error, DataError):  # an error of the model's code, whose line helps
            last = traceback.extract_tb(error.__traceback__)[-1]
            message = f"{type(error).__name__}: {message} ({last.filename}, line {last.lineno})"
        return f"{FAILED}{name}: {message}"
    return f"{PASSED}{name}"


def print_checks(lines: Iterable[str]) -> int:
    """Print each line as it comes, and how many checks failed. Returns the exit status.

    A note is no check.
    """
    total = failed = 0
    for line in lines:
        print(line, flush=True)
        total += not line.startswith(NOTE)
        failed += line.startswith(FAILED)
    print(f"{failed} of {total} checks failed" if failed else f"all {total} checks passed")
    return cli.FAILED if failed else 0
