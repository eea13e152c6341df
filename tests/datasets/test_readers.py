"""Only readers are called."""

from pathlib import Path

import pytest

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.readers import bind_reader, reader
from sdmr.datasets.tabular import load_csv
from sdmr.experiments.core.options import ConfigError
from sdmr.experiments.core.run import compose_run


@reader
def read_mine() -> Interactions:
    raise NotImplementedError


def read_unmarked() -> Interactions:
    raise NotImplementedError


def test_readers_of_the_suite_and_marked_functions_are_readers() -> None:
    call = bind_reader({"_target_": "sdmr.datasets.tabular.load_csv", "path": "x"})
    assert (call.func, call.keywords) == (load_csv, {"path": "x"})
    assert bind_reader({"_target_": f"{__name__}.read_mine"}).func is read_mine


def test_settings_that_a_reader_does_not_take_are_refused() -> None:
    with pytest.raises(ValueError, match=r"read_mine: got an unexpected keyword argument 'path', expected its argu"):
        bind_reader({"_target_": f"{__name__}.read_mine", "path": "x"})
    with pytest.raises(ValueError, match=r"load_csv: missing a required argument: 'path', expected its arguments"):
        bind_reader({"_target_": "sdmr.datasets.tabular.load_csv"})


@pytest.mark.parametrize(
    "target",
    [
        *("shutil.rmtree", f"{__name__}.read_unmarked", "sdmr.datasets.files.write_atomic", "os.path.join"),
        *("sdmr.datasets.files.os.remove", "sdmr.datasets.files.hashlib.load_it", "nothing.at.all", "shutil"),
    ],
)
def test_any_other_function_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match=f"dataset._target_={target} (is no reader|cannot be imported)"):
        bind_reader({"_target_": target})


def test_a_configuration_that_names_another_function_does_not_call_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    overrides = [
        "model=popularity",
        "dataset=csv",
        "dataset._target_=shutil.rmtree",
        f"dataset.path={tmp_path / 'mine'}",
    ]
    with pytest.raises(ConfigError, match=r"shutil\.rmtree is no reader"):
        compose_run(overrides)
    assert (tmp_path / "mine").is_dir()
