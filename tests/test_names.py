"""Names are the field's or Python's own words: those that were replaced do not come back."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[1]
PACKAGES = ("datasets", "harness", "models", "baselines", "experiments")
FOLDERS = (*PACKAGES, "tests")
REPLACED = set((CHECKOUT / "tests" / "replaced_names.txt").read_text(encoding="utf-8").split())
# Replaced as names of functions. `core` and `find` are good variables. `number` and `publish` also are options that a
# user types (`sdmr table number=3`, `sdmr audit publish=true`); `number` is the argument that takes such a number, too.
REPLACED_FUNCTIONS = {"core", "find", "number", "publish"}
ALLOWED_SORTS = {"number": {"variable", "argument", "attribute"}}
# Replaced as the name of one function or argument; a variable of this name has the word's usual meaning.
USUAL_VARIABLES = {
    "each",  # the item of a loop, where the items have no better name
    "job",  # a program that runs beside others
}
PREPOSITIONS = (
    *("of", "by", "with", "without", "in", "on", "at", "through", "among", "beside", "below"),
    *("per", "for", "under", "over", "between", "against", "after", "before", "since", "until", "during", "within"),
)
IDIOMS = {
    "at_test",  # at test time
    "in_features",  # PyTorch's name
}
BRITISH = re.compile(
    "behaviour|neighbour|colour|favour|centre|catalogue|cancelled|labelled|modelled|isation"
    "|(optim|normal|initial|regular|serial|summar|general|random)is(e|ing)"
)
ASSIGNMENT = re.compile(r"^(\w+)\s*[?:]?=", re.MULTILINE)
END_OF_SENTENCE = re.compile(r"(?<=[\w)\]\"'`*])[.!?](?=\s|$)|:\n\n|\n\n")
MAX_WORDS = 15


def list_files(folder: str) -> list[Path]:
    return sorted((CHECKOUT / folder).rglob("*.py"))


def parse_file(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def names_in(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the name and the sort of each name that a file makes.

    The sort is "function", "class", "argument", "attribute" or "variable". Variables are all that is assigned:
    constants, locals, loop and comprehension variables, and what `with`, `except`, `import` and `match` name.
    """
    for node in ast.walk(parse_file(path)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.lineno, node.name, "function"
            case ast.ClassDef():
                yield node.lineno, node.name, "class"
            case ast.arg():  # *args, **kwargs and those of a lambda included
                yield node.lineno, node.arg, "argument"
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr, "attribute"
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id, "variable"
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name, "variable"
            case ast.alias(asname=str(name)):
                yield node.lineno, name, "variable"


def keys_in(value: Any) -> Iterator[str]:
    """Yield every key of a configuration, each part of a dotted one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from str(key).split(".")
            yield from keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)


def is_replaced(name: str, sort: str) -> bool:
    if sort == "variable" and name in USUAL_VARIABLES:
        return False
    is_allowed = sort in ALLOWED_SORTS.get(name, {"variable"})
    names = {name, name.lower()} if sort == "class" else {name}
    return bool(names & REPLACED) or name.startswith("own_") or (name in REPLACED_FUNCTIONS and not is_allowed)


def starts_with_preposition(name: str) -> bool:
    first, underscore, _ = name.strip("_").lower().partition("_")
    return bool(underscore) and first in PREPOSITIONS and name.strip("_") not in IDIOMS


def list_faults(folder: str, is_fault: Callable[[str, str], Any]) -> list[str]:
    """Return file, line and name wherever `is_fault(name, sort)` holds."""
    return [
        f"{path.relative_to(CHECKOUT)}:{line}: {name}"
        for path in list_files(folder)
        for line, name, sort in names_in(path)
        if is_fault(name, sort)
    ]


def list_docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name of each module, class and function with its docstring."""
    for node in ast.walk(parse_file(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring is not None:
                yield getattr(node, "name", "module"), docstring


@pytest.mark.parametrize("folder", FOLDERS)
def test_replaced_names_do_not_come_back(folder: str) -> None:
    faults = list_faults(folder, is_replaced)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_do_not_start_with_a_preposition(folder: str) -> None:
    faults = list_faults(folder, lambda name, sort: starts_with_preposition(name))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_have_us_spelling(folder: str) -> None:
    faults = list_faults(folder, lambda name, sort: BRITISH.search(name.lower()))
    assert not faults, "\n".join(faults)


def test_names_of_every_sort_are_seen(tmp_path: Path) -> None:
    program = """
import numpy as a
B = 1
b: int = 2
def c(d, /, e, *f, g, **h):
    x.i = lambda j: j
    for k, (l, m) in [n := 1, [o for o in p]]:
        with q as r: s += 1
    try: pass
    except E as t: pass
    match u:
        case [V(), w, *y]: pass
class Z: pass
"""
    (tmp_path / "program.py").write_text(program)
    assert {name for _, name, _ in names_in(tmp_path / "program.py")} == set("aBbcdefghijklmnorstwyZ")


def test_replaced_keys_do_not_come_back_in_the_configuration() -> None:
    faults = [
        f"{path.relative_to(CHECKOUT)}: {key}"
        for path in sorted((CHECKOUT / "experiments" / "conf").rglob("*.yaml"))
        for key in keys_in(yaml.safe_load(path.read_text(encoding="utf-8")))
        if key in REPLACED
    ]
    variables = ASSIGNMENT.findall((CHECKOUT / "Makefile").read_text(encoding="utf-8"))
    faults += [f"Makefile: {name}" for name in variables if {name, name.lower()} & REPLACED]
    assert variables
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("folder", PACKAGES)
def test_a_docstring_starts_with_a_short_sentence(folder: str) -> None:
    faults = []
    for path in list_files(folder):
        for name, docstring in list_docstrings(path):
            sentence = END_OF_SENTENCE.split(docstring, maxsplit=1)[0]
            count = len(sentence.split())
            if count > MAX_WORDS:
                faults.append(f"{path.relative_to(CHECKOUT)}: {name}: {count} words: {' '.join(sentence.split())}")
    assert not faults, f"{len(faults)} docstrings:\n" + "\n".join(faults)
