"""From a data set to its task: load, split, and cache the result."""

import functools
import hashlib
import io
import json
import logging
import os
import time
import zipfile
from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from sdmr.datasets.download import get_cache_folder, get_data_folder
from sdmr.datasets.errors import DataError, format_counts
from sdmr.datasets.files import compute_sha256, write_atomic
from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.raw_ids import RawArray
from sdmr.datasets.reads import OUTSIDE, hash_path, hash_text, is_data, list_named_files, track_reads
from sdmr.datasets.sources import find_source, list_project, list_texts
from sdmr.datasets.split import MIN_SEQUENCE_LENGTH, split
from sdmr.datasets.task import Contexts, HeldOut, Instances, Task, Training

log = logging.getLogger(__name__)

MAX_NAMED_FILES = 10_000  # of a task that is cached
LITTER_SECONDS = 60  # after which a temporary file in the cache has lost its writer
_ID_FIELDS = ("user_ids", "item_ids", "item_titles")  # of a Training; no part of fingerprints

# The labels of arrays in fingerprints and cache files. Published records hold such fingerprints: never change a label.
_VALIDATION_LABEL = "development"
_COUNT_LABEL = "candidate counts"  # only where rows have different numbers of candidates
_CONTEXT_LABELS = {"start": "start", "length": "length", "position": "place", "count": "count"}


def prepare(load: Callable[[], Interactions | Task], split_seed: int = 0, **split_options: Any) -> Task:
    """Load a data set and split it, or take the task from the cache.

    The cached task is used while settings, raw files (by checksum) and code are the same. The code is this package,
    the function's module, and what that imports from its project. The files of a user's function are those that Python
    opens, those that a library may open by itself since settings or code name them, and the names in listed folders. If
    there is none, or other programs or machines take part, the task is not cached. Nor is that of a lambda, an inner
    function or one of a notebook, which has no lasting name, or of an argument such as a table. A damaged cache file is
    created again. One message tells what was dropped and who only trains.

    Args:
        load: Loads interactions, or a task if the data comes with its split. Bind its settings by `functools.partial`.
        split_options: Options of `sdmr.datasets.split.split`.

    Raises:
        DataError: The data cannot be read, or has nothing to hold out.
        ValueError: Split options are set, but the data comes with its split.
    """
    call = functools.partial(load)
    task = _prepare(call, split_seed, split_options)
    label = call.keywords.get("path", call.func.__name__)
    if not len(task.test):
        full = task.report.get("users_with_every_item", 0)
        lack = f" and lacks an item ({full:,} users have every item)" if full else ""
        raise DataError(
            f"{label}: no user has {MIN_SEQUENCE_LENGTH} interactions or more{lack}, so that none can be held out"
        )
    if task.report:
        log.warning("%s: %s", label, format_counts(task.report))
    return task


def _prepare(call: functools.partial[Interactions | Task], split_seed: int, split_options: dict[str, Any]) -> Task:
    """Load and split the data, or take the task from the cache."""
    name = f"{call.func.__module__}.{call.func.__qualname__}"
    here, is_of_suite = Path.cwd().resolve(), name.startswith("sdmr.")
    folder = None if is_of_suite else here  # where a user's reader finds relative paths
    settings = [name, call.args, call.keywords, split_seed, split_options, get_data_folder(), folder]
    key = hash_text(json.dumps(settings, sort_keys=True, default=str))
    path = get_cache_folder() / "tasks" / f"{call.func.__name__}-{key[:16]}.npz"
    is_named = "<" not in name and _is_plain([*call.args, call.keywords])
    code = _hash_code(call.func.__module__) if is_named else None
    if code is not None and (cached := _load_task(path, code)) is not None:
        return cached
    with track_reads(is_watching=not is_of_suite) as files:
        data = call()
    if isinstance(data, Task) and split_options:
        raise ValueError(f"this data comes with its split: {', '.join(split_options)} cannot be chosen")
    task = data if isinstance(data, Task) else split(data, split_seed, **split_options)
    if code is not None:
        # Libraries that open files without Python are not watched.
        texts = set() if is_of_suite else list_texts(call.func.__module__, here)
        settings_files = list_named_files([*call.args, call.keywords], is_deep=not is_of_suite)
        code_files = filter(is_data, list_named_files(texts, is_deep=False))
        named = set(islice(chain(settings_files, code_files), MAX_NAMED_FILES + 1))
        files = {file for file in files if not file.is_relative_to(path.parent)}
        if len(named) > MAX_NAMED_FILES:
            log.warning("the settings name folders of more than %d files: the task is not cached", MAX_NAMED_FILES)
        elif is_of_suite or (OUTSIDE not in files and (files or named)):
            _save_task(task, path, code, files | named)
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
    if not np.array_equal(task.test.contexts.items, arrays["items"]):
        arrays["test items"] = task.test.contexts.items
    sides = {"training": training.instances, _VALIDATION_LABEL: training.validation, "test": task.test}
    for name, side in sides.items():
        arrays |= {f"{name} users": side.users, f"{name} targets": side.targets}
        arrays |= {f"{name} {label}": getattr(side.contexts, field) for field, label in _CONTEXT_LABELS.items()}
        if isinstance(side, HeldOut):
            arrays[f"{name} candidates"] = side.candidates
            if side.n_candidates is not None:
                arrays[f"{name} {_COUNT_LABEL}"] = side.n_candidates
            if side.ranked_items is not None:
                arrays[f"{name} ranked items"] = side.ranked_items
    return arrays


