"""Ctrl-C while compiled code runs."""

import signal
import subprocess
import sys

from sdmr.experiments.core.interrupts import postpone_interrupts

PROGRAM = """
import os, random, signal, threading, time
from typing import NamedTuple

import numba
import numpy as np

from sdmr.experiments.core.interrupts import postpone_interrupts


class Pair(NamedTuple):
    first: np.ndarray
    second: np.ndarray


@numba.njit(nogil=True)
def add(x):
    return Pair(x + 1, x + 2), Pair(x, x)


def interrupt():
    while True:
        time.sleep(random.uniform(0.0005, 0.005))
        if is_running.is_set():
            is_running.clear()
            os.kill(os.getpid(), signal.SIGINT)


x, is_running = np.zeros(3), threading.Event()
add(x)
threading.Thread(target=interrupt, daemon=True).start()
count = 0
while count < 300:
    try:
        with postpone_interrupts():
            is_running.set()
            while True:
                add(x)
    except KeyboardInterrupt:
        count += 1
print(count, "interrupts")
"""


def test_no_interrupt_ends_a_process_while_numba_makes_a_named_tuple() -> None:
    answer = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM], capture_output=True, text=True, timeout=300, check=False
    )
    assert (answer.returncode, answer.stdout) == (0, "300 interrupts\n"), answer.stderr


def test_handlers_are_those_of_before_at_the_end() -> None:
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGALRM)]
    with postpone_interrupts():
        assert signal.getsignal(signal.SIGINT) is not handlers[0]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGALRM)] == handlers


def test_a_handler_of_the_caller_stays() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with postpone_interrupts():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
