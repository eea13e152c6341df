"""The suite is the package `sdmr`: it hides no other package, and no other package hides it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sdmr.experiments
from sdmr.experiments.core.cli import list_commands

CHECKOUT = Path(sdmr.experiments.__file__).parents[1]
FOLDERS = ("datasets", "harness", "models", "baselines", "experiments")
NET = """
import numpy as np


class Net:
    def fit(self, training):
        self.n_items = training.n_items

    def score(self, users, contexts, candidates):
        return candidates / self.n_items
"""


def run_python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start Python in a folder. PYTHONPATH is not set, so that the installed suite is what is imported."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    cache = {"SDMR_CACHE": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=clean | cache | environment, capture_output=True, text=True
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with packages of the same names as the suite's folders, one of which holds a model, and data."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("IS_MINE = True\n")
    (tmp_path / "models" / "my.py").write_text(NET)
    rng = np.random.default_rng(5)
    rows = [f"{user},{item},{time}" for user in range(30) for time, item in enumerate(rng.choice(150, 6, False))]
    (tmp_path / "small.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    return tmp_path


DATA = ("dataset=csv", "dataset.path=small.csv", "dataset.time=time")


def test_project_with_folders_of_the_same_names_runs_its_own_model(project: Path) -> None:
    done = run_python(project, "-m", "sdmr.experiments.run", "model._target_=models.my.Net", *DATA)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("models.my.Net on csv, test: hit@10 ")


def test_project_with_folders_of_the_same_names_runs_a_model_of_the_suite(project: Path) -> None:
    done = run_python(project, "-m", "sdmr.experiments.run", "model=mf-bpr", "epochs=1", *DATA)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sdmr.baselines.mf_bpr.MFBPR on csv, test, optimization.epochs=1: hit@10 ")


def test_second_checkout_as_current_folder_does_not_mix_with_the_installed_one(tmp_path: Path) -> None:
    for name in FOLDERS:
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    program = "import sys, sdmr.experiments.run; print(*(m.__file__ for n, m in sys.modules.items() if 'sdmr.' in n))"
    files = [Path(name) for name in run_python(tmp_path, "-c", program).stdout.split()]
    assert len(files) > 10
    assert not [file for file in files if not file.resolve().is_relative_to(CHECKOUT)]


def test_commands_in_the_checkout_leave_no_folder_of_it_as_a_package() -> None:
    program = (
        "import importlib, sys\n"
        f"for command in {list_commands()!r}:\n"
        "    importlib.import_module(f'sdmr.experiments.{command}')\n"
        f"    print(command, [name for name in {FOLDERS!r} if name in sys.modules], sys.path[-1])\n"
    )
    done = run_python(CHECKOUT, "-c", program)
    assert done.stdout.splitlines() == [f"{command} [] {CHECKOUT}" for command in list_commands()], done.stderr


def test_current_folder_is_first_on_the_path_where_it_is_not_the_checkout(project: Path) -> None:
    done = run_python(project, "-c", "import sys, sdmr.experiments; print(sys.path[0] or 'here')")
    assert done.stdout.strip() in ("here", str(project))


@pytest.mark.slow
def test_hugging_face_datasets_works_beside_the_suite_and_after_its_removal(tmp_path: Path) -> None:
    """In an environment of its own, since it installs packages."""
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    table = "import datasets; print(datasets.Dataset.from_dict({'a': [1, 2]}).num_rows)"
    suite = "import sdmr.datasets.split; print(sdmr.datasets.split.__file__)"

    def pip(*arguments: str) -> None:
        subprocess.run([python, "-m", "pip", "--quiet", *arguments], check=True, cwd=tmp_path)

    def prints(program: str) -> str:
        return subprocess.run([python, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    pip("install", "datasets")
    pip("install", "--constraint", str(CHECKOUT / "constraints.txt"), str(CHECKOUT))
    assert prints(table) == "2\n"
    assert prints(suite).startswith(str(tmp_path))
    pip("uninstall", "--yes", "sdmr-benchmark")
    assert prints(table) == "2\n"
