"""The two sides, old and new: their code, how it is called, and the processes that run it."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import names
import variants

OLD_COMMIT = "d2b9968"
CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / "runs" / "safety-net"  # of all that both sides write
TIMEOUT = 300  # seconds of a command
ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
ENVIRONMENT |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0", "HYDRA_FULL_ERROR": "1"}


@dataclass(frozen=True)
class Commands:
    """How a side is called: `python -m MODULE ARGUMENT … OVERRIDE …`, and the modules to import before."""

    run: tuple[str, ...]
    export: tuple[str, ...]
    imported: tuple[str, ...]
    package: str | None = None  # the name of the checkout's folder as a package; None: its folders are the packages


OLD = Commands(("experiments.run",), ("experiments.export",), ("experiments.run", "experiments.export"))
NEW = Commands(("sdmr.experiments.run",), ("sdmr.experiments.export",), ("sdmr.experiments.run",), package="sdmr")


class Failed(Exception):
    """A case cannot be run on one side."""


class Worker:
    """A process with the code of one checkout, which runs one command after the other (`worker.py`)."""

    def __init__(self, checkout: Path, commands: Commands, cache: Path) -> None:
        import_path = checkout if commands.package is None else _link_package(checkout, commands.package, cache.parent)
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(import_path), "SDMR_CACHE": str(cache)}
        environment.pop("SDMR_DATA", None)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), *commands.imported],
            cwd=FOLDER / "data",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for module, path in self._read_answer()["imported"].items():
            if not Path(path).resolve().is_relative_to(checkout.resolve()):
                raise Failed(f"{module} is imported from {path}, not from {checkout}")

    def run(
        self, command: tuple[str, ...], arguments: list[str], folder: Path, until: str | None = None, **variables: str
    ) -> int:
        """Run a command that writes its output into `folder`, and return its exit status."""
        module, *first = command
        job = {"module": module, "arguments": [*first, *arguments], "environment": variables}
        job |= {"out": str(folder / "out.txt"), "errors": str(folder / "errors.txt")}
        job |= {"until": until, "seconds": TIMEOUT}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        code: int = self._read_answer()["code"]
        return code

    def _read_answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"the process that runs commands has ended: {get_last_line(self._process.stderr.read())}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _link_package(checkout: Path, package: str, folder: Path) -> Path:
    """Return a folder in which the checkout has the package's name, whatever is installed."""
    link = folder / "packages" / package
    link.parent.mkdir(exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(checkout, target_is_directory=True)
    return link.parent


class Side:
    """Old or new: its checkout, made when first needed, and a worker for each thread."""

    def __init__(self, name: str, commands: Commands, cache: Path) -> None:
        self.name, self.commands = name, commands
        self._cache, self._checkout = cache, None if name == "old" else CHECKOUT
        self._workers: dict[int, Worker] = {}
        self._failure: Failed | None = None
        self._lock, self._stack = threading.Lock(), ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers.values():
            worker.close()
        self._stack.close()

    @property
    def is_new(self) -> bool:
        return self.name == "new"

    def get_worker(self) -> Worker:
        """Return the worker of this thread."""
        thread = threading.get_ident()
        with self._lock:
            if self._failure:  # modules that cannot be imported once are not tried again for every case
                raise self._failure
            if self._checkout is None:
                self._checkout = self._stack.enter_context(check_out_old_code())
            if thread not in self._workers:
                try:
                    self._workers[thread] = Worker(self._checkout, self.commands, self._cache)
                except Failed as error:
                    self._failure = error
                    raise
            return self._workers[thread]

    def name_overrides(self, overrides: tuple[str, ...]) -> list[str]:
        """Return old overrides in this side's names."""
        return variants.choose_class(names.translate_overrides(overrides)) if self.is_new else list(overrides)

    def name_file(self, file: str) -> str:
        """Return the name of an old file on this side."""
        return names.translate_file(file) if self.is_new else file

    def name_key(self, key: str) -> str:
        """Return an old key of a record or a checkpoint in this side's names."""
        return (names.translate_override(key) or key) if self.is_new else key


@contextmanager
def check_out_old_code() -> Iterator[Path]:
    """Check the old code out, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="safety-net-") as folder:
        checkout = Path(folder, "old")
        _run_git("worktree", "add", "--quiet", "--detach", str(checkout), OLD_COMMIT)
        try:
            yield checkout
        finally:
            _run_git("worktree", "remove", "--force", str(checkout))


def _run_git(*arguments: str) -> None:
    done = subprocess.run(["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"git {' '.join(arguments)}: {get_last_line(done.stderr)}")


def get_last_line(text: str) -> str:
    """Return the last line that is not empty, or "no message"."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")
