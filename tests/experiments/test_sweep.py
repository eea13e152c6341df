"""The search of a model's settings: its space, its stages, its budget, what it finds again and what it writes."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdmr.experiments import chosen, jobs, status, sweep
from sdmr.experiments.configs import MODELS, compose_run
from sdmr.experiments.jobs import Outcome
from sdmr.experiments.sweep import SPACES, Search, space_of
from sdmr.experiments.tables import accuracy

NAMES = sorted(path.stem for path in SPACES.glob("*.yaml"))
SHORT = ("epochs=1", "patience=1")
SPACE = """
stages:
  - model.optimization.regularization: [0.1, 0.01, 0.001]
    model.optimization.negatives: [all, hardest]
  - model.dim: [2, 4, 64]
"""


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setattr(chosen, "FOLDER", tmp_path / "chosen")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 users with 8 of 140 items each, in the order of their times, in two baskets."""
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("data") / "small.csv"
    rows = [
        f"{user},{item},{time},{time // 4}"
        for user in range(30)
        for time, item in enumerate(rng.choice(140, 8, replace=False))
    ]
    path.write_text("\n".join(["user,item,time,basket", *rows]) + "\n")
    return path


@pytest.fixture
def given(tmp_path: Path, data: Path) -> tuple[str, ...]:
    return (f"dataset.path={data}", "dataset.time=time", f"runs={tmp_path / 'runs'}", *SHORT)


