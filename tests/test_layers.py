"""Imports go downward only: experiments -> models, baselines -> harness -> datasets."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
ALLOWED = {
    "datasets": {"datasets"},
    "harness": {"harness", "datasets"},
    "models": {"models", "harness", "datasets"},
    "baselines": {"baselines", "harness", "datasets"},
    "experiments": {"experiments", "models", "baselines", "harness", "datasets"},
}
FOLDERS = {  # of experiments/
    "core": {"core"},
    "report": {"report", "core"},
    "tuning": {"tuning", "report", "core"},
    "figures": {"figures", "report", "core"},
    "benchmark": {"benchmark", "figures", "report", "core"},
}
# What configures, searches and draws is the business of the commands alone.
COMMANDS_ONLY = {"hydra", "hydra_zen", "omegaconf", "pydantic", "optuna", "matplotlib", "tabulate"}


def list_imports(folder: str) -> Iterator[tuple[str, str]]:
    """Yield each file of a folder with each module that it imports."""
    for path in sorted((CHECKOUT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: a relative import"
                names = [node.module or ""]
            yield from ((str(path.relative_to(CHECKOUT)), name) for name in names)


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_layer_imports_only_itself_and_lower_layers(folder: str) -> None:
    inner = [(path, name) for path, name in list_imports(folder) if name.split(".")[0] == "sdmr"]
    assert inner
    assert [(path, name) for path, name in inner if name.split(".")[1] not in ALLOWED[folder]] == []


@pytest.mark.parametrize("folder", [folder for folder in ALLOWED if folder != "experiments"])
def test_libraries_of_the_commands_appear_in_no_lower_layer(folder: str) -> None:
    assert [(path, name) for path, name in list_imports(folder) if name.split(".")[0] in COMMANDS_ONLY] == []


def test_no_module_imports_a_folder_of_the_checkout_without_its_package() -> None:
    imports = [pair for folder in (*ALLOWED, "tests") for pair in list_imports(folder)]
    assert [(path, name) for path, name in imports if name.split(".")[0] in ALLOWED] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_the_commands_imports_only_those_below(folder: str) -> None:
    imports = [pair for pair in list_imports(f"experiments/{folder}") if "__main__" not in pair[0]]
    inner = [(path, name.split(".")[2]) for path, name in imports if name.startswith("sdmr.experiments.")]
    assert inner
    assert [(path, name) for path, name in inner if name not in FOLDERS[folder]] == []


def test_a_command_imports_no_other_command() -> None:
    commands = {f"sdmr.experiments.{path.stem}" for path in (CHECKOUT / "experiments").glob("[a-z]*.py")}
    assert len(commands) > 10
    assert [(path, name) for path, name in list_imports("experiments") if name in commands] == []
