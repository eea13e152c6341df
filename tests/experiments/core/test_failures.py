"""Runs that fail, and runs side by side: what is reported and kept of them, and which others go on."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal, Optional

import numpy as np
import pytest

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training
from sdmr.experiments.core import execute as execute_module
from sdmr.experiments.core.execute import execute
from tests.experiments.conftest import SMALL, ranks_of, run_of
from tests.experiments.core.conftest import USER_MODEL, USER_OVERRIDES, Sdmr

pytestmark = pytest.mark.usefixtures("temporary_cache")

CHECKOUT = Path(execute_module.__file__).parents[2]
METRICS = {f"{metric}@{k}" for metric in ("hit", "NDCG") for k in (1, 5, 10, 20, 50)}

# --- what does not fit ---


def test_damaged_data_are_one_line_and_exit_1(data: Path, tmp_path: Path, sdmr: Sdmr) -> None:
    path = tmp_path / "damaged.csv"
    path.write_text(data.read_text() + "3,4\n")
    arguments = ["model=popularity", "dataset=csv", f"dataset.path={path}", "dataset.time=time"]
    answer = sdmr("run", *arguments, f"runs={tmp_path}")
    assert answer.status == 1
    assert re.fullmatch(
        r"sdmr run: .*damaged\.csv: .*line 402: Expected 3 columns, got 2: .*; expected 3 fields .*", answer.error
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("test=no", "test=no: must be a valid boolean"),
        ("force=no", "force=no: must be a valid boolean"),
        ("seed=abc", "seed=abc: must be a valid integer"),
        ("split_seed=true", "split_seed=true: must be a valid integer"),
        ("threads=0", "threads=0: must be greater than or equal to 1"),
        ("model.item_bias=no", "model.item_bias=no: must be a valid boolean"),
        ("model.dim=8.5", "model.dim=8.5: must be a valid integer"),
        ("epochs=ten", "epochs=ten: must be a valid integer"),
        ("dataset.iterative=no", "dataset.iterative=no: must be a valid boolean"),
        ("dataset.min_count=two", "dataset.min_count=two: must be a valid integer"),
        ("protocol.candidates=0", "protocol.candidates must be a number from 1, 'all' or 'popularity:NUMBER', not 0"),
        ("protocol.candidates=2000", "2000 candidates: the data has "),
    ],
)
def test_setting_of_another_type_is_one_line_exit_2_and_no_run(
    override: str, message: str, tmp_path: Path, overrides: tuple[str, ...], sdmr: Sdmr
) -> None:
    answer = sdmr("run", "model=mf-bpr", *overrides, f"runs={tmp_path}", override)
    assert answer.status == 2
    assert answer.error.startswith(f"sdmr run: {message}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("override", ["model.sdp.dropout=no", "model.sdm.optimization.epochs=1.5"])
def test_part_setting_of_another_type_is_an_error(override: str, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(override)}: must be a "):
        run_of(tmp_path, "model=sdmr", *overrides, override)


# --- a model of one's own, and several runs side by side ---


def test_users_class_runs_like_any_model(user_folder: Path, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, *USER_OVERRIDES, "model.weight=2.0", *overrides)
    record = execute(run)
    assert run.folder.name.startswith("Nearest-")
    assert record.model == "own_nearest.Nearest"
    assert record.config["model"] == {"_target_": "own_nearest.Nearest", "weight": 2.0, "wait_for": 1}
    assert set(record.test) == METRICS
    assert record.history is None
    task = run.load_task()
    distance = np.abs(task.test.candidates - task.test.users[:, None])
    target = np.abs(task.test.targets - task.test.users)[:, None]
    np.testing.assert_array_equal(ranks_of(run.folder)["above"], (distance < target).sum(axis=1))
    np.testing.assert_array_equal(ranks_of(run.folder)["tied"], (distance == target).sum(axis=1) - 1)


class Loose:
    """A model whose defaults are not what its annotations say, and whose annotations are of other kinds."""

    context_length = 0

    def __init__(  # type: ignore[no-untyped-def]
        self,
        dim: int = None,  # type: ignore[assignment]  # noqa: RUF013
        number: int = 1e3,  # type: ignore[assignment]
        width: Optional[int] = None,  # noqa: UP045
        spaces: Literal[1, 2] = 1,
        name: str = "x",
        shuffle=False,
    ) -> None: ...

    def fit(self, training: Training) -> None: ...

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> np.ndarray:
        return -candidates.astype(np.float64)


@pytest.mark.parametrize("fitting", [(), ("model.width=3", "model.spaces=2", "model.shuffle=full", "model.dim=7")])
def test_default_is_accepted_whatever_its_annotation(
    fitting: tuple[str, ...], tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    assert execute(run_of(tmp_path, f"model={__name__}.Loose", *overrides, *fitting)).test


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.width=x", "model.width=x: must be a valid integer"),
        ("model.spaces=true", "model.spaces=True: must be a number"),
        ("model.name=3", "model.name=3: must be a valid string"),
        ("model.dim=2.5", "model.dim=2.5: must be a valid integer"),
    ],
)
def test_value_of_another_type_is_an_error(
    override: str, message: str, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        run_of(tmp_path, f"model={__name__}.Loose", *overrides, override)


def test_damaged_record_is_made_again(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=popularity", *overrides)
    record = execute(run)
    (run.folder / "record.json").write_text('{"a": ')
    assert run.record is None
    assert execute(run).test == record.test
    (run.folder / "failure.json").write_text("")
    assert run.failure == f"{run.folder}/failure.json is damaged"


def test_ranks_damaged_in_the_header_of_the_file_are_made_again(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=popularity", *overrides)
    record, path = execute(run), run.folder / "ranks.npz"
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of encryption
    path.write_bytes(content)
    assert run.record is None
    assert execute(run).test == record.test


def test_damaged_model_or_checkpoint_is_named_and_made_again(
    tmp_path: Path, overrides: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ("model=mf-bpr", *overrides, *SMALL)
    run, ranking = run_of(tmp_path, *arguments), run_of(tmp_path, *arguments, "protocol.candidates=all")
    metrics = execute(ranking).test
    path = run.folder / "model.pt"
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 4
    for damaged in (b"", b"no model", content[:100], bytes(flipped)):
        path.write_bytes(damaged)
        (ranking.folder / "record.json").unlink()
        caplog.clear()
        assert execute(ranking).test == metrics
        assert f"{path} is damaged" in caplog.text
        assert not run.is_model_missing


def test_model_or_checkpoint_of_another_run_is_named_and_made_again(
    tmp_path: Path, overrides: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    run, other = (run_of(tmp_path, "model=mf-bpr", *overrides, *SMALL, f"seed={seed}") for seed in (0, 1))
    expected = execute(run).test
    execute(other)
    (other.folder / "model.pt").rename(run.folder / "model.pt")  # it has the same shapes
    assert run.is_model_missing
    (run.folder / "record.json").unlink()
    (run.folder / "checkpoint.pt").write_bytes((run.folder / "model.pt").read_bytes())
    assert execute(run).test == expected
    for name in ("model", "checkpoint"):
        assert f"{run.folder}/{name}.pt is of another run" in caplog.text


class Compiled:
    """A model whose compiled code makes another error of Ctrl-C."""

    context_length = 0

    def fit(self, training: Training) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise SystemError("returned a result with an exception set") from error

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> IntArray:
        raise AssertionError


def test_interrupt_that_arrives_as_another_error_is_one_line_and_exit_130(
    tmp_path: Path, overrides: tuple[str, ...], sdmr: Sdmr
) -> None:
    run = run_of(tmp_path, f"model={__name__}.Compiled", *overrides)
    answer = sdmr("run", f"model={__name__}.Compiled", *overrides, f"runs={tmp_path}")
    assert answer.status == 130
    assert answer.error == "interrupted; the same command continues from the last finished epoch"
    assert run.failure is None


def test_failure_is_kept_until_the_run_succeeds(user_folder: Path, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    failing = run_of(tmp_path, *USER_OVERRIDES, "model.weight=-1.0", *overrides)
    with pytest.raises(ArithmeticError):
        execute(failing)
    assert failing.failure == "ArithmeticError: a weight below 0"
    (user_folder / "own_nearest.py").write_text(USER_MODEL.replace("self.weight < 0", "self.weight < -9"))
    sys.modules.pop("own_nearest")
    assert execute(failing)
    assert failing.failure is None


def test_failed_job_of_a_multirun_is_named_and_stops_no_other(
    user_folder: Path, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "sdmr.experiments.run", "-m", *USER_OVERRIDES, "model.weight=-1.0,1.0", *overrides]
    done = subprocess.run(
        [*command, f"runs={tmp_path / 'runs'}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(user_folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "FAILED model=own_nearest.Nearest model.weight=-1.0" in done.stderr
    assert "ArithmeticError: a weight below 0" in done.stderr
    assert run_of(tmp_path / "runs", *USER_OVERRIDES, "model.weight=1.0", *overrides).record is not None


def test_missing_data_of_a_job_stop_no_other_job_of_a_multirun(tmp_path: Path, data: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sdmr.experiments.run",
        "-m",
        "model=popularity",
        "dataset=csv",
        f"runs={tmp_path / 'runs'}",
    ]
    paths = f"dataset.path={tmp_path / 'nowhere.csv'},{data}"
    done = subprocess.run([*command, paths], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "FAILED model=popularity dataset=csv" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "runs").glob("csv/*/record.json"))) == 1
