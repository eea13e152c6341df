"""From a data set to its task: load, split, and cache the result."""

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

from sdmr.datasets.download import get_cache_folder, get_data_folder
from sdmr.datasets.files import compute_sha256, write_atomic
from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.raw import track_reads
from sdmr.datasets.split import split
from sdmr.datasets.task import Contexts, HeldOut, Instances, Task, Training

log = logging.getLogger(__name__)

# The labels of arrays in fingerprints and cache files. Published records hold such fingerprints: never change a label.
_VALIDATION_LABEL = "development"
_CONTEXT_LABELS = {"start": "start", "length": "length", "position": "place", "count": "count"}


def prepare(load: Callable[[], Interactions | Task], split_seed: int = 0, **split_options: Any) -> Task:
    """Load a data set and split it, or take the task from the cache.

    The cached task is used while settings, raw files (by checksum) and code are the same. A damaged cache file is
    created again. A lambda or an inner function has no unique name, so its task is not cached.

    Args:
        load: Loads interactions, or a task if the data comes with its split. Bind its settings by `functools.partial`.
        split_options: Options of `sdmr.datasets.split.split`.

    Raises:
        ValueError: Split options are set, but the data comes with its split.
    """
    call = functools.partial(load)
    name = f"{call.func.__module__}.{call.func.__qualname__}"
    settings = [name, call.args, call.keywords, split_seed, split_options, get_data_folder()]
    key = _hash_text(json.dumps(settings, sort_keys=True, default=str))
    path = get_cache_folder() / "tasks" / f"{call.func.__name__}-{key[:16]}.npz"
    is_cacheable = "<" not in name
    code = _hash_code(call.func) if is_cacheable else ""
    if is_cacheable and (cached := _load_task(path, code)) is not None:
        return cached
    with track_reads() as files:
        data = load()
    if isinstance(data, Task) and split_options:
        raise ValueError(f"this data comes with its split: {', '.join(split_options)} cannot be chosen")
    task = data if isinstance(data, Task) else split(data, split_seed, **split_options)
    if is_cacheable:
        _save_task(task, path, code, files)
    return task


def compute_fingerprint(task: Task) -> str:
    """Compute the sha256 of every number in a task: split, contexts and candidates."""
    digest = hashlib.sha256()
    for label, array in _collect_arrays(task).items():
        digest.update(f"{label} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array, dtype="<i8").data)
    return digest.hexdigest()


def _collect_arrays(task: Task) -> dict[str, IntArray]:
    """Collect all arrays of a task by label."""
    training = task.training
    arrays = {"size": np.array([training.n_users, training.n_items]), "items": training.instances.contexts.items}
    sides = {"training": training.instances, _VALIDATION_LABEL: training.validation, "test": task.test}
    for name, side in sides.items():
        arrays |= {f"{name} users": side.users, f"{name} targets": side.targets}
        arrays |= {f"{name} {label}": getattr(side.contexts, field) for field, label in _CONTEXT_LABELS.items()}
        if isinstance(side, HeldOut):
            arrays[f"{name} candidates"] = side.candidates
    return arrays


def _build_task(arrays: dict[str, IntArray]) -> Task:
    """Build the task from the arrays of `_collect_arrays`."""
    n_users, n_items = arrays["size"].tolist()

    def build_instances(side: str) -> Instances:
        fields = {field: arrays[f"{side} {label}"] for field, label in _CONTEXT_LABELS.items()}
        contexts = Contexts(arrays["items"], **fields, padding=n_items)
        return Instances(arrays[f"{side} users"], arrays[f"{side} targets"], contexts)

    def build_held_out(side: str) -> HeldOut:
        return HeldOut(**vars(build_instances(side)), candidates=arrays[f"{side} candidates"])

    training = Training(n_users, n_items, build_instances("training"), build_held_out(_VALIDATION_LABEL))
    return Task(training, build_held_out("test"))


def _save_task(task: Task, path: Path, code: str, files: set[Path]) -> None:
    """Save a task in 32-bit integers, which load twice as fast, with its origin."""
    hashes = {str(file): _hash_path(file) for file in sorted(files)}
    origin = json.dumps({"code": code, "fingerprint": compute_fingerprint(task), "files": hashes})
    arrays = {label: array.astype(np.int32) for label, array in _collect_arrays(task).items()}
    content = io.BytesIO()
    np.savez(content, origin=np.array(origin), **arrays)  # type: ignore[arg-type]
    write_atomic(path, content.getvalue())


def _load_task(path: Path, code: str) -> Task | None:
    """Load a cached task; return None if it is missing, outdated or damaged."""
    try:
        with np.load(path) as cached:
            origin = json.loads(str(cached["origin"]))
            if origin["code"] != code or any(_hash_path(Path(file)) != old for file, old in origin["files"].items()):
                return None
            task = _build_task({label: cached[label].astype(np.int64) for label in cached.files if label != "origin"})
        if compute_fingerprint(task) != origin["fingerprint"]:
            raise ValueError("its fingerprint differs")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s is damaged (%s) and is created again", path, error)
        return None
    return task


def _hash_code(function: Callable[..., Any]) -> str:
    """Hash the source of this package and of the function's module."""
    modules = {*Path(__file__).parent.glob("*.py"), Path(inspect.getfile(function)).resolve()}
    return _hash_text("".join(sorted(compute_sha256(module) for module in modules)))


def _hash_path(path: Path) -> str:
    """Hash a file's content or a folder's file names; return "" for a missing path."""
    if path.is_dir():
        return _hash_text("\n".join(sorted(file.name for file in path.iterdir())))
    return compute_sha256(path) if path.is_file() else ""


def _hash_text(text: str) -> str:
    """Compute the sha256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
