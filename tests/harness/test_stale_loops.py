"""Loops that Numba has compiled and kept on disk, after their code has changed."""

import os
from pathlib import Path

import pytest

from sdmr.harness import remove_stale_loops


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("loops.py", "functions.py", "other.py"):
        (tmp_path / name).touch()
    for name in ("loops.train-1.py311.nbi", "loops.train-1.py311.1.nbc", "functions.add-2.py311.nbi"):
        path = tmp_path / "__pycache__" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (2e9, 2e9))
    return tmp_path


def test_all_loops_go_if_the_file_of_one_has_changed(folder: Path) -> None:
    os.utime(folder / "functions.py", (2e9 + 1, 2e9 + 1))
    remove_stale_loops(folder)
    assert not list(folder.rglob("*.nb*"))


def test_loops_stay_if_only_other_files_have_changed(folder: Path) -> None:
    os.utime(folder / "other.py", (2e9 + 1, 2e9 + 1))
    remove_stale_loops(folder)
    assert len(list(folder.rglob("*.nb*"))) == 3
