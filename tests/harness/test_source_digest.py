"""Digest the source that computes a run: which changes count, and which do not."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdmr.harness import records
from sdmr.harness.records import compute_source_digest

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
    "user_model": "from fakemodels import other\nimport user_helper\nimport fakeexperiments.table\n\nDIM = 8\n",
    "user_helper": "HELP = 1\n",
}


PACKAGES = {name.rpartition(".")[0] for name in SOURCES} - {""}


def write(root: Path, name: str, code: str) -> None:
    path = root / name.replace(".", "/")
    path = path / "__init__.py" if name in PACKAGES else path.with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a folder on the path with two layers, another package, and a user's model."""
    for name, code in SOURCES.items():
        write(tmp_path, name, code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(records, "LAYERS", ("fakemodels", "fakeharness"))
    yield tmp_path
    for name in SOURCES:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def compute_digest(*modules: str) -> str:
    compute_source_digest.cache_clear()  # the cache expects that no source changes
    return compute_source_digest(*modules)


def test_checks_and_what_they_import_do_not_count(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "CHECKS", ("fakeharness.loop",))
    before = compute_digest("fakemodels.model")
    write(tree, "fakeharness.loop", "def train(x):\n    return x + 1\n")
    write(tree, "fakeharness.deep.inner", "RATE = 0.2\n")
    assert compute_digest("fakemodels.model") == before
    assert compute_digest("fakeharness.deep.inner") != before


def test_comments_layout_and_docstrings_do_not_count(tree: Path) -> None:
    before = compute_digest("fakemodels.model")
    write(
        tree,
        "fakemodels.model",
        '"""The model."""\n# fast\nfrom fakeharness.loop import train\n'
        'def score(x):\n    """Of x."""\n\n    return train(\n        x  # as it is\n    )\n',
    )
    write(tree, "fakeharness.deep.inner", '"""Deep."""\n\nRATE = 0.1  # a tenth\n')
    assert compute_digest("fakemodels.model") == before


def test_docstrings_of_classes_methods_and_coroutines_do_not_count(tree: Path) -> None:
    code = "class A:\n    {0}\n    def f(self):\n        {0}\n    async def g(self):\n        {0}\n        return 1\n"
    digests = set()
    for text in ('"""One."""', '"""Two,\n\n  longer."""'):
        write(tree, "fakemodels.other", code.format(text))
        digests.add(compute_digest("fakemodels.other"))
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
    before = compute_digest("fakemodels.model")
    write(tree, name, code)
    assert compute_digest("fakemodels.model") != before


def test_code_that_is_not_imported_does_not_count(tree: Path) -> None:
    before = compute_digest("fakemodels.model")
    write(tree, "fakemodels.other", "VALUE = 2\n")
    assert compute_digest("fakemodels.model") == before


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
        write(tree, "user_model", way + "\n")
        write(tree, "fakemodels.other", "VALUE = 1\n")
        before = compute_digest("user_model")
        write(tree, "fakemodels.other", "VALUE = 2\n")
        assert compute_digest("user_model") != before, way


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
    before = compute_digest("fakemodels.inner.model")
    write(tree, other, "VALUE = 2\n")
    assert compute_digest("fakemodels.inner.model") != before


@pytest.mark.parametrize(
    "module", ["sdmr.datasets.split", "sdmr.harness.training.loop", "sdmr.models.sdp", "sdmr.baselines.mf_bpr"]
)
def test_a_changed_line_of_each_layer_changes_the_key(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the line to the text that is read, not to the file."""
    root = module if "baselines" in module else "sdmr.models.sdmr"
    changed = Path(records.__file__).parents[1] / f"{module.removeprefix('sdmr.').replace('.', '/')}.py"
    before, read_text = compute_digest(root), Path.read_text

    def read_with_added_line(path: Path, encoding: str) -> str:
        return read_text(path, encoding) + ("\nADDED = 1\n" if path.resolve() == changed.resolve() else "")

    monkeypatch.setattr(Path, "read_text", read_with_added_line)
    assert compute_digest(root) != before


def test_only_the_file_of_a_module_outside_the_layers_counts(tree: Path) -> None:
    before = compute_digest("user_model")
    write(tree, "user_helper", "HELP = 2\n")
    write(tree, "fakeexperiments.table", "WIDTH = 90\n")
    assert compute_digest("user_model") == before
    write(tree, "user_model", SOURCES["user_model"].replace("8", "16"))
    assert compute_digest("user_model") != before


@pytest.mark.parametrize("module", ["no_such_module", "sys", "itertools"])
def test_a_module_without_a_source_is_an_error_that_names_it(module: str) -> None:
    with pytest.raises(ValueError, match=repr(module)):
        compute_digest(module)


def test_several_modules_count_together_in_any_order(tree: Path) -> None:
    both = compute_digest("fakemodels.model", "fakemodels.other")
    assert both == compute_digest("fakemodels.other", "fakemodels.model", "fakeharness.loop")
    assert both not in (compute_digest("fakemodels.model"), compute_digest("fakemodels.other"))


def test_circular_imports_end(tree: Path) -> None:
    write(tree, "fakeharness.deep.inner", "import fakeharness.loop\n")
    assert compute_digest("fakeharness.loop") == compute_digest("fakeharness.deep.inner")


def test_a_models_digest_reads_the_loop_the_kernels_and_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[Path] = set()
    read_text = Path.read_text

    def record_and_read(path: Path, encoding: str) -> str:
        read.add(path)
        return read_text(path, encoding)

    monkeypatch.setattr(Path, "read_text", record_and_read)
    compute_digest("sdmr.models.sdmr")
    root = Path(records.__file__).parents[1]
    names = {path.relative_to(root).as_posix() for path in read}
    assert {
        "models/sdmr.py",
        "models/sdm.py",
        "harness/training/loop.py",
        "harness/kernels.py",
        "datasets/task.py",
    } <= names
    assert not {name.split("/")[0] for name in names} - {"datasets", "harness", "models", "baselines"}