@pytest.fixture
def spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "space"
    folder.mkdir()
    (folder / "mf-bpr.yaml").write_text(SPACE)
    monkeypatch.setattr(sweep, "SPACES", folder)
    return folder


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The jobs that were run, in this process and one after the other."""
    done = []

    def run_all(waiting: Iterable[tuple[str, ...]], runs: Path, workers: int) -> Iterator[Outcome]:
        for job in waiting:
            done.append(job)
            yield jobs._run(job, runs)

    monkeypatch.setattr(sweep, "run_all", run_all)
    return done


def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: str, program: Any = sweep) -> int:
    command = ["sdmr.experiments.sweep", "dataset=csv", f"results={tmp_path / 'results'}", *arguments]
    monkeypatch.setattr(sys, "argv", command)
    exit_code: int = program.main()
    return exit_code


def rows_of(tmp_path: Path, name: str = "mf-bpr") -> list[dict[str, str]]:
    with (tmp_path / "results" / "sweeps" / "csv" / f"{name}.csv").open() as lines:
        return list(csv.DictReader(lines))


def write_search(tmp_path: Path, name: str, *rows: str) -> None:
    """The table of a search on ML-100k, without its records: each row its stage, settings and score."""
    path = tmp_path / "results" / "sweeps" / "ml-100k" / f"{name}.csv"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{line}\n" for line in (",".join(sweep.COLUMNS), *(f"{row},,,,,," for row in rows))))


def settings(job: Iterable[str]) -> dict[str, str]:
    return {key: value for key, _, value in (override.partition("=") for override in job) if key.startswith("model.")}


# --- spaces ---


def test_every_model_has_a_space_and_every_part_too() -> None:
    assert set(MODELS) <= set(NAMES)
    assert {part for name in NAMES for part in space_of(name).parts.values()} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_space_names_settings_of_the_model_and_values_of_their_type(name: str) -> None:
    """A value of another type, 1 for 1.0 say, would be another run than the plain one."""
    space = space_of(name)
    fixed = [f"{key}={value}" for key, value in space.fixed.items()]
    config, _ = compose_run([f"model={space.model or name}", *fixed])
    assert all("_target_" in config["model"][part] for part in space.parts)
    axes = {axis: values for stage in space.stages for axis, values in stage.items()}
    assert set(space.with_baskets) <= set(axes)
    for axis, values in [*axes.items(), *space.with_baskets.items()]:
        plain = sweep._value(config, axis)
        assert {type(value) for value in values} <= {type(plain)}
        assert len(set(values)) == len(values)
        assert plain in axes[axis]


def test_the_papers_values_are_in_the_spaces() -> None:
    for name in ("mf-bpr", "cml", "gmf", "mlp", "prme", "prme-s", "transrec", "caser", "sdp", "sdm", "gmf-bpr"):
        axes = {axis: values for stage in space_of(name).stages for axis, values in stage.items()}
        assert axes["model.dim"] == [8, 16, 32, 64, 128]
        assert axes["model.optimization.regularization"] == [0.1, 0.01, 0.001, 0.0001, 0.00001]
    for name in ("sdm", "cmn"):
        assert {"model.hops": [1, 2, 3, 4]} in space_of(name).stages
    assert {"model.layers": [1, 2, 3]} in space_of("mlp").stages


# --- staged ---


def test_a_staged_search_goes_on_from_the_best_of_each_stage(
    tmp_path: Path, given: tuple[str, ...], spaces: Path, ran: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(monkeypatch, tmp_path, "model=mf-bpr", *given) == 0
    first, second = ran[:6], ran[6:]
    assert len(second) == 2  # the third has d at its plain 64, and is found
    plain = {"model.optimization.regularization": "0.01", "model.optimization.negatives": "hardest"}
    assert settings(first[0]) == plain  # those nearest to plain settings come first
    assert settings(first[-1])["model.optimization.negatives"] == "all"
    assert len({tuple(sorted(settings(job).items())) for job in first}) == 6
    rows = rows_of(tmp_path)
    best = max(rows[:6], key=lambda row: float(row["NDCG@10"]))["settings"]
    assert all(" ".join(job[3:5]) == best.removesuffix(" model.dim=64") for job in second)
    best = max(rows, key=lambda row: float(row["NDCG@10"]))["settings"]
    text = (tmp_path / "chosen" / "csv" / "mf-bpr.txt").read_text()
    assert chosen.read("csv", "mf-bpr", given) == [*best.split(), *SHORT]
    assert set(accuracy.job("csv", "mf-bpr", 2, "chosen", given[:2])) == {
        *("model=mf-bpr", "dataset=csv", "seed=2", *best.split(), *SHORT, *given[:2])
    }
    assert "staged search: 8 runs" in text
    assert "of 30 single-thread minutes" in text
    assert str(tmp_path / "runs") not in text


def test_search_records_are_copied_and_none_has_seen_the_test_items(
    tmp_path: Path, given: tuple[str, ...], spaces: Path, ran: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(monkeypatch, tmp_path, "model=mf-bpr", *given)
    assert all("test=false" in job for job in ran)
    rows = rows_of(tmp_path)
    folder = tmp_path / "results" / "sweeps" / "csv"
    assert {path.stem for path in folder.glob("*.json")} == {row["run"] for row in rows}
    for row in rows:
        record = json.loads((folder / f"{row['run']}.json").read_text())
        assert "test" not in record
        assert float(row["NDCG@10"]) == pytest.approx(record["validation"]["NDCG@10"]["expected"], abs=1e-6)


def test_a_search_that_is_begun_again_runs_nothing_anew(
    tmp_path: Path, given: tuple[str, ...], spaces: Path, ran: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(monkeypatch, tmp_path, "model=mf-bpr", *given)
    written = (tmp_path / "chosen" / "csv" / "mf-bpr.txt").read_bytes(), rows_of(tmp_path)
    ran.clear()
    assert call(monkeypatch, tmp_path, "model=mf-bpr", *given) == 0
    assert not ran
    assert ((tmp_path / "chosen" / "csv" / "mf-bpr.txt").read_bytes(), rows_of(tmp_path)) == written


def test_runs_made_by_the_run_command_are_found(
    tmp_path: Path, given: tuple[str, ...], spaces: Path, ran: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ("model=mf-bpr", "test=false", "dataset=csv", "model.optimization.regularization=0.001", *given)
    jobs._run(made, tmp_path / "runs")
    call(monkeypatch, tmp_path, "model=mf-bpr", *given)
    assert len(ran) == 7


def test_no_run_is_begun_beyond_the_budget_and_what_is_left_out_is_told(
    tmp_path: Path,
    given: tuple[str, ...],
    spaces: Path,
    ran: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sweep, "seconds_in_all", lambda records, runs: 60.0 * len(list(records)))
    assert call(monkeypatch, tmp_path, "model=mf-bpr", "budget=3", *given) == 0
    assert len(ran) == 3
    out = capsys.readouterr().out
    assert out.count("left out") == 5
    assert re.search(r"took \d+ s; what was run took 180 s, by (\d+) workers: ", out)
    assert "model.dim=2: left out" in out
    text = (tmp_path / "chosen" / "csv" / "mf-bpr.txt").read_text()
    assert "3 runs, 3.0 of 3 single-thread minutes" in text
    assert text.count("left out") == 5
    assert [row["error"] for row in rows_of(tmp_path)].count("left out") == 5


def test_the_next_run_is_not_taken_to_need_its_parts_again(
    tmp_path: Path, given: tuple[str, ...], spaces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes of parts and a quarter of one's own: four runs are three minutes, and not four times two."""
    (spaces / "sdmr.yaml").write_text("stages: [{model.optimization.regularization: [0.1, 0.01, 0.001, 0.0001, 0]}]")
    search, begun = Search("sdmr", "csv", given, 3), []
    (points,) = search.rounds("staged")
    for job in search.within_budget(points):
        (point,) = (point for point in points if point.job == job)
        point.record = {
            "run": " ".join(job),
            "dataset": "csv",
            "parts": {"sdp": "SDP-0"},
            "seconds": {"fit": 15.0, "parts": 120.0},
        }
        begun.append(job)
    assert len(begun) == 4
    assert search.minutes == 3


