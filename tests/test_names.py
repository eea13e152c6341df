"""Names are the field's or Python's own words: those that were replaced do not come back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[1]
FOLDERS = ("datasets", "harness", "models", "baselines", "experiments", "tests")
REPLACED = set((CHECKOUT / "tests" / "replaced_names.txt").read_text(encoding="utf-8").split())
REPLACED_FUNCTIONS = {"core", "find", "number", "publish"}  # good words for other things than these functions
PREPOSITIONS = ("of", "by", "with", "without", "in", "on", "at", "through", "among", "beside", "below")
IDIOMS = {"at_test", "in_features"}


def names_in(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield the line and the name of each class, function, argument and attribute, and whether it is a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name, True
            arguments = node.args
            for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                yield argument.lineno, argument.arg, False
        elif isinstance(node, ast.ClassDef):
            yield node.lineno, node.name, False
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr, False
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.lineno, node.target.id, False


def keys_in(value: Any) -> Iterator[str]:
    """Yield every key of a configuration, each part of a dotted one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from str(key).split(".")
            yield from keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)


@pytest.mark.parametrize("folder", FOLDERS)
def test_replaced_names_do_not_come_back(folder: str) -> None:
    faults = [
        f"{path.relative_to(CHECKOUT)}:{line}: {name}"
        for path in sorted((CHECKOUT / folder).rglob("*.py"))
        for line, name, is_function in names_in(path)
        if name in REPLACED or (is_function and name in REPLACED_FUNCTIONS)
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("folder", FOLDERS[:-1])
def test_names_do_not_start_with_a_preposition(folder: str) -> None:
    faults = [
        f"{path.relative_to(CHECKOUT)}:{line}: {name}"
        for path in sorted((CHECKOUT / folder).rglob("*.py"))
        for line, name, _ in names_in(path)
        if name.strip("_").split("_")[0] in PREPOSITIONS and "_" in name.strip("_") and name.strip("_") not in IDIOMS
    ]
    assert not faults, "\n".join(faults)


def test_replaced_keys_do_not_come_back_in_the_configuration() -> None:
    faults = [
        f"{path.relative_to(CHECKOUT)}: {key}"
        for path in sorted((CHECKOUT / "experiments" / "conf").rglob("*.yaml"))
        for key in keys_in(yaml.safe_load(path.read_text(encoding="utf-8")))
        if key in REPLACED
    ]
    assert not faults, "\n".join(faults)
