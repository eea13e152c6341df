"""The one door from a data set to its task: read, split, and keep the result for the next time."""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
import json
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.parsing import files_read
from sdmr.datasets.sources import cache_folder, data_folder, sha256, write_whole
from sdmr.datasets.split import split
from sdmr.datasets.task import Contexts, HeldOut, Instances, Task, Training

log = logging.getLogger(__name__)


def prepare(read: Callable[[], Interactions | Task], split_seed: int = 0, **how: Any) -> Task:
    """The task made of what `read` returns: interactions to be split, or a task whose split came with the data.

    `how` is handed to `datasets.split.split`; a task whose split came with the data has none, which is an error. `read`
    is a function of this package or anyone's, its settings bound by `functools.partial`. The task is kept in the
    cache and taken from there while the settings, the raw files that were read (by their checksums), and the code that
    read and split them are the same; a damaged entry is made anew. A lambda or an inner function has no name of its own
    and is not cached.
    """
    call = functools.partial(read)
    entry = _entry(call, split_seed, how)
    if entry is None:
        return _make(read, split_seed, how)
    code = _code(call.func)
    task = _load(entry, code)
    if task is None:
        with files_read() as files:
            task = _make(read, split_seed, how)
        _save(task, entry, code, files)
    return task


def fingerprint(task: Task) -> str:
    """The sha256 of the split, its contexts and its candidates: of every number in the task."""
    digest = hashlib.sha256()
    for name, array in _arrays(task).items():
        digest.update(f"{name} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array, dtype="<i8").data)
    return digest.hexdigest()


def _make(read: Callable[[], Interactions | Task], split_seed: int, how: dict[str, Any]) -> Task:
    data = read()
    if not isinstance(data, Task):
        return split(data, split_seed, **how)
    if how:
        raise ValueError(f"this data comes with its split: {', '.join(how)} cannot be chosen")
    return data


def _entry(call: functools.partial[Interactions | Task], split_seed: int, how: dict[str, Any]) -> Path | None:
    name = f"{call.func.__module__}.{call.func.__qualname__}"
    if "<" in name:
        return None
    settings = [name, call.args, call.keywords, split_seed, how, data_folder()]
    key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
    return cache_folder() / "tasks" / f"{call.func.__name__}-{key[:16]}.npz"


def _code(function: Callable[..., Any]) -> str:
    """A checksum of this package's source and of the module that the function stands in."""
    modules = {*Path(__file__).parent.glob("*.py"), Path(inspect.getfile(function)).resolve()}
    return hashlib.sha256("".join(sorted(sha256(module) for module in modules)).encode()).hexdigest()


def _arrays(task: Task) -> dict[str, IntArray]:
    """Everything in the task, by name. The three parts' contexts point into one array of training items."""
    training = task.training
    parts: dict[str, Instances] = {
        "training": training.instances,
        "development": training.development,
        "test": task.test,
    }
    arrays = {
        "size": np.array([training.n_users, training.n_items]),
        "items": training.instances.contexts.items,
    }
    for name, part in parts.items():
        contexts = part.contexts
        arrays |= {f"{name} users": part.users, f"{name} targets": part.targets}
        arrays |= {f"{name} {field}": getattr(contexts, field) for field in ("start", "length", "place", "count")}
        if isinstance(part, HeldOut):
            arrays[f"{name} candidates"] = part.candidates
    return arrays


def _task(arrays: dict[str, IntArray]) -> Task:
    """The inverse of `_arrays`."""
    n_users, n_items = (int(size) for size in arrays["size"])

    def instances(part: str) -> Instances:
        start, length, place, count = (arrays[f"{part} {field}"] for field in ("start", "length", "place", "count"))
        contexts = Contexts(arrays["items"], start, length, place, count, padding=n_items)
        return Instances(arrays[f"{part} users"], arrays[f"{part} targets"], contexts)

    def held_out(part: str) -> HeldOut:
        plain = instances(part)
        return HeldOut(plain.users, plain.targets, plain.contexts, arrays[f"{part} candidates"])

    return Task(Training(n_users, n_items, instances("training"), held_out("development")), held_out("test"))


def _save(task: Task, entry: Path, code: str, files: set[Path]) -> None:
    """Numbers in 32 bits, since half the bytes load in half the time; and a note of what they were made from."""
    note = {
        "code": code,
        "fingerprint": fingerprint(task),
        "files": {str(path): _checksum(path) for path in sorted(files)},
    }
    small = {name: array.astype(np.int32) for name, array in _arrays(task).items()}
    content = io.BytesIO()
    np.savez(content, note=np.frombuffer(json.dumps(note).encode(), dtype=np.uint8), **small)  # type: ignore[arg-type]
    write_whole(entry, content.getvalue())


def _load(entry: Path, code: str) -> Task | None:
    """The task kept in `entry`; None if there is none, or it is of other code or raw files, or damaged."""
    if not entry.is_file():
        return None
    try:
        with np.load(entry) as kept:
            note = json.loads(kept["note"].tobytes())
            if note["code"] != code or any(_checksum(Path(path)) != old for path, old in note["files"].items()):
                return None
            arrays: dict[str, NDArray[np.int64]] = {
                name: kept[name].astype(np.int64) for name in kept.files if name != "note"
            }
        task = _task(arrays)
        intact = fingerprint(task) == note["fingerprint"]
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s is damaged (%s) and is made anew", entry, error)
        return None
    if not intact:
        log.warning("%s is damaged (its numbers are not those written) and is made anew", entry)
        return None
    return task


def _checksum(path: Path) -> str:
    """Of a file, its sha256; of a folder, that of its files' names; a path that is gone has none."""
    if path.is_dir():
        return hashlib.sha256("\n".join(sorted(file.name for file in path.iterdir())).encode()).hexdigest()
    return sha256(path) if path.is_file() else ""
