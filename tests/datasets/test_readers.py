"""Only readers are called."""

from pathlib import Path

import numpy as np
import pytest

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.readers import bind_reader, reader
from sdmr.datasets.tabular import load_csv
from sdmr.experiments.core import cli
from sdmr.experiments.core.errors import ConfigError
from sdmr.experiments.core.run import compose_run


@reader
def read_mine() -> Interactions:
    raise NotImplementedError


@reader
def read_range(path: str, n_users: int = 20, *others: str) -> Interactions:
    return Interactions.from_raw(np.arange(n_users * 5) // 5, np.arange(n_users * 5) % 7)


@reader
def read_set(names: set[str] = {"a"}) -> Interactions:  # noqa: B006
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
    with pytest.raises(ValueError, match=f"dataset={target} (is no reader|cannot be imported)"):
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


def test_the_dotted_name_of_a_reader_is_a_data_set_with_its_arguments_as_settings(tmp_path: Path) -> None:
    run = compose_run(["model=popularity", f"dataset={__name__}.read_range", "dataset.path=x"], tmp_path)
    assert run.config["dataset"] == {"_target_": f"{__name__}.read_range", "path": "x", "n_users": 20}
    assert run.folder.parent == tmp_path / f"{__name__}.read_range"
    other = compose_run([f"dataset={__name__}.read_range", "dataset.path=x", "model=popularity", "dataset.n_users=30"])
    assert (run.load_task().training.n_users, other.load_task().training.n_users) == (20, 30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["read_unmarked"], "is no reader; declare it with @sdmr.datasets.readers.reader"),
        (["read_nothing"], "cannot be imported: AttributeError"),
        (["read_range"], "dataset.path=... is missing"),
        (["read_range", "dataset.path=x", "dataset.n_user=2"], "has path, n_users; did you mean n_users?"),
        (["read_range", "dataset.path=x", "dataset.n_users=a"], "must be a valid integer"),
        (["read_set"], "the default names={'a'} is none of null, number, text or list"),
    ],
)
def test_a_wrong_reader_or_argument_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "model=popularity", f"dataset={__name__}.{arguments[0]}", *arguments[1:]]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
