"""What a run is known by, where it was made, and how its files are written."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sdmr.harness import records
from sdmr.harness.files import save_arrays, save_json
from sdmr.harness.records import environment, peak_memory, run_key, source_digest

# --- the digest of the source ---

SOURCES = {
    "fakemodels": "",
    "fakemodels.model": "from fakeharness.loop import train\n\n\ndef score(x):\n    return train(x)\n",
    "fakemodels.other": "VALUE = 1\n",
    "fakemodels.inner": "",
    "fakemodels.inner.other": "VALUE = 1\n",
    "fakeharness": "",
    "fakeharness.loop": "import fakeharness.deep.inner\n\n\ndef train(x):\n    return x\n",
    "fakeharness.deep": "",
    "fakeharness.deep.inner": "RATE = 0.1\n",
    "fakeexperiments": "",
    "fakeexperiments.table": "WIDTH = 80\n",
    "own_model": "from fakemodels import other\nimport own_helper\nimport fakeexperiments.table\n\nDIM = 8\n",
    "own_helper": "HELP = 1\n",
}
PACKAGES = {name.rpartition(".")[0] for name in SOURCES} - {""}


def write(root: Path, name: str, code: str) -> None:
    path = root / name.replace(".", "/")
    path = path / "__init__.py" if name in PACKAGES else path.with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with two layers, a package that is none, and a model of one's own."""
    for name, code in SOURCES.items():
        write(tmp_path, name, code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(records, "LAYERS", ("fakemodels", "fakeharness"))
    yield tmp_path
    for name in SOURCES:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def digest(*modules: str) -> str:
    source_digest.cache_clear()  # which is for one process, where no source changes
    return source_digest(*modules)


def test_comments_layout_and_docstrings_do_not_count(tree: Path) -> None:
    before = digest("fakemodels.model")
    write(
        tree,
        "fakemodels.model",
        '"""The model."""\n# fast\nfrom fakeharness.loop import train\n'
        'def score(x):\n    """Of x."""\n\n    return train(\n        x  # as it is\n    )\n',
    )
    write(tree, "fakeharness.deep.inner", '"""Deep."""\n\nRATE = 0.1  # a tenth\n')
    assert digest("fakemodels.model") == before


def test_docstrings_of_classes_methods_and_coroutines_do_not_count(tree: Path) -> None:
    code = "class A:\n    {0}\n    def f(self):\n        {0}\n    async def g(self):\n        {0}\n        return 1\n"
    digests = set()
    for text in ('"""One."""', '"""Two,\n\n  longer."""'):
        write(tree, "fakemodels.other", code.format(text))
        digests.add(digest("fakemodels.other"))
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("fakemodels.model", SOURCES["fakemodels.model"].replace("train(x)", "train(x) + 1")),
        ("fakemodels.model", SOURCES["fakemodels.model"].replace("train(x)", "'a text that is no docstring'")),
        ("fakeharness.loop", SOURCES["fakeharness.loop"].replace("return x", "return -x")),
        ("fakeharness.deep.inner", "RATE = 0.2\n"),
    ],
)
def test_code_counts_at_any_depth_of_import(tree: Path, name: str, code: str) -> None:
    before = digest("fakemodels.model")
    write(tree, name, code)
    assert digest("fakemodels.model") != before


def test_code_that_is_not_imported_does_not_count(tree: Path) -> None:
    before = digest("fakemodels.model")
    write(tree, "fakemodels.other", "VALUE = 2\n")
    assert digest("fakemodels.model") == before


def test_every_way_to_import_a_module_of_a_layer_counts(tree: Path) -> None:
    ways = (
        "import fakemodels.other",
        "import fakemodels.other as o",
        "from fakemodels import other",
        "from fakemodels import other as o",
        "from fakemodels.other import VALUE",
        "def f():\n    from fakemodels.other import VALUE",
    )
    for way in ways:
        write(tree, "own_model", way + "\n")
        write(tree, "fakemodels.other", "VALUE = 1\n")
        before = digest("own_model")
        write(tree, "fakemodels.other", "VALUE = 2\n")
        assert digest("own_model") != before, way


