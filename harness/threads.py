"""The threads among which compiled loops, which release Python's lock, share their work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Always the same threads for a number of them: to start them costs more than many a loop."""
    return ThreadPoolExecutor(threads)
