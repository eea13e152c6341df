"""The code of a run, in the suite and in the user's project."""

import ast
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sdmr.experiments.core.options import ConfigError
from sdmr.harness.records import compute_source_digest, find_imports


def compute_digest(*modules: str) -> str:
    """Return the sha256 of the modules' code, and of what they import.

    Imports count if they are of the suite, or of the module's project. Raises ConfigError for a module without source.
    """
    here = Path.cwd().resolve()
    try:
        return compute_source_digest(*sorted({name for module in modules for name in list_project(module, here)}))
    except (ValueError, SyntaxError) as error:
        raise ConfigError(f"{', '.join(modules)}: {error}") from error


@cache
def list_project(module: str, here: Path) -> tuple[str, ...]:
    """Return a module, and the modules of its project that it imports, at any depth.

    The project of a user's module is the current folder and the folder of its outermost package. Installed packages
    are no part of it, unless the module is in them.
    """
    top = module.partition(".")[0]
    if top == "sdmr":
        return (module,)
    file = _find_file(top) or _find_file(module)
    folders = (here, file.parent) if file else (here,)
    names, pending = {module}, [module]
    while pending:
        name = pending.pop()
        file = _find_file(name)
        if file is None:
            continue
        imported = find_imports(ast.parse(file.read_bytes()), name, file.name == "__init__.py")
        new = {one for one in imported - names if _is_of_project(one, top, folders)}
        names |= new
        pending += new
    return tuple(sorted(names))


def _is_of_project(name: str, top: str, folders: tuple[Path, ...]) -> bool:
    first = name.partition(".")[0]
    if first == "sdmr" or first in sys.stdlib_module_names:
        return False
    file = _find_file(first) or _find_file(name)  # the package first: looking for its module imports it
    if file is None or (first != top and not any(file.is_relative_to(folder) for folder in folders)):
        return False
    is_installed = {"site-packages", "dist-packages"} & set(file.parts)
    return _find_file(name) is not None and (first == top or not is_installed)


def _find_file(name: str) -> Path | None:
    """Return the Python file of a module, or None if it has none."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    origin = (spec.origin if spec else None) or ""
    return Path(origin).resolve() if origin.endswith(".py") else None
