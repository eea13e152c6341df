"""The files that data was read from, and whether they are still the same."""

import glob
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from sdmr.datasets.files import compute_sha256

EVENTS = ("open", "os.listdir", "os.scandir", "sqlite3.connect")  # of Python's audit, whose first argument is a path
OUTSIDE_EVENTS = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "socket.connect")
OUTSIDE = Path("another program or machine")  # stands for what a reader takes from there
WRITING = os.O_WRONLY | os.O_TRUNC | os.O_APPEND | os.O_EXCL
INTERPRETER = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
CODE_FOLDERS = {"site-packages", "dist-packages", "__pycache__"}
_recorded: ContextVar[set[Path]] = ContextVar("recorded")
_watching: list[set[Path]] = []  # what each context that watches Python has collected


@contextmanager
def track_reads(is_watching: bool = False) -> Iterator[set[Path]]:
    """Collect in a set the files that are read within the context.

    They are those of `record_read`.

    Args:
        is_watching: Whether files count that Python opens, and folders that it lists, in any thread of this process.
            Other libraries may open files themselves, as pyarrow does. `OUTSIDE` stands for other programs that the
            code starts, and machines that it connects to.
    """
    files: set[Path] = set()
    token = _recorded.set(files)
    if is_watching:
        _install_hook()
        _watching.append(files)
    try:
        yield files
    finally:
        _recorded.reset(token)
        _watching[:] = [one for one in _watching if one is not files]


def record_read(path: Path) -> None:
    """Record that the data depends on this file, or on the contents of this folder."""
    _recorded.get(set()).add(path)


@cache
def _install_hook() -> None:
    """Install the audit hook once: Python cannot remove it."""
    sys.addaudithook(_note_event)


def _note_event(event: str, arguments: tuple[Any, ...]) -> None:
    """Note a file that Python opens for reading, or a folder that it lists."""
    if _watching and event in OUTSIDE_EVENTS:
        for files in _watching:
            files.add(OUTSIDE)
    if not _watching or event not in EVENTS:
        return
    path = "." if arguments[0] is None else arguments[0]
    is_written = event == "open" and (arguments[2] or 0) & WRITING
    caller = sys._getframe().f_back
    is_import = caller is not None and caller.f_code.co_filename.startswith("<frozen importlib")
    if isinstance(path, str | bytes | os.PathLike) and not is_written and not is_import:
        file = Path(os.path.abspath(os.fsdecode(path)))
        if is_data(file):
            for files in _watching:
                files.add(file)


def is_data(path: Path) -> bool:
    """Tell whether a path is neither code nor the system's state."""
    is_code = path.suffix in (".py", ".pyc") or not CODE_FOLDERS.isdisjoint(path.parts)
    is_state = path.parts[:2] in (("/", "proc"), ("/", "sys"), ("/", "dev")) and path.parts[2:3] != ("shm",)
    return not (is_code or is_state or any(path.is_relative_to(folder) for folder in INTERPRETER if folder))


def list_named_files(values: Any, is_deep: bool) -> Iterator[Path]:
    """Yield the files that texts name, as in settings.

    Args:
        values: The texts and other values, in lists and mappings at any depth.
        is_deep: Whether a text also stands for what is below it, if it is a folder, and for the files that have its
            name before a suffix: x for x.users.
    """
    for value in _flatten(values):
        if not isinstance(value, str | Path) or not str(value):
            continue
        path = os.path.abspath(os.path.expanduser(value))
        names = [path, *(glob.iglob(f"{glob.escape(path)}.*") if is_deep else ())]
        yield from map(Path, filter(os.path.isfile, names))
        if is_deep and os.path.isdir(path):
            for folder, _, names in os.walk(path, followlinks=True):
                yield from (Path(folder), *(Path(folder, name) for name in names))


def _flatten(value: Any) -> Iterator[Any]:
    """Yield the values in lists and mappings, at any depth."""
    if isinstance(value, Mapping | list | tuple | set):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _flatten(one)
    else:
        yield value


def hash_path(path: Path) -> str:
    """Hash a file's content or a folder's file names; return "" if unreadable."""
    if not os.access(path, os.R_OK):
        return ""
    if path.is_dir():
        return hash_text("\n".join(sorted(file.name for file in path.iterdir())))
    return compute_sha256(path) if path.is_file() else ""


def hash_text(text: str) -> str:
    """Compute the sha256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
