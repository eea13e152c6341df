"""The source code that a user's reader or model depends on, besides the suite's."""

import ast
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from sysconfig import get_path

_STANDARD_LIBRARY = Path(get_path("stdlib")).resolve()


@cache
def list_project(module: str, here: Path) -> tuple[str, ...]:
    """Return a module, and the modules of its project that it imports, at any depth.

    The project of a user's module is the current folder and the folder of its outermost package. Installed packages
    are no part of it, unless the module is in them.

    Args:
        here: The current folder.
    """
    top = module.partition(".")[0]
    if top == "sdmr":
        return (module,)
    file = find_source(top) or find_source(module)
    folders = (here, file.parent) if file else (here,)
    names, pending = {module}, [module]
    while pending:
        name = pending.pop()
        file = find_source(name)
        if file is None:
            continue
        imported = find_imports(ast.parse(file.read_bytes()), name, file.name == "__init__.py")
        new = {one for one in imported - names if _is_of_project(one, top, folders)}
        names |= new
        pending += new
    return tuple(sorted(names))


def list_texts(module: str, here: Path) -> set[str]:
    """Return the texts in the code of a module's project; some may name files."""
    files = filter(None, map(find_source, list_project(module, here)))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_bytes()))]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def find_imports(tree: ast.Module, module: str, is_package: bool) -> set[str]:
    """Return the names that a module imports, absolutely or relatively."""
    package = module if is_package else module.rpartition(".")[0]
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            # `from sdmr.datasets import parsing` names a module, or what __init__.py defines.
            names |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return names


def find_source(name: str) -> Path | None:
    """Return the Python file of a module, or None if it has none."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    origin = (spec.origin if spec else None) or ""
    return Path(origin).resolve() if origin.endswith(".py") else None


def _is_of_project(name: str, top: str, folders: tuple[Path, ...]) -> bool:
    first = name.partition(".")[0]
    file = find_source(first) or find_source(name)  # the package first: looking for its module imports it
    if first == "sdmr" or file is None:
        return False
    is_installed = {"site-packages", "dist-packages"} & set(file.parts) or file.is_relative_to(_STANDARD_LIBRARY)
    is_near = not is_installed and any(file.is_relative_to(folder) for folder in folders)
    return (first == top or is_near) and find_source(name) is not None
