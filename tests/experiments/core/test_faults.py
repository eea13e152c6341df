"""Damaged files, files that set other things, and machines that lack something: one line that names it."""

import errno
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdmr.experiments.core import cli, ranking, tuned
from sdmr.experiments.core import execute as execute_module
from sdmr.experiments.core import run as run_module
from sdmr.experiments.core.execute import execute
from sdmr.experiments.core.plan import PlannedRun, find_or_train
from sdmr.harness.files import load_tensors
from tests.experiments.conftest import SMALL, run_of
from tests.experiments.core.conftest import Sdmr

pytestmark = pytest.mark.usefixtures("temporary_cache")


@pytest.mark.parametrize("damage", ["nan", "other", "no test", "list", "no ranks", "ranks", "binary ranks"])
def test_record_that_does_not_hold_its_run_is_named_and_made_again(
    damage: str, tmp_path: Path, overrides: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    run = run_of(tmp_path, "model=popularity", *overrides)
    expected = execute(run)
    record, ranks = run.folder / "record.json", run.folder / "ranks.npz"
    content = json.loads(record.read_text())
    if damage == "nan":
        content["test"]["hit@10"]["expected"] = float("nan")
    elif damage == "other":
        content["run"] = "Popularity-0"
    elif damage == "no test":
        del content["test"]
    elif damage == "no ranks":
        ranks.unlink()
    elif damage == "ranks":
        ranks.write_bytes(ranks.read_bytes()[:100])
    elif damage == "binary ranks":
        ranks.write_bytes(bytes(range(256)))
    record.write_text(json.dumps([] if damage == "list" else content))
    assert run.record is None
    assert str(run.folder) in caplog.text
    assert execute(run).test == expected.test
    assert run.record is not None


def test_checkpoint_that_a_kill_has_left_is_removed_when_the_run_is_next_found(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    run = run_of(tmp_path, "model=popularity", *overrides)
    execute(run)
    checkpoint = run.folder / "checkpoint.pt"
    for find in (lambda: execute(run), lambda: find_or_train([planned_popularity(overrides)], tmp_path, 1)):
        checkpoint.touch()
        find()
        assert not checkpoint.exists()


def planned_popularity(overrides: tuple[str, ...]) -> PlannedRun:
    return PlannedRun("popularity", "csv", 0, overrides[1:])


def test_damaged_published_record_is_named_and_left_out(
    tmp_path: Path, overrides: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path / "there", "model=popularity", *overrides)
    execute(run)
    planned = replace(planned_popularity(overrides), published=run.folder)
    assert find_or_train([planned], tmp_path / "here", 1, train=False).runs
    (run.folder / "ranks.npz").write_bytes(b"PK")
    assert not find_or_train([planned], tmp_path / "here", 1, train=False).runs
    assert f"{run.folder}/ranks.npz is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected the settings of a search"),
        (b"seed: 5\ntuning: {}\n", "seed cannot be set there"),
        (b"split_seed: 3\ntuning: {}\n", "split_seed cannot be set there"),
        (b"protocol: {retrain: true}\ntuning: {}\n", "protocol cannot be set there"),
        (b"model: {_target_: x.Y}\ntuning: {}\n", "model._target_ cannot be set there"),
        (b"defaults: [{override /model: sdp}]\ntuning: {}\n", "defaults cannot be set there"),
        (b"model: 3\ntuning: {}\n", "model cannot be set there"),
        (bytes(range(256)), "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_tuned_file_that_is_damaged_or_sets_other_things_is_refused(
    content: bytes | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sdmr: Sdmr
) -> None:
    monkeypatch.setattr(tuned, "FOLDER", tmp_path)
    path = tmp_path / "ml-100k" / "sdm.yaml"
    path.parent.mkdir()
    path.mkdir() if content is None else path.write_bytes(content)
    answer = sdmr("run", "model=sdm", "settings=tuned")
    assert answer.status == 2
    assert f"{path}" in answer.error
    assert message in answer.error


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("model.dim=1000000000", 1, "too little memory for these settings and data"),
        ("model.optimization.device=nowhere", 2, "device=nowhere: this machine has no such device"),
        ("seed=18446744073709551616", 2, "seed=18446744073709551616: must be less than"),
        ("protocol.candidates=99.0", 2, "protocol.candidates must be a number from 1, 'all' or"),
        ("runs=null", 2, "runs=null: must be a valid string"),
        ("runs=/dev/null", 1, "/dev/null"),
    ],
)
def test_setting_that_this_machine_cannot_meet_is_one_line(
    arguments: str, status: int, message: str, tmp_path: Path, overrides: tuple[str, ...], sdmr: Sdmr
) -> None:
    runs = [] if "runs=" in arguments else [f"runs={tmp_path}"]
    answer = sdmr("run", "model=mf-bpr", *overrides, *runs, arguments)
    assert answer.status == status
    assert message in answer.error


