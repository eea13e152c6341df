"""Interruptions by Ctrl-C that compiled code survives."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

RETRY_SECONDS = 0.0001  # after which the result is made, and Python goes on


@contextmanager
def postpone_interrupts() -> Iterator[None]:
    """Postpone KeyboardInterrupt while Numba makes the result of a compiled function.

    Numba calls Python to make a named tuple, and does not expect an error there: the process would end by a
    segmentation fault. Handlers that a caller has set stay as they are.
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    is_main = threading.current_thread() is threading.main_thread()
    if not is_default or not is_main or not hasattr(signal, "setitimer"):
        yield
        return
    other = signal.signal(signal.SIGALRM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGALRM, other)


def _interrupt(_: int, frame: FrameType | None) -> None:
    if is_making_result(frame):
        signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS)
        return
    raise KeyboardInterrupt


def is_making_result(frame: FrameType | None) -> bool:
    """Tell whether the innermost frame is one that Numba calls to make a named tuple."""
    code = frame and frame.f_code
    if code and (code.co_filename, code.co_name) == ("<string>", "<lambda>"):  # `__new__` of a named tuple
        return True
    while frame:
        if frame.f_code.co_name == "_numba_unpickle":  # finds the class of the named tuple
            return True
        frame = frame.f_back
    return False
