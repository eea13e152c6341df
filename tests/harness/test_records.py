"""Name runs, and record where they were made."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sdmr.datasets.errors import DataError
from sdmr.harness import records
from sdmr.harness.metrics import Ranks
from sdmr.harness.records import collect_environment, compute_run_key, get_peak_memory, read_ranks, save_ranks


def test_a_run_is_known_by_configuration_data_and_source() -> None:
    keys = {
        compute_run_key({"seed": 0, "model": {"dim": 8}}, "data", "source"),
        compute_run_key({"seed": 1, "model": {"dim": 8}}, "data", "source"),
        compute_run_key({"seed": 0, "model": {"dim": 16}}, "data", "source"),
        compute_run_key({"seed": 0, "model": {"dim": 8}}, "other data", "source"),
        compute_run_key({"seed": 0, "model": {"dim": 8}}, "data", "other source"),
        compute_run_key({"seed": 0, "model": {"dim": 8}}, "source", "data"),
    }
    assert len(keys) == 6
    assert all(re.fullmatch("[0-9a-f]{12}", key) for key in keys)


def test_the_order_of_settings_does_not_matter() -> None:
    assert compute_run_key({"a": 1, "b": {"c": 2, "d": 3}}, "", "") == compute_run_key(
        {"b": {"d": 3, "c": 2}, "a": 1}, "", ""
    )


def test_the_environment_holds_versions_machine_and_threads() -> None:
    environment = collect_environment()
    assert environment["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]  # +cpu, +cu130
    assert environment["versions"]["numpy"] == np.__version__
    assert set(environment["versions"]) == {"torch", "numpy", "numba", "scipy", "scikit-learn", "implicit", "fastslim"}
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))
    assert environment["threads"] == torch.get_num_threads()
    assert environment["cores"] == os.cpu_count()
    assert environment["platform"]
    assert isinstance(environment["processor"], str)
    assert (environment["gpu"] is None) == (not torch.cuda.is_available())
    json.dumps(environment, allow_nan=False)


def test_the_commit_is_marked_if_the_checkout_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        command = ["git", "-C", str(tmp_path), *author, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(records, "_ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    commit = records._get_commit.__wrapped__
    assert commit() is None
    git("init", "-q")
    for folder in ("harness", "tests"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("A = 1\n")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    assert commit() == git("rev-parse", "HEAD")[:12]
    (tmp_path / "tests" / "a.py").write_text("A = 2\n")
    assert commit() == git("rev-parse", "HEAD")[:12]
    (tmp_path / "harness" / "a.py").write_text("A = 2\n")
    assert commit() == git("rev-parse", "HEAD")[:12] + "+"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux has this file")
def test_peak_memory_is_in_mebibytes() -> None:
    memory = np.ones(20 * 2**20 // 8)
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    assert get_peak_memory() == pytest.approx(int(peak[1]) / 1024, rel=0.02)
    assert get_peak_memory() > memory.nbytes / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count it themselves")
def test_peak_memory_is_not_that_of_the_process_that_started_this_one() -> None:
    memory = np.ones(2**30 // 8)  # more than importing a PyTorch for GPUs takes
    program = "from sdmr.harness.records import get_peak_memory; print(get_peak_memory())"
    process = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert 50 < float(process.stdout) < memory.nbytes / 2**20


@pytest.mark.parametrize("rows", [np.array([0, 2]), np.arange(3)])
def test_ranks_are_read_as_they_were_saved_in_small_integers(tmp_path: Path, rows: np.ndarray) -> None:
    users, path = np.array([3, 5, 70_000]), tmp_path / "ranks.npz"
    sampled = Ranks(np.array([0, 100, 7]), np.array([0, 0, 1]), others=np.full(3, 100))
    full_ranks = Ranks(np.array([900, 0, 1])[rows], np.array([0, 300, 0])[rows], others=np.full(len(rows), 1000))
    save_ranks(path, users, sampled, (rows, full_ranks))
    for is_among_all, expected in ((False, sampled), (True, full_ranks)):
        read_users, ranks = read_ranks(path, is_among_all)
        np.testing.assert_array_equal(read_users, users[rows] if is_among_all else users)
        for name, array in expected.to_arrays().items():
            np.testing.assert_array_equal(ranks.to_arrays()[name], array)
            assert ranks.to_arrays()[name].dtype == np.int64
    with np.load(path) as saved:
        assert {name: saved[name].dtype.name for name in ("user_steps", "above", "all_above")} == {
            **{"user_steps": "uint32", "above": "uint8", "all_above": "uint16"}
        }
        assert ("all_rows" in saved.files) == (len(rows) < 3)


def test_ranks_among_all_items_that_a_file_lacks_are_an_error(tmp_path: Path) -> None:
    save_ranks(tmp_path / "ranks.npz", np.arange(2), Ranks(np.zeros(2, int), np.zeros(2, int)))
    with pytest.raises(DataError, match=r"ranks\.npz is damaged"):
        read_ranks(tmp_path / "ranks.npz", is_among_all=True)


def test_ranks_of_users_in_any_order_are_read_as_they_were_saved(tmp_path: Path) -> None:
    users = np.array([5, 3, 300, 0])  # such as those of baskets
    records.save_ranks(tmp_path / "ranks.npz", users, Ranks(np.arange(4), np.zeros(4, int)))
    assert records.read_ranks(tmp_path / "ranks.npz")[0].tolist() == users.tolist()


def test_the_clock_of_the_cpu_counts_ended_children() -> None:
    before = records.read_clocks()[1]
    program = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert records.read_clocks()[1] - before > 0.25


@pytest.mark.parametrize("folder_name", ["datasets", "harness", "models", "baselines", "experiments"])
def test_a_change_of_any_layer_marks_the_commit_and_one_of_tuned_settings_does_not(
    folder_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> None:
        author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *author, *arguments], check=True, capture_output=True)

    monkeypatch.setattr(records, "_ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    files = [tmp_path / folder_name / "a.py", tmp_path / "experiments" / "conf" / "settings" / "a.yaml"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("A")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    endings = []
    for file in reversed(files):
        file.write_text("B")
        endings.append((records._get_commit.__wrapped__() or "")[12:])
    assert endings == ["", "+"]
