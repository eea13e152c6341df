"""The command line in this process, for the tests of core."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

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


USER_MODEL = '''
"""A model from outside the checkout. It notes in its folder that a process is here, and that one has fitted it."""

import os
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
(HERE / f"here-{os.getpid()}").touch()


class Nearest:
    def __init__(self, weight=1.0, wait_for=1):
        self.weight, self.wait_for = weight, wait_for

    def fit(self, training):
        if self.weight < 0:
            raise ArithmeticError("a weight below 0")
        (HERE / f"fitted-{os.getpid()}").touch()
        deadline = time.monotonic() + 120
        while len(list(HERE.glob("here-*"))) < self.wait_for and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)

    def score(self, users, contexts, candidates):
        assert contexts.shape[1] == 20
        return -self.weight * np.abs(candidates - users[:, None]).astype(np.float64)
'''


USER_OVERRIDES = ("model._target_=own_nearest.Nearest",)


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "own_nearest.py").write_text(USER_MODEL)
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("own_nearest", None)
