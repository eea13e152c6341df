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
REPLACED = set(
    ["OF_THE_DATASET", "KINDS", "model_of", "class_of", "config_of", "refuse_other_kinds", "with_own_classes", "taken_from", "ties_of", "told", "IDENTITY", "OF_THE_PAPER", "task_of", "departures", "_noting_failure", "told_when_cut_off", "own_seconds", "seconds_in_all", "by_novelty", "_trained", "_has_lost_its_model", "_searched", "at_least_one", "heeded", "refuse_ignored", "_in_its_own_process", "_end_with_parent", "chosen", "NotChosen", "FILES", "given", "plain", "rounds", "later", "carried", "searched", "whole", "of_multirun", "of_search", "FIRST_TO_LAST", "job", "has_seed", "told_comparisons", "wanted", "chosen_beside", "ranks_beside", "NOT_OF_THE_RANKED", "_ranked", "ORDER", "RULE", "OWN", "THEIRS", "SHORT", "Place", "_better", "_place", "_level", "_reading", "Source", "Wanted", "made_with", "tell_missing", "least", "of_function", "of_training", "_alone", "Optimisation", "optimisation", "regularise", "regularisation", "halve_every", "select_by", "pull", "pull_outside", "READINGS", "refuse_none", "refuse_dependence_on_order", "of_ranks", "Distinct", "sum_at", "each", "through", "observe", "of_e", "of_q", "of_keys", "of_x", "place", "before_sum", "mixed", "short", "parts_in", "smallest", "largest", "Unseen", "latest", "write_whole", "development", "dev_item", "last_tie", "iterated"]
)
REPLACED_FUNCTIONS = {"core", "find", "number", "publish"}  # good words for other things than these functions
PREPOSITIONS = ("of", "by", "with", "without", "in", "on", "at", "to", "as", "through", "among", "beside", "below")
IDIOMS = {"as_posix", "to_dict", "to_csv", "at_test", "on_epoch_end", "in_features", "as_tensor"}


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
