"""`sdmr bench`: each suite has its own options, and the speed suite writes what it promises."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from sdmr.experiments import bench
from sdmr.experiments.benchmark.cases import GROUPS
from sdmr.experiments.benchmark.scale import SCALES
from sdmr.experiments.core import cli

LOCAL_GROUPS = [name for name in GROUPS if name not in ("memory", "side_by_side", "load")]  # the others take long


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TQDM_DISABLE", "1")  # the command sets it, too: afterwards it is as before
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_speed_suite_writes_its_measurements_and_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "GROUPS", {name: GROUPS[name] for name in LOCAL_GROUPS})
    arguments = ["scale=tiny", "threads=1", f"results={tmp_path}", f"plots={tmp_path}"]
    assert cli.main(["bench", *arguments]) == 0
    entries = json.loads((tmp_path / "bench-tiny.json").read_text())
    for entry in entries:
        assert entry["seconds"] > 0
        assert entry["threads"] == 1
        reference = entry["reference_seconds"]
        assert entry["ratio"] == (None if reference is None else pytest.approx(reference / entry["seconds"]))
    assert {entry["setting"]["model"] for entry in entries if entry["name"] == "train"} == {"mf-bpr", "sdp", "sdm"}
    models_with_oracle = {entry["setting"]["model"] for entry in entries if entry["name"] == "rank" and entry["ratio"]}
    assert models_with_oracle == {"sdp", "sdm"}
    released = [entry for entry in entries if entry["name"] == "epoch vs released"]
    assert [entry["setting"]["model"] for entry in released] == ["sdm", "sdm-released"]
    assert len({entry["reference_seconds"] for entry in released} - {None}) == 1
    tiny = SCALES["tiny"]
    points = [(e["setting"]["model"], e["setting"]["items"]) for e in entries if e["name"] == "growth items"]
    assert points == [(model, items) for items in tiny.catalogs for model in ("mf-bpr", "sdm")]
    assert [e["setting"]["hops"] for e in entries if e["name"] == "growth hops"] == list(tiny.hops)
    curves, epochs = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("bench-tiny", "bench-tiny-epochs"))
    lines = curves.groupby("axis")["line"].unique()
    assert list(lines["dim"]) == ["SDM", "SDM, literal oracle"]
    assert list(lines["items"]) == ["MF-BPR", "MF-BPR, dense Adam", "SDM", "SDM, dense Adam"]
    programs = epochs.groupby("model")["program"].apply(set)
    assert programs["SDM"] == {
        *("this suite, 1 thread", "literal oracle, 1 thread"),
        *("this suite, 1 thread, with ranking", "released program, 1 thread, with ranking"),
    }
    assert programs["MF-BPR"] == programs["TransRec"] == {"this suite, 1 thread", "plain PyTorch, 1 thread"}
    assert not epochs.duplicated(["model", "program"]).any()
    assert all((tmp_path / f"{name}.png").stat().st_size > 0 for name in ("bench-tiny", "bench-tiny-epochs"))
    assert "1 thread" in capsys.readouterr().out


def test_some_groups_of_the_speed_suite_write_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "only=parts", "scale=tiny", "threads=1"]) == 0
    assert "negatives" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_the_python_of_recbole_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "python").symlink_to(sys.executable)
    scale, _ = bench.choose_groups(bench.Options(recbole="./python"))
    assert scale.recbole == str(tmp_path / "python")  # the link of a virtual environment is its name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["device=cuda"], "device=cuda: this machine has no such device"),
        (
            ["device=cuda", "only=parts"],
            "only=...: suite=speed with device=... has no such option; it has suite, scale, threads, device",
        ),
        (["recbole=no-python"], "recbole='no-python': there is no such program, expected a path of Python"),
        (["suite=slow"], "suite=slow: "),
        (
            ["suite=speed", "workers=3"],
            "workers=...: suite=speed has no such option; it has suite",
        ),
        (["suite=speed", "epochs=3"], "epochs=3: suite=speed has no such option"),
        (["suite=smoke", "threads=1"], "threads=...: suite=smoke has no such option; it has suite, datasets, models"),
        (
            ["suite=speed", "only=parts", "plots=there"],
            "plots=...: suite=speed with only=... has no such option; it has suite",
        ),
        (["only=parts", "recbole=python"], "recbole=... has no effect here: only=... names other groups"),
        (["suite=smoke", "only=parts"], "only=...: suite=smoke has no such option"),
        (["suite=smoke", "models=[]"], "models=[]: expected at least one value"),
        (
            ["suite=speed", "only=[parts,hops]"],
            "only=hops: there is none of this name; there are models, large",
        ),
        (["suite=speed", "threads=0"], "threads=0: "),
        (["suite=smoke", "test=true"], "test=true: test is the same in every run"),
        (["suite=smoke", "force=true"], "force=true has no effect here"),
    ],
)
def test_an_option_that_a_suite_does_not_have_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", *arguments]) == cli.WRONG_USE
    error = capsys.readouterr().err
    assert error.startswith(f"sdmr bench: {message}")
    assert len(error.splitlines()) == 1