def _build_task(arrays: dict[str, IntArray], ids: dict[str, Any], report: dict[str, int]) -> Task:
    """Build the task from the arrays of `_collect_arrays`, and what is in no fingerprint."""
    n_users, n_items = arrays["size"].tolist()

    def build_instances(side: str) -> Instances:
        fields = {field: arrays[f"{side} {label}"] for field, label in _CONTEXT_LABELS.items()}
        contexts = Contexts(arrays.get(f"{side} items", arrays["items"]), **fields, padding=n_items)
        return Instances(arrays[f"{side} users"], arrays[f"{side} targets"], contexts)

    def build_held_out(side: str) -> HeldOut:
        counts, ranked_items = arrays.get(f"{side} {_COUNT_LABEL}"), arrays.get(f"{side} ranked items")
        instances, candidates = build_instances(side), arrays[f"{side} candidates"]
        return HeldOut(**vars(instances), candidates=candidates, n_candidates=counts, ranked_items=ranked_items)

    training = Training(n_users, n_items, build_instances("training"), build_held_out(_VALIDATION_LABEL), **ids)
    return Task(training, build_held_out("test"), report)


def _save_task(task: Task, path: Path, code: str, files: set[Path]) -> None:
    """Save a task in 32-bit integers, which load twice as fast; warn if that fails."""
    hashes = {str(file): hash_path(file) for file in sorted(files)}
    facts: dict[str, Any] = {
        "code": code,
        "fingerprint": compute_fingerprint(task),
        "files": hashes,
        "report": dict(task.report),
    }
    ids = {name: getattr(task.training, name) for name in _ID_FIELDS}
    facts |= {name: None if values is None else values.tolist() for name, values in ids.items()}
    origin = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    arrays = {label: array.astype(np.int32) for label, array in _collect_arrays(task).items()}
    content = io.BytesIO()
    np.savez(content, origin=origin, **arrays)  # type: ignore[arg-type]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in path.parent.glob(".*.npz.*"):  # left by a process that was killed while it wrote
            if file.stat().st_mtime < time.time() - LITTER_SECONDS:
                file.unlink()
        write_atomic(path, content.getvalue())
    except OSError as error:
        log.warning("%s cannot be written (%s): the task is made again next time", path, error)


def _load_task(path: Path, code: str) -> Task | None:
    """Load a cached task; return None if it is missing, outdated or damaged."""
    try:
        with np.load(path) as cached:
            origin = json.loads(cached["origin"].tobytes())
            if origin["code"] != code or any(hash_path(Path(file)) != old for file, old in origin["files"].items()):
                return None
            arrays = {label: cached[label].astype(np.int64) for label in cached.files if label != "origin"}
            ids = {name: _restore_ids(origin[name]) for name in _ID_FIELDS if origin[name] is not None}
            task = _build_task(arrays, ids, origin["report"])
        if compute_fingerprint(task) != origin["fingerprint"]:
            raise ValueError("its fingerprint differs")
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError, KeyError, OSError, EOFError, zipfile.BadZipFile):
        log.warning("%s is damaged and is created again", path)
        return None
    return task


def _restore_ids(values: list[Any]) -> RawArray:
    """Make the array of ids that JSON holds as a list: text, or integers."""
    if isinstance(values[0], str):
        return np.array(values, dtype=object)
    return np.array(values, dtype=np.uint64 if max(values) > np.iinfo(np.int64).max else np.int64)


def _is_plain(values: Any) -> bool:
    """Tell whether the key of a cache file can hold values: text, numbers and paths."""
    try:
        json.dumps(values, default=os.fspath)
    except TypeError:
        return False
    return True


def _hash_code(module: str) -> str | None:
    """Hash the source of this package, and of a module and its project.

    Return None for a module without a file.
    """
    if module == "__main__" or find_source(module) is None:
        return None
    sources = [find_source(name) for name in list_project(module, Path.cwd().resolve())]
    files = {*Path(__file__).parent.glob("*.py"), *filter(None, sources)}
    return hash_text("".join(sorted(compute_sha256(file) for file in files)))
