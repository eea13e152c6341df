"""`sdmr bench`: each suite has its own options, and the speed suite writes what it promises."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sdmr.experiments import bench
from sdmr.experiments.benchmark.cases import GROUPS, TINY
from sdmr.experiments.core import cli

LOCAL_GROUPS = [name for name in GROUPS if name not in ("memory", "side_by_side")]  # those without new processes


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
    arguments = ["tiny=true", "threads=1", f"results={tmp_path}", f"plots={tmp_path}"]
    assert cli.main(["bench", "suite=speed", *arguments]) == 0
    entries = json.loads((tmp_path / "bench.json").read_text())
    for entry in entries:
        assert {"name", "setting", "seconds", "oracle_seconds", "ratio", "threads", "machine"} <= set(entry)
        assert entry["seconds"] > 0
        assert entry["threads"] == 1
        oracle = entry["oracle_seconds"]
        assert entry["ratio"] == (None if oracle is None else pytest.approx(oracle / entry["seconds"]))
    assert {entry["setting"]["model"] for entry in entries if entry["name"] == "train"} == {"mf-bpr", "sdp", "sdm"}
    models_with_oracle = {entry["setting"]["model"] for entry in entries if entry["name"] == "rank" and entry["ratio"]}
    assert models_with_oracle == {"sdp", "sdm"}
    curve = [e["setting"] for e in entries if e["name"] == "growth items" and e["setting"]["optimizer"] == "adam"]
    points = [(setting["model"], setting["items"]) for setting in curve]
    assert points == [(model, items) for items in TINY.catalogs for model in ("mf-bpr", "sdm")]
    assert [e["setting"]["hops"] for e in entries if e["name"] == "growth hops"] == list(TINY.hops)
    assert (tmp_path / "bench.png").stat().st_size > 0
    with (tmp_path / "bench.csv").open() as lines:
        drawn = list(csv.DictReader(lines))
    assert {row["line"] for row in drawn if row["axis"] == "dim"} == {"SDM", "SDM, literal oracle"}
    assert len({row["line"] for row in drawn if row["axis"] == "items"}) == 4
    printed = capsys.readouterr().out.splitlines()
    assert "1 threads" in printed[0]
    assert len(printed) == len(entries) + 3


def test_some_groups_of_the_speed_suite_write_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "suite=speed", "only=parts", "tiny=true", "threads=1"]) == 0
    assert "negatives/s" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "suite=... is missing"),
        (["suite=slow"], "suite=slow: "),
        (
            ["suite=speed", "workers=3"],
            "workers=...: suite=speed has no such option; it has suite, threads, only",
        ),
        (["suite=speed", "epochs=3"], "epochs=3: suite=speed has no such option"),
        (["suite=smoke", "threads=1"], "threads=...: suite=smoke has no such option; it has suite, datasets, models"),
        (["suite=speed", "only=parts", "plots=there"], "plots=...: suite=speed has no such option; it has suite, thr"),
        (["suite=smoke", "only=parts"], "only=...: suite=smoke has no such option"),
        (["suite=smoke", "models=[]"], "models=[]: expected at least one value"),
        (["suite=speed", "only=[parts,hops]"], "only=hops: there is none of this name; there are models, large, parts"),
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
