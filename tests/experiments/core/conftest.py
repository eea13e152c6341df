"""The command line in this process, for the tests of core."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from sdmr.experiments.core import cli


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The only line on stderr."""
        (line,) = self.err.splitlines()
        return line


Sdmr = Callable[..., Answer]


@pytest.fixture
def sdmr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sdmr:
    """Run `sdmr ARGUMENTS` in this process; what it changes for good is undone at the end of the test."""
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        status = cli.main(arguments)
        return Answer(status, *capsys.readouterr())

    return run
