"""Name and read the records of runs: what was run, by what, with what result.

A run is known by its configuration, its data, and the source that computes it. A digest of the three names the run.
A finished run is therefore reused, and results of older code never are.
"""

import ast
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
import zlib
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.sources import find_imports
from sdmr.harness.files import save_arrays
from sdmr.harness.metrics import Ranks
from sdmr.harness.schema1 import RANKS, translate_optimizers, translate_record

LAYERS = ("sdmr.datasets", "sdmr.harness", "sdmr.models", "sdmr.baselines")
# Modules that refuse a model or leave its numbers as they are.
CHECKS = ("sdmr.harness.score_check", "sdmr.harness.training.probe")
_ALL = "all_"  # before the names of arrays in `ranks.npz`: among all items
_STEPS = "user_steps"  # differences of the users; older files have `users`
_FOLDERS = ("datasets", "harness", "models", "baselines", "experiments")
_ROOT = Path(__file__).parent.parent
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def compute_run_key(configuration: dict[str, Any], data: str, source: str) -> str:
    """Return twelve hexadecimal digits that name a run.

    Args:
        configuration: The settings that a run is known by.
        data: The digest of the task.
        source: The digest of the code.
    """
    text = json.dumps([configuration, data, source], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def format_run_name(target: str, configuration: dict[str, Any], data: str, source: str) -> str:
    """Return the name of a run and of its folder: the class and the key."""
    return f"{target.rpartition('.')[2]}-{compute_run_key(configuration, data, source)}"


@cache
def compute_source_digest(*modules: str) -> str:
    """Return the sha256 of the named modules' code, and of all that they import.

    Imports count at any depth if they are modules of the four layers. A module from outside the layers (a user's model)
    counts with its file alone; `CHECKS` do not. The code is the syntax tree without docstrings, so comments do not
    count. Raises ValueError for a module without source.
    """
    sources: dict[str, str] = {}
    pending = list(modules)
    while pending:
        name = pending.pop()
        if name in sources or name in CHECKS:
            continue
        spec = find_spec(name)
        if spec is None or spec.origin is None or not Path(spec.origin).is_file():
            raise ValueError(f"module {name!r} has no source file: expected a module written in Python")
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        sources[name] = ast.dump(_remove_docstrings(tree))
        pending.extend(filter(_is_layer_module, find_imports(tree, name, Path(spec.origin).name == "__init__.py")))
    digest = hashlib.sha256()
    for name, code in sorted(sources.items()):
        digest.update(f"{name}\n{code}\n".encode())
    return digest.hexdigest()


def _remove_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, _Documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


def _is_layer_module(name: str) -> bool:
    try:
        return f"{name}.".startswith(tuple(f"{layer}." for layer in LAYERS)) and find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is no package, but a module that defines the name
        return False


def read_record(path: Path) -> dict[str, Any]:
    """Read a record of any schema in today's names.

    Schema 1 does not hold the run's name, which is computed before the translation. Raises ValueError if the file holds
    no JSON.
    """
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "run" not in record:
        if {"model", "config", "data", "source"} <= record.keys():
            record["run"] = format_run_name(record["model"], record["config"], record["data"], record["source"])
        record = translate_record(record)
    return record | {"config": translate_optimizers(record["config"])} if "config" in record else record


def save_ranks(path: Path, users: IntArray, ranks: Ranks, full_ranks: tuple[IntArray, Ranks] | None = None) -> None:
    """Write the user of each instance, and its ranks, in the smallest integers.

    Of the users, the file has the differences, which take less space. `full_ranks` has the numbers of the instances
    that are ranked among all items, too, and these ranks.
    """
    arrays = {_STEPS: np.diff(users, prepend=0), **ranks.to_arrays()}
    if full_ranks is not None:
        arrays |= {f"{_ALL}{name}": array for name, array in full_ranks[1].to_arrays().items()}
        if len(full_ranks[0]) < len(users):
            arrays[f"{_ALL}rows"] = full_ranks[0]
    dtypes = {name: np.result_type(*map(np.min_scalar_type, (a.min(), a.max()))) for name, a in arrays.items()}
    save_arrays(path, **{name: array.astype(dtypes[name]) for name, array in arrays.items()})


def read_ranks(path: Path, is_among_all: bool = False) -> tuple[IntArray, Ranks]:
    """Read the user [n] of each instance, and its ranks, from a run's `ranks.npz`.

    With `is_among_all`, these are the ranks among all items, of a sample of the instances if only those have any.
    Raises DataError if the file is missing or damaged.
    """
    try:
        with np.load(path) as saved:
            arrays = {RANKS.get(name, name): saved[name].astype(np.int64) for name in saved.files}
        full = {name.removeprefix(_ALL): arrays.pop(name) for name in list(arrays) if name.startswith(_ALL)}
        users = np.cumsum(arrays.pop(_STEPS)) if _STEPS in arrays else arrays.pop("users")
        return (users[full.pop("rows", slice(None))], Ranks(**full)) if is_among_all else (users, Ranks(**arrays))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    except (ValueError, TypeError, LookupError, AttributeError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged: it holds no ranks") from error


def collect_environment() -> dict[str, Any]:
    """Return versions, machine, threads, and the checkout's commit ("+" if it was changed)."""
    packages = ("torch", "numpy", "numba", "scipy", "scikit-learn", "implicit", "fastslim")
    return {
        "commit": _get_commit(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _read_proc("cpuinfo", "model name") or platform.processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def read_clocks() -> tuple[float, float]:
    """Return the seconds of the wall clock, and those of the CPU so far.

    The latter are of this process, all its threads, and its children that have ended.
    """
    return time.perf_counter(), time.process_time() + sum(os.times()[2:4])


def get_load() -> float:
    """Return how many processes ran or waited for a core, in the last minute's mean."""
    return os.getloadavg()[0]


def get_peak_memory() -> float:
    """Return the largest resident size of this process so far, in MiB."""
    # On Linux ru_maxrss includes what the parent held when it started this process; VmHWM does not.
    if peak_in_kib := _read_proc("self/status", "VmHWM"):
        return int(peak_in_kib.split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@cache
def _get_commit() -> str | None:
    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(_ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        paths = (*_FOLDERS, ":!experiments/conf/settings")  # a record holds the tuned settings itself
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *paths)
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None  # not a checkout


def _read_proc(file: str, field: str) -> str | None:
    """Return the first value of a field of a file in /proc, or None."""
    path = Path("/proc") / file
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), None)
