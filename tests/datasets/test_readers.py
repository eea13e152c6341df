"""Only readers are called."""

from pathlib import Path

import pytest

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.readers import get_reader, reader
from sdmr.datasets.tabular import load_csv
from sdmr.experiments.core.options import ConfigError
from sdmr.experiments.core.run import compose_run


@reader
def read_mine() -> Interactions:
    raise NotImplementedError


def read_unmarked() -> Interactions:
    raise NotImplementedError


def test_readers_of_the_suite_and_marked_functions_are_readers() -> None:
    assert get_reader("sdmr.datasets.tabular.load_csv") is load_csv
    assert get_reader(f"{__name__}.read_mine") is read_mine


@pytest.mark.parametrize(
    "target",
    [
        *("shutil.rmtree", f"{__name__}.read_unmarked", "sdmr.datasets.files.write_atomic", "os.path.join"),
        *("sdmr.datasets.files.os.remove", "sdmr.datasets.files.hashlib.load_it", "nothing.at.all", "shutil"),
    ],
)
def test_any_other_function_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match=f"dataset._target_={target} (is no reader|cannot be imported)"):
        get_reader(target)


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
