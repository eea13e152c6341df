"""Run records: what was run, by what, with what result.

A run is known by its configuration, its data, and the source that computes it. The key of a run is a digest of the
three, so that a finished run is found again, and no number of older code is passed on as today's.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
from functools import cache
from importlib import metadata
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

import torch

LAYERS = ("sdmr.datasets", "sdmr.harness", "sdmr.models", "sdmr.baselines")
_FOLDERS = ("datasets", "harness", "models", "baselines", "experiments")
_ROOT = Path(__file__).parent.parent


def run_key(configuration: dict[str, Any], data: str, source: str) -> str:
    """Twelve hexadecimal digits that name a run. `data` and `source` are digests."""
    text = json.dumps([configuration, data, source], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run_name(target: str, configuration: dict[str, Any], data: str, source: str) -> str:
    """The name of a run, which is that of its folder: the class and the key."""
    return f"{target.rpartition('.')[2]}-{run_key(configuration, data, source)}"


@cache
def source_digest(*modules: str) -> str:
    """sha256 of the code of the named modules and of all modules of the four layers that they import, at any depth.

    The code is the syntax tree without docstrings, so that a comment does not cost a night. A module from outside the
    layers (a model of one's own) counts with its own file.
    """
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        spec = find_spec(name)
        if spec is None or spec.origin is None or not Path(spec.origin).is_file():
            raise ValueError(f"no source is found for module {name!r}")
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        found[name] = ast.dump(_without_docstrings(tree))
        waiting.extend(_imports_of_layers(tree, name, is_package=Path(spec.origin).name == "__init__.py"))
    digest = hashlib.sha256()
    for name, code in sorted(found.items()):
        digest.update(f"{name}\n{code}\n".encode())
    return digest.hexdigest()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


def _imports_of_layers(tree: ast.Module, module: str, is_package: bool) -> set[str]:
    """The modules of the four layers that a module imports, by an absolute name or a relative one."""
    package = module if is_package else module.rpartition(".")[0]
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            # `from sdmr.datasets import parsing` names a module, or what __init__.py defines.
            paths = [f"{source}.{alias.name}" for alias in node.names]
            names |= {source, *(path for path in paths if _is_in_layers(path) and _is_module(path))}
    return {name for name in names if _is_in_layers(name)}


def _is_in_layers(name: str) -> bool:
    return any(f"{name}.".startswith(f"{layer}.") for layer in LAYERS)


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is no package, but a module that defines the name
        return False


def read_record(path: Path) -> dict[str, Any]:
    """Read a record of any schema in the names of today's.

    Schema 1 names classes as they were before the package `sdmr`, and does not hold the run's name. Raises ValueError
    if the file holds no JSON.
    """
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "run" not in record and {"model", "config", "data", "source"} <= record.keys():
        record["run"] = run_name(record["model"], record["config"], record["data"], record["source"])
    return _with_package(record)


def _with_package(value: Any, key: str = "") -> Any:
    """The same value of JSON, its classes named by their full path."""
    if isinstance(value, dict):
        return {key: _with_package(one, key) for key, one in value.items()}
    is_old = key in ("_target_", "model") and isinstance(value, str) and value.split(".")[0] in _FOLDERS
    return f"sdmr.{value}" if is_old else value


def environment() -> dict[str, Any]:
    """Where a run was made: versions, machine, threads, and the commit of the checkout ("+" if it was changed)."""
    packages = ("torch", "numpy", "numba", "scipy", "scikit-learn", "implicit", "fastslim")
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def peak_memory() -> float:
    """The largest resident size of this process so far, in MiB."""
    # Linux counts into ru_maxrss what the parent held when it started this process; its own peak stands elsewhere.
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@cache
def _commit() -> str | None:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "--no-optional-locks", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        places = (*_FOLDERS, ":!experiments/conf/chosen")  # a record holds the settings that were chosen
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *places)
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None  # not a checkout


@cache
def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