def test_folder_of_runs_that_is_read_only_is_one_line_that_names_it(
    tmp_path: Path, overrides: tuple[str, ...], sdmr: Sdmr, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without permissions, which do not stop root."""
    runs, mkdir = tmp_path / "read-only", os.mkdir

    def make_folder(path: Path, *arguments: Any) -> None:
        if Path(path).is_relative_to(runs):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        mkdir(path, *arguments)

    monkeypatch.setattr(os, "mkdir", make_folder)
    answer = sdmr("run", "model=popularity", *overrides, f"runs={runs}")
    assert answer.status == 1
    assert re.fullmatch(r"sdmr run: \S*/read-only/\S*: Read-only file system; set another folder or file", answer.error)


def test_full_disk_is_one_line_that_names_the_file_and_keeps_the_checkpoint(
    tmp_path: Path, overrides: tuple[str, ...], sdmr: Sdmr, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path, "model=mf-bpr", *overrides, *SMALL)
    save = ranking.save_ranks

    def fill_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def save_on_full_disk(*arguments: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fill_disk)
            save(*arguments)

    monkeypatch.setattr(ranking, "save_ranks", save_on_full_disk)
    answer = sdmr("run", "model=mf-bpr", *overrides, *SMALL, f"runs={tmp_path}")
    assert answer.status == 1
    assert f"{run.folder}/ranks.npz: No space left on device" in answer.error
    assert (run.folder / "checkpoint.pt").exists()


@pytest.mark.parametrize("n_writes", range(8))
def test_disk_that_fills_at_any_write_loses_nothing_and_leaves_no_half_file(
    n_writes: int, tmp_path: Path, overrides: tuple[str, ...], sdmr: Sdmr, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = execute(run_of(tmp_path / "expected", "model=mf-bpr", *overrides, *SMALL))
    arguments = ("model=mf-bpr", *overrides, *SMALL, f"runs={tmp_path / 'runs'}")
    run, fsync, written = run_of(tmp_path / "runs", *arguments), os.fsync, list[int]()

    def fill_disk(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > n_writes:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill_disk)
        answer = sdmr("run", *arguments)
    assert answer.status == 1
    assert re.fullmatch(rf"sdmr run: {tmp_path}/runs/[^ ]+: No space left on device; [^\n]+", answer.error)
    assert run.record is None
    assert not [path for path in (tmp_path / "runs").rglob(".*") if not path.name.endswith(".lock")]
    checkpoint = run.folder / "checkpoint.pt"
    finished = load_tensors(checkpoint, "cpu")["history"] if n_writes else []
    record = execute(run)
    assert record.test == expected.test
    assert record.history is not None
    assert record.history[: len(finished)] == finished  # with the seconds of their fit: they are not fitted again


def test_cache_of_compiled_code_that_cannot_be_written_is_one_line(sdmr: Sdmr, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("cannot cache function 'f': no locator available for file 'x.py'")

    monkeypatch.setattr(cli.importlib, "import_module", fail)
    answer = sdmr("run", "model=sdm")
    assert answer.status == 1
    assert "set NUMBA_CACHE_DIR" in answer.error


def test_report_of_the_data_is_in_the_record_and_in_the_line_of_the_run(
    tmp_path: Path, overrides: tuple[str, ...], sdmr: Sdmr, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, *others = run_module.load_task(run_of(tmp_path, "model=popularity", *overrides).config)
    reported = SimpleNamespace(**vars(task) | {"report": {"duplicate_rows": 1200}})
    monkeypatch.setattr(execute_module, "load_task", lambda config: (reported, *others))
    answer = sdmr("run", "model=popularity", *overrides, f"runs={tmp_path}")
    assert answer.out.endswith("record.json); 1,200 duplicate rows\n")
    assert run_of(tmp_path, "model=popularity", *overrides).record.data_report == {"duplicate_rows": 1200}