@pytest.mark.parametrize(
    ("way", "other"),
    [
        ("from . import other", "fakemodels.inner.other"),
        ("from .other import VALUE", "fakemodels.inner.other"),
        ("from .. import other", "fakemodels.other"),
        ("from ..other import VALUE", "fakemodels.other"),
    ],
)
def test_a_relative_import_counts(tree: Path, way: str, other: str) -> None:
    write(tree, "fakemodels.inner.model", way + "\n")
    before = digest("fakemodels.inner.model")
    write(tree, other, "VALUE = 2\n")
    assert digest("fakemodels.inner.model") != before


@pytest.mark.parametrize(
    "module", ["sdmr.datasets.split", "sdmr.harness.training", "sdmr.models.sdp", "sdmr.baselines.mf_bpr"]
)
def test_a_changed_line_of_each_layer_changes_the_key(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is added to what is read of the file, not to the file."""
    root = module if "baselines" in module else "sdmr.models.sdmr"
    changed = Path(records.__file__).parents[1] / f"{module.removeprefix('sdmr.').replace('.', '/')}.py"
    before, read_text = digest(root), Path.read_text

    def with_a_line_more(path: Path, encoding: str) -> str:
        return read_text(path, encoding) + ("\nADDED = 1\n" if path.resolve() == changed.resolve() else "")

    monkeypatch.setattr(Path, "read_text", with_a_line_more)
    assert digest(root) != before


def test_a_module_outside_the_layers_counts_with_its_own_file_alone(tree: Path) -> None:
    before = digest("own_model")
    write(tree, "own_helper", "HELP = 2\n")
    write(tree, "fakeexperiments.table", "WIDTH = 90\n")
    assert digest("own_model") == before
    write(tree, "own_model", SOURCES["own_model"].replace("8", "16"))
    assert digest("own_model") != before


def test_several_modules_count_together_in_any_order(tree: Path) -> None:
    both = digest("fakemodels.model", "fakemodels.other")
    assert both == digest("fakemodels.other", "fakemodels.model", "fakeharness.loop")
    assert both not in (digest("fakemodels.model"), digest("fakemodels.other"))


def test_imports_in_a_circle_come_to_an_end(tree: Path) -> None:
    write(tree, "fakeharness.deep.inner", "import fakeharness.loop\n")
    assert digest("fakeharness.loop") == digest("fakeharness.deep.inner")


@pytest.mark.parametrize("module", ["no_such_module", "sys", "itertools"])
def test_a_module_without_a_source_is_an_error_that_names_it(module: str) -> None:
    with pytest.raises(ValueError, match=repr(module)):
        digest(module)


def test_the_real_layers_are_followed_from_a_model_to_the_loop_and_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[Path] = set()
    read_text = Path.read_text

    def watched(path: Path, encoding: str) -> str:
        read.add(path)
        return read_text(path, encoding)

    monkeypatch.setattr(Path, "read_text", watched)
    digest("sdmr.models.sdmr")
    root = Path(records.__file__).parents[1]
    names = {path.relative_to(root).as_posix() for path in read}
    assert {"models/sdmr.py", "models/kernels/loops.py", "harness/training.py", "datasets/task.py"} <= names
    assert not {name.split("/")[0] for name in names} - {"datasets", "harness", "models", "baselines"}


# --- the key of a run ---


def test_a_run_is_known_by_configuration_data_and_source() -> None:
    keys = {
        run_key({"seed": 0, "model": {"dim": 8}}, "data", "source"),
        run_key({"seed": 1, "model": {"dim": 8}}, "data", "source"),
        run_key({"seed": 0, "model": {"dim": 16}}, "data", "source"),
        run_key({"seed": 0, "model": {"dim": 8}}, "other data", "source"),
        run_key({"seed": 0, "model": {"dim": 8}}, "data", "other source"),
        run_key({"seed": 0, "model": {"dim": 8}}, "source", "data"),
    }
    assert len(keys) == 6
    assert all(re.fullmatch("[0-9a-f]{12}", key) for key in keys)


def test_the_order_of_settings_does_not_matter() -> None:
    assert run_key({"a": 1, "b": {"c": 2, "d": 3}}, "", "") == run_key({"b": {"d": 3, "c": 2}, "a": 1}, "", "")


# --- where a run was made ---


def test_the_environment_tells_versions_machine_and_threads() -> None:
    found = environment()
    assert found["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]  # +cpu, +cu130
    assert found["versions"]["numpy"] == np.__version__
    assert set(found["versions"]) == {"torch", "numpy", "numba", "scipy", "scikit-learn", "implicit", "fastslim"}
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["threads"] == torch.get_num_threads()
    assert found["cores"] == os.cpu_count()
    assert found["platform"]
    assert isinstance(found["processor"], str)
    assert (found["gpu"] is None) == (not torch.cuda.is_available())
    json.dumps(found, allow_nan=False)


def test_the_commit_is_marked_if_the_checkout_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(records, "_ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    commit = records._commit.__wrapped__
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


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak in another way")
def test_peak_memory_is_in_mebibytes() -> None:
    hold = np.ones(20 * 2**20 // 8)
    told = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert told is not None
    assert peak_memory() == pytest.approx(int(told[1]) / 1024, rel=0.02)
    assert peak_memory() > hold.nbytes / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel's own count is taken")
def test_peak_memory_is_not_that_of_the_process_that_started_this_one() -> None:
    hold = np.ones(2**30 // 8)  # more than importing a PyTorch for GPUs takes
    program = "from sdmr.harness.records import peak_memory; print(peak_memory())"
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert 50 < float(told.stdout) < hold.nbytes / 2**20


# --- files ---


def test_json_is_read_back(tmp_path: Path) -> None:
    value = {"λ": 0.001, "nested": [1, None, {"name": "µ – ü"}], "tiny": 1e-300}
    save_json(value, tmp_path / "new folder" / "a.json")
    text = (tmp_path / "new folder" / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "λ" in text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_no_nan_and_the_old_file_stays(value: float, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    save_json({"loss": 1.0}, path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_json({"loss": 1.0, "deep": [{"worse": value}]}, path)
    assert json.loads(path.read_text()) == {"loss": 1.0}
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    save_json({"loss": 1.0}, path)

    def fail(descriptor: int) -> None:
        os.truncate(descriptor, 3)
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space left"):
            save_json({"loss": 2.0}, path)
    assert json.loads(path.read_text()) == {"loss": 1.0}
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_are_read_back(tmp_path: Path) -> None:
    arrays = {"users": np.arange(5), "scores": np.linspace(0, 1, 6).reshape(2, 3)}
    save_arrays(tmp_path / "ranks.npz", **arrays)
    with np.load(tmp_path / "ranks.npz") as saved:
        assert set(saved.files) == set(arrays)
        for name, values in arrays.items():
            np.testing.assert_array_equal(saved[name], values)
            assert saved[name].dtype == values.dtype


# --- records of an earlier schema ---


def test_a_record_of_schema_1_is_read_in_todays_names(tmp_path: Path) -> None:
    config = {"model": {"_target_": "models.sdmr.SDMR", "sdp": {"_target_": "models.sdp.SDP"}}, "seed": 0}
    old = {"model": "models.sdmr.SDMR", "config": config, "data": "d", "source": "s", "dataset": "models.csv"}
    (tmp_path / "record.json").write_text(json.dumps(old))
    record = records.read_record(tmp_path / "record.json")
    assert record["run"] == f"SDMR-{run_key(config, 'd', 's')}"
    assert record["model"] == record["config"]["model"]["_target_"] == "sdmr.models.sdmr.SDMR"
    assert record["config"]["model"]["sdp"] == {"_target_": "sdmr.models.sdp.SDP"}
    assert record["dataset"] == "models.csv"


def test_a_record_of_today_is_read_as_it_stands(tmp_path: Path) -> None:
    new = {"run": "Net-1", "model": "my.models.Net", "config": {"model": {"_target_": "my.models.Net"}}}
    (tmp_path / "record.json").write_text(json.dumps(new))
    assert records.read_record(tmp_path / "record.json") == new