def test_a_given_setting_is_no_axis_and_is_part_of_what_is_chosen(
    tmp_path: Path, given: tuple[str, ...], spaces: Path, ran: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(monkeypatch, tmp_path, "model=mf-bpr", "++model.dim=2", "model.optimization.negatives=all", *given)
    assert len(ran) == 3
    assert {compose_run(job)[0]["model"]["dim"] for job in ran} == {2}
    assert {"++model.dim=2", "model.optimization.negatives=all"} <= set(chosen.read("csv", "mf-bpr", given))
    assert all(row["settings"].endswith("model.dim=2 model.optimization.negatives=all") for row in rows_of(tmp_path))


def test_a_setting_given_for_the_data_set_is_no_axis_of_the_model(given: tuple[str, ...]) -> None:
    search = Search("sdm", "csv", (*given, "context_length=7"), 30)
    assert all("model.context_length" not in stage for stage in search._axes())
    assert search.plain["model"]["context_length"] == 7


def test_a_failed_run_is_told_with_its_settings_and_stops_no_other(
    tmp_path: Path,
    given: tuple[str, ...],
    spaces: Path,
    ran: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (spaces / "sdp.yaml").write_text("stages: [{model.dim: [64, 3, 2]}]")  # 3 cannot be halved
    assert call(monkeypatch, tmp_path, "model=sdp", "model.layers=2", *given) == 1
    assert len(ran) == 3
    assert "model.dim=3: FAILED, " in capsys.readouterr().err
    assert chosen.read("csv", "sdp", given)[0] in ("model.dim=64", "model.dim=2")
    assert "model.dim=3: FAILED" in (tmp_path / "chosen" / "csv" / "sdp.txt").read_text()
    assert "divisible" in rows_of(tmp_path, "sdp")[1]["error"]


# --- grid, carried, parts, baskets ---


def test_a_grid_crosses_all_axes(
    tmp_path: Path, given: tuple[str, ...], spaces: Path, ran: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "seconds_in_all", lambda records, runs: 6000.0 * len(list(records)))  # no end to them
    call(monkeypatch, tmp_path, "model=mf-bpr", "search=grid", *given)
    assert len(ran) == len({job[3:6] for job in ran}) == 3 * 2 * 3


def test_the_best_settings_of_another_data_set_are_carried_over(
    tmp_path: Path, given: tuple[str, ...], spaces: Path, ran: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {2: "0.3", 3: "0.5", 4: "", 5: "0.4"}
    rows = [f"1,model.dim={d} model.optimization.negatives=all,{score}" for d, score in found.items()]
    write_search(tmp_path, "mf-bpr", *rows)
    assert call(monkeypatch, tmp_path, "model=mf-bpr", "search=carried", "from=ml-100k", "most=2", *given) == 0
    assert [settings(job)["model.dim"] for job in ran] == ["3", "5"]
    assert chosen.read("csv", "mf-bpr", given)[0] in ("model.dim=3", "model.dim=5")
    ran.clear()
    arguments = ("model=mf-bpr", "search=carried", "from=ml-100k", "model.dim=2", *given)
    assert call(monkeypatch, tmp_path, *arguments) == 0
    assert len(ran) == 1  # three that differ in nothing else are one
    assert rows_of(tmp_path)[0]["settings"] == "model.optimization.negatives=all model.dim=2"  # not those carried over
    assert call(monkeypatch, tmp_path, "model=mf-bpr", "search=carried", "from=elsewhere", *given) == 1


@pytest.mark.parametrize(("most", "score"), [("0", "0.3"), ("3", "")])
@pytest.mark.parametrize("program", [sweep, status])
def test_where_nothing_is_carried_over_nothing_else_is_tried(
    program: Any,
    most: str,
    score: str,
    tmp_path: Path,
    given: tuple[str, ...],
    spaces: Path,
    ran: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_search(tmp_path, "mf-bpr", f"1,model.dim=2,{score}")
    arguments = ("model=mf-bpr", "search=carried", "from=ml-100k", f"most={most}", *given)
    assert call(monkeypatch, tmp_path, *arguments, program=program) == 1
    assert "no settings to carry over" in capsys.readouterr().err
    assert not ran


def test_the_table_of_a_search_has_what_was_given_for_the_data_set_in_a_setting_s_place(
    tmp_path: Path, given: tuple[str, ...], spaces: Path, ran: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (spaces / "sdm.yaml").write_text("stages: [{model.dim: [2], model.context_length: [5]}]")
    write_search(tmp_path, "sdm", "1,model.dim=2 model.context_length=5,0.3")
    arguments = ("model=sdm", "search=carried", "from=ml-100k", "context_length=3", *given)
    assert call(monkeypatch, tmp_path, *arguments) == 0
    assert [row["settings"] for row in rows_of(tmp_path, "sdm")] == ["model.dim=2 model.context_length=3"]


@pytest.mark.parametrize("jobs", ["0", "x", "-1"])
def test_a_number_of_workers_that_is_none_is_one_line(
    jobs: str,
    given: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, tmp_path, "model=mf-bpr", f"jobs={jobs}", *given) == 1
    assert f"mf-bpr: {jobs} is no whole number from 1 on\n" in capsys.readouterr().err


def test_what_was_chosen_on_a_file_is_not_for_another(
    given: tuple[str, ...], spaces: Path, ran: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(monkeypatch, tmp_path, "model=mf-bpr", *given) == 0
    path, time = given[:2]
    folder, name = Path(path.partition("=")[2]).parent, Path(path).name
    for same in (
        [f"++{time}", path],
        [f"dataset.path='{folder}/{name}'", time, "dataset.order=random"],
        [f"dataset.path={folder}/../{folder.name}/{name}", time, "epochs=7"],
    ):
        assert chosen.read("csv", "mf-bpr", same) == chosen.read("csv", "mf-bpr", given)
    for other in (["dataset.path=else.csv", time], [path], []):
        with pytest.raises(chosen.NotChosen, match=r"its settings were chosen on dataset\.path=.* not on "):
            accuracy.job("csv", "mf-bpr", 0, "chosen", other)
    chosen.write(
        "ml-100k", "mf-bpr", ["model.dim=2"], ["python -m sdmr.experiments.sweep model=mf-bpr dataset=ml-100k"]
    )
    assert chosen.read("ml-100k", "mf-bpr", ["dataset.order=file"]) == ["model.dim=2"]  # it is known by its name


def test_parts_come_as_they_were_chosen(
    tmp_path: Path, given: tuple[str, ...], spaces: Path, ran: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (spaces / "sdp.yaml").write_text("stages: [{model.dim: [2]}]")
    (spaces / "sdm.yaml").write_text("stages: [{model.dim: [4], model.context_length: [3]}]")
    text = "stages: [{model.optimization.regularization: [0.1, 0.01]}]"
    (spaces / "sdmr.yaml").write_text(f"parts: {{sdp: sdp, sdm: sdm}}\n{text}")
    assert call(monkeypatch, tmp_path, "model=sdp,sdm,sdmr", *given) == 0
    folders = {path.name for path in (tmp_path / "runs" / "csv").iterdir()}
    assert sorted(name.partition("-")[0] for name in folders) == ["SDM", "SDMR", "SDMR", "SDP"]
    both = ["model.sdp.dim=2", "model.sdm.dim=4", "model.sdm.context_length=3"]
    assert [line for line in chosen.read("csv", "sdmr", given) if line in both] == both
    search = Search("sdmr", "csv", given, 30)
    for points in search.rounds("staged"):
        assert all(point.record for point in points)
        assert {search.label(point) for point in points} == {  # what the points differ in, without their parts
            "model.optimization.regularization=0.1",
            "model.optimization.regularization=0.01",
        }
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs" / "csv").glob("*/record.json")]
    once = sum(value for record in records for phase, value in record["seconds"].items() if phase != "parts")
    assert search.minutes * 60 == pytest.approx(once)


def test_what_was_chosen_for_a_part_stays_the_parts(given: tuple[str, ...], spaces: Path) -> None:
    chosen.write("csv", "sdp", ["model.dim=2", "epochs=7"], [])
    chosen.write("csv", "sdm", ["model.hops=1", "context_length=3", "patience=4"], [])
    (spaces / "sdmr.yaml").write_text("parts: {sdp: sdp, sdm: sdm}\nstages: []")
    model = Search("sdmr", "csv", given, 30).plain["model"]
    whole, sdp, sdm = ({"optimization": m["optimization"]} | m for m in (model, model["sdp"], model["sdm"]))
    assert (whole["optimization"]["epochs"], sdp["optimization"]["epochs"], sdm["optimization"]["epochs"]) == (1, 7, 1)
    assert (sdp["dim"], sdm["hops"], sdm["context_length"], sdm["optimization"]["patience"]) == (2, 1, 3, 4)


def test_without_chosen_parts_plain_ones_are_taken_and_told(
    tmp_path: Path, given: tuple[str, ...], spaces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (spaces / "sdmr.yaml").write_text("parts: {sdp: sdp, sdm: sdm}\nstages: []")
    search = Search("sdmr", "csv", given, 30)
    assert len(search.notes) == 2
    assert not search.fixed


def test_with_baskets_an_axis_may_have_other_values_or_none(given: tuple[str, ...]) -> None:
    def axis(name: str, *more: str) -> list[Any] | None:
        axes = Search(name, "csv", (*given, *more), 30)._axes()
        return {a: values for stage in axes for a, values in stage.items()}.get("model.context_length")

    assert axis("caser") == axis("sdm") == [5, 10, 20]
    assert axis("caser", "dataset.basket=basket") == [5, 10, 18]
    assert axis("sdm", "dataset.basket=basket") is None


def test_baskets_rule_out_what_is_carried_over_from_elsewhere(given: tuple[str, ...]) -> None:
    def fitting(name: str, *more: str, length: str = "5") -> dict[str, Any]:
        return Search(name, "csv", (*given, *more), 30)._fitting({"model.dim": "4", "model.context_length": length})

    assert fitting("sdm") == {"model.dim": "4", "model.context_length": "5"}
    assert fitting("sdm", "dataset.basket=basket") == {"model.dim": "4"}  # the whole basket
    assert fitting("caser", "dataset.basket=basket") == {"model.dim": "4", "model.context_length": "5"}
    assert fitting("caser", "dataset.basket=basket", length="20") == {"model.dim": "4"}


@pytest.mark.parametrize("arguments", [(), ("model=",)])
@pytest.mark.parametrize("program", [sweep, status])
def test_without_a_model_the_usage_is_told(
    program: Any, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(monkeypatch, tmp_path, *arguments, program=program) == 2


@pytest.mark.parametrize("arguments", [("search=random",), ("search=carried",), ("search=grid", "from=ml-100k")])
@pytest.mark.parametrize("program", [sweep, status])
def test_a_search_that_does_not_exist_is_refused(
    program: Any,
    arguments: tuple[str, ...],
    tmp_path: Path,
    given: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, tmp_path, "model=mf-bpr", *arguments, *given, program=program) == 1
    assert "search must be staged, grid, carried, and from=DATASET" in capsys.readouterr().err


def test_a_setting_that_a_search_does_not_heed_is_refused(
    tmp_path: Path, given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, tmp_path, "model=mf-bpr", "threads=2", *given) == 1
    assert "threads=2 has no effect here" in capsys.readouterr().err
    assert call(monkeypatch, tmp_path, "model=mf-bpr", "test=true", *given) == 1
    assert "a search never ranks the test items" in capsys.readouterr().err
    for override in ("protocol.validation_item=next-to-last", "+protocol.equal_times=item-id", "split_seed=1"):
        assert call(monkeypatch, tmp_path, "model=mf-bpr", override, *given) == 1
        assert f"{override}: what is chosen is for the default protocol's items" in capsys.readouterr().err
    assert call(monkeypatch, tmp_path, "model=mf-bpr", "dataset=epinions", "dataset.order=file") == 1
    assert "dataset.order=file: what is chosen is for the default protocol's items, and for epinions as its name" in (
        capsys.readouterr().err
    )
    assert call(monkeypatch, tmp_path, "model=mf-bpr", "hydra/launcher=joblib", *given) == 1
    assert "hydra/launcher=joblib has no effect here; a launcher goes with" in capsys.readouterr().err


def test_settings_that_take_the_place_of_better_ones_say_so(
    tmp_path: Path,
    given: tuple[str, ...],
    spaces: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for score, is_told in ((0.0001, False), (0.9, True)):
        chosen.write("csv", "mf-bpr", ["model.dim=2"], [f"validation NDCG@10 {score:.4f}, hit@10 0.9"])
        assert call(monkeypatch, tmp_path, "model=mf-bpr", *given) == 0
        assert ("in place of settings that were better, validation NDCG@10 0.9" in capsys.readouterr().err) == is_told
    monkeypatch.setattr(sweep.Point, "score", 0.12348)
    chosen.write("csv", "mf-bpr", ["model.dim=2"], ["validation NDCG@10 0.1235, hit@10 0.9"])  # as a file has 0.12348
    assert call(monkeypatch, tmp_path, "model=mf-bpr", *given) == 0
    assert "in place of" not in capsys.readouterr().err


def test_a_model_without_a_space_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, tmp_path, "model=svd") == 1
    assert "svd.yaml" in capsys.readouterr().err
