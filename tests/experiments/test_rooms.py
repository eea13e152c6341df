"""A package of the same name as one of ours must not be taken for it in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import experiments

CHECKOUT = Path(experiments.__file__).parents[1]


def import_experiments(first: Path) -> subprocess.CompletedProcess[str]:
    """Import `experiments` in a new process, away from the checkout, with a folder that comes first on the path."""
    environment = {**os.environ, "PYTHONPATH": f"{first}{os.pathsep}{CHECKOUT}"}
    command = [sys.executable, "-c", "import experiments"]
    return subprocess.run(command, cwd=first, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("room", ["datasets", "harness", "models", "baselines"])
def test_a_foreign_package_is_named(room: str, tmp_path: Path) -> None:
    assert import_experiments(tmp_path).returncode == 0
    (tmp_path / room).mkdir()
    (tmp_path / room / "__init__.py").touch()
    done = import_experiments(tmp_path)
    assert done.returncode != 0
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith(f"ImportError: the package {room!r}")
    assert str(tmp_path / room) in error
    assert str(CHECKOUT / room) in error


def test_a_foreign_module_is_named(tmp_path: Path) -> None:
    (tmp_path / "models.py").touch()
    assert "ImportError: the package 'models'" in import_experiments(tmp_path).stderr
