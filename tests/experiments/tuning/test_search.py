"""The search of a model's settings: its stages, its budget, what it reuses, and what it writes."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sdmr.experiments.core import parallel
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.options import NotTunedError, UsageError
from sdmr.experiments.core.tuned import read_tuned, write_tuned
from sdmr.experiments.tuning import search as search_module
from sdmr.experiments.tuning.search import Point
from tests.experiments.tuning.helpers import (
    call,
    make_search,
    model_overrides,
    read_points,
    read_settings,
    write_points,
)

Made = list[tuple[str, ...]]
Capture = pytest.CaptureFixture[str]

# --- staged ---


def test_a_staged_search_continues_from_the_best_of_each_stage(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    assert call("model=mf-bpr", *small) == 0
    first, second = made[:6], made[6:]
    assert len(second) == 2  # the third has d at its default 64, and is cached
    # Those nearest to the default settings come first.
    assert model_overrides(first[0]) == {
        "model.optimization.regularization": "0.01",
        "model.optimization.negatives": "hardest",
    }
    assert model_overrides(first[-1])["model.optimization.negatives"] == "all"
    assert len({tuple(sorted(model_overrides(task).items())) for task in first}) == 6
    points = read_points()
    best = max(points[:6], key=lambda point: float(point["NDCG@10"]))["settings"]
    assert all(" ".join(task[3:5]) == best.removesuffix(" model.dim=64") for task in second)


def test_the_best_point_becomes_the_tuned_settings_with_their_origin(
    small: tuple[str, ...], spaces: Path, made: Made, data: Path
) -> None:
    call("model=mf-bpr", *small, "budget=20")
    best = max(read_points(), key=lambda point: float(point["NDCG@10"]))
    tuned = read_settings()
    assert {"epochs": tuned.pop("epochs"), "patience": tuned.pop("patience")} == {"epochs": 1, "patience": 1}
    assert {f"{key}={value}" for key, value in tuned.items()} == set(best["settings"].split())
    origin = read_tuned("csv", "mf-bpr")["tuning"]
    assert origin["validation"]["NDCG@10"] == pytest.approx(float(best["NDCG@10"]), abs=1e-4)
    assert (origin["run"], origin["seed"], origin["search"]) == (best["run"], 0, "staged")
    assert (origin["runs"], origin["budget"], origin["points"]) == (8, 20, "results/sweeps/csv/mf-bpr.csv")
    assert origin["dataset"]["path"] == str(data)
    assert origin["commands"] == [f"sdmr sweep model=mf-bpr dataset=csv budget=20 {' '.join(small[1:])}"]
    assert "left_out" not in origin
    assert "notes" not in origin


def test_tuned_settings_make_the_run_of_the_best_point(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    call("model=mf-bpr", *small)
    best = read_tuned("csv", "mf-bpr")["tuning"]["run"]
    config = compose_config(["model=mf-bpr", *small[:3], "settings=tuned"]).settings
    record = json.loads(Path("runs", "csv", best, "record.json").read_text())
    assert record["config"]["model"] == config["model"]


def test_search_records_are_published_and_none_has_seen_the_test_items(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    call("model=mf-bpr", *small)
    assert all("test=false" in task for task in made)
    folder = Path("results", "sweeps", "csv")
    points = read_points()
    assert {path.parent.name for path in folder.glob("*/record.json")} == {point["run"] for point in points}
    for point in points:
        record = json.loads((folder / point["run"] / "record.json").read_text())
        assert "test" not in record
        assert float(point["NDCG@10"]) == pytest.approx(record["validation"]["NDCG@10"]["expected"], abs=1e-6)


def test_a_repeated_search_makes_no_run_and_writes_the_same(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    call("model=mf-bpr", *small)
    before = read_tuned("csv", "mf-bpr"), read_points()
    made.clear()
    assert call("model=mf-bpr", *small) == 0
    assert not made
    assert (read_tuned("csv", "mf-bpr"), read_points()) == before


def test_runs_made_by_the_run_command_are_reused(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    overrides = ("model=mf-bpr", "test=false", "model.optimization.regularization=0.001", *small)
    parallel.make_outcome(overrides, Path("runs"))
    call("model=mf-bpr", *small)
    assert len(made) == 7


# --- budget ---


def test_no_run_starts_beyond_the_budget_and_what_is_left_out_is_listed(
    small: tuple[str, ...], spaces: Path, made: Made, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(search_module, "compute_runtime", lambda records, runs: 60.0 * len(records))
    assert call("model=mf-bpr", "budget=3", "workers=2", *small) == 0
    assert len(made) == 3
    out = capsys.readouterr().out
    assert out.count("left out") == 5
    assert re.search(r"took \d+ s; its runs took 180 s, which is 90 s for each of 2 workers", out)
    assert "model.dim=2: left out" in out
    origin = read_tuned("csv", "mf-bpr")["tuning"]
    assert (origin["runs"], origin["minutes"], origin["budget"], origin["left_out"]) == (3, 3.0, 3, 5)
    assert [point["error"] for point in read_points()].count("left out") == 5


def test_the_next_run_is_not_expected_to_need_its_parts_again(small: tuple[str, ...], spaces: Path) -> None:
    """Two minutes of parts and a quarter of one's own: four runs are three minutes, and not four times two."""
    (spaces / "sdmr.yaml").write_text("stages: [{model.optimization.regularization: [0.1, 0.01, 0.001, 0.0001, 0]}]")
    search, started = make_search("sdmr", "budget=3", *small), []
    (points,) = search.plan_stages()
    for overrides in search.select_affordable(points):
        (point,) = (point for point in points if point.overrides == overrides)
        seconds = {"fit": 15.0, "parts": 120.0}
        record: Any = SimpleNamespace(
            run=" ".join(overrides), dataset="csv", parts={"sdp": "SDP-0"}, seconds=seconds, runtime=15.0
        )
        point.record = record
        started.append(overrides)
    assert len(started) == 4
    assert search.minutes == 3


def test_a_run_of_another_process_comes_last(
    small: tuple[str, ...], spaces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = make_search("mf-bpr", *small)
    points = next(search.plan_stages())
    busy = points[0].run.folder
    monkeypatch.setattr("sdmr.experiments.core.run.Run.is_running", property(lambda run: run.folder == busy))
    assert list(search.select_affordable(points)) == [point.overrides for point in (*points[1:], points[0])]


# --- overrides ---


def test_an_override_is_no_axis_and_is_part_of_the_tuned_settings(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    call("model=mf-bpr", "++model.dim=2", "model.optimization.negatives=all", *small)
    assert len(made) == 3
    assert {compose_config(task).settings["model"]["dim"] for task in made} == {2}
    tuned = read_settings()
    assert (tuned["model.dim"], tuned["model.optimization.negatives"]) == (2, "all")
    assert all(point["settings"].endswith("model.dim=2 model.optimization.negatives=all") for point in read_points())


def test_an_override_of_the_data_sets_default_is_no_axis_of_the_model(small: tuple[str, ...]) -> None:
    search = make_search("sdm", *small, "context_length=7")
    assert all("model.context_length" not in stage for stage in search.axes)
    assert search.default.config["model"]["context_length"] == 7


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("threads=2", "threads=2 has no effect here"),
        ("force=true", "force=true has no effect here"),
        ("hydra/launcher=joblib", "hydra/launcher=joblib has no effect here; launchers work with `sdmr run -m`"),
        ("test=true", "a search never ranks the test items"),
        ("settings=tuned", "settings=tuned: settings is the same in every run"),
        ("model.dim=2,4", r"model.dim=2,4: expected one value"),
        ("protocol.validation_item=next-to-last", "tuned settings are for the default protocol"),
        ("+protocol.equal_times=item-id", "^protocol.equal_times=item-id: tuned settings are for"),
        ("split_seed=1", "split_seed=1: tuned settings are for the default protocol"),
        ("search=carried", "search=carried: must be 'staged', 'grid' or 'transferred'"),
        ("search=transferred", "source=DATASET and top=N are options of search=transferred"),
        ("source=ml-100k", "source=DATASET and top=N are options of search=transferred"),
        ("workers=0", "workers=0: must be greater than or equal to 1"),
        ("workers=x", "workers=x: must be a valid integer"),
        ("top=5", "source=DATASET and top=N are options of search=transferred"),
        ("top=0", "top=0: must be greater than or equal to 1"),
        ("budget=-1", "budget=-1: must be greater than or equal to 0"),
        ("budget=nan", "budget=nan: must be "),
    ],
)
def test_an_argument_that_a_search_does_not_allow_is_an_error(
    argument: str, message: str, small: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match=message):
        make_search("mf-bpr", argument, *small)


def test_a_named_data_set_cannot_be_changed() -> None:
    with pytest.raises(
        UsageError, match=r"dataset\.order=file: tuned settings are for .*, and for epinions as its name"
    ):
        make_search("mf-bpr", "dataset=epinions", "dataset.order=file")


@pytest.mark.parametrize("command", ["sweep", "status"])
@pytest.mark.parametrize("arguments", [(), ("model=",), ("model=[]",), ("model=svd",)])
def test_a_command_without_a_model_exits_with_2_and_one_line(
    command: str, arguments: tuple[str, ...], conf: Path, capsys: Capture
) -> None:
    assert call(*arguments, command=command) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"sdmr {command}: model=")
    assert error.count("\n") == 1


def test_a_mistake_is_reported_before_the_first_run(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    assert call("model=[mf-bpr,sdp]", "model.hops=2", *small) == 2
    assert not made


# --- failures ---


def test_a_failed_run_is_listed_with_its_settings_and_stops_no_other(
    small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture
) -> None:
    (spaces / "sdp.yaml").write_text("stages: [{model.dim: [64, 3, 2]}]")  # 3 cannot be halved
    assert call("model=sdp", "model.layers=2", *small) == 1
    assert len(made) == 3
    assert "model.dim=3: FAILED, " in capsys.readouterr().err
    assert read_settings("sdp")["model.dim"] in (64, 2)
    assert read_tuned("csv", "sdp")["tuning"]["notes"][0].startswith("model.dim=3: FAILED")
    assert "divisible" in read_points("sdp")[1]["error"]


def test_a_search_whose_runs_all_fail_writes_no_tuned_settings(
    small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture
) -> None:
    (spaces / "sdp.yaml").write_text("stages: [{model.dim: [3]}]")
    assert call("model=sdp", "model.layers=2", *small) == 1
    assert "no run has finished, so nothing is tuned" in capsys.readouterr().err
    assert len(read_points("sdp")) == 1
    with pytest.raises(NotTunedError):
        read_tuned("csv", "sdp")


# --- grid, transferred, parts ---


def test_a_grid_crosses_all_axes_without_a_limit(
    small: tuple[str, ...], spaces: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "compute_runtime", lambda records, runs: 6000.0 * len(records))
    call("model=mf-bpr", "search=grid", *small)
    assert len(made) == len({task[3:6] for task in made}) == 3 * 2 * 3
    assert "budget" not in read_tuned("csv", "mf-bpr")["tuning"]


def test_the_best_settings_of_another_data_set_are_transferred(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    scores = {2: "0.3", 3: "0.5", 4: "", 5: "0.4"}
    write_points("mf-bpr", *(f"1,model.dim={d} model.optimization.negatives=all,{s}" for d, s in scores.items()))
    transferred = ("model=mf-bpr", "search=transferred", "source=ml-100k", *small)
    assert call(*transferred, "top=2") == 0
    assert [model_overrides(task)["model.dim"] for task in made] == ["3", "5"]
    assert read_settings()["model.dim"] in (3, 5)
    (command,) = read_tuned("csv", "mf-bpr")["tuning"]["commands"]
    assert "search=transferred source=ml-100k top=2" in command
    made.clear()
    assert call(*transferred, "model.dim=2") == 0
    assert len(made) == 1  # three that differ in nothing else are one
    assert read_points()[0]["settings"] == "model.optimization.negatives=all model.dim=2"  # not the transferred d


@pytest.mark.parametrize("command", ["sweep", "status"])
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("elsewhere", "source=elsewhere: there was no search of mf-bpr"),
        ("ml-100k", "there are no settings to transfer"),
    ],
)
def test_without_settings_to_transfer_nothing_else_is_tried(
    command: str, source: str, message: str, small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture
) -> None:
    write_points("mf-bpr", "1,model.dim=2,")
    assert call("model=mf-bpr", "search=transferred", f"source={source}", *small, command=command) == 2
    assert message in capsys.readouterr().err
    assert not made


def test_the_table_of_points_shows_an_override_in_the_place_of_a_setting(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    (spaces / "sdm.yaml").write_text("stages: [{model.dim: [2], model.context_length: [5]}]")
    write_points("sdm", "1,model.dim=2 model.context_length=5,0.3")
    assert call("model=sdm", "search=transferred", "source=ml-100k", "context_length=3", *small) == 0
    assert [point["settings"] for point in read_points("sdm")] == ["model.dim=2 model.context_length=3"]


def test_parts_have_their_tuned_settings(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    (spaces / "sdp.yaml").write_text("stages: [{model.dim: [2]}]")
    (spaces / "sdm.yaml").write_text("stages: [{model.dim: [4], model.context_length: [3]}]")
    stages = "stages: [{model.optimization.regularization: [0.1, 0.01]}]"
    (spaces / "sdmr.yaml").write_text(f"parts: {{sdp: sdp, sdm: sdm}}\n{stages}")
    assert call("model=[sdp,sdm,sdmr]", *small) == 0
    folders = sorted(path.name.partition("-")[0] for path in Path("runs", "csv").glob("[A-Z]*"))
    assert folders == ["SDM", "SDMR", "SDMR", "SDP"]
    parts = {"model.sdp.dim": 2, "model.sdm.dim": 4, "model.sdm.context_length": 3}
    assert parts.items() <= read_settings("sdmr").items()
    search = make_search("sdmr", *small)
    for points in search.plan_stages():
        assert all(point.record for point in points)
        assert {
            search.format_settings(point) for point in points
        } == {  # what the points differ in, without their parts
            "model.optimization.regularization=0.1",
            "model.optimization.regularization=0.01",
        }
    records = [json.loads(path.read_text()) for path in Path("runs", "csv").glob("*/record.json")]
    once = sum(value for record in records for phase, value in record["seconds"].items() if phase != "parts")
    assert search.minutes * 60 == pytest.approx(once)


# --- what is replaced ---


@pytest.mark.parametrize(
    ("score", "runs", "path", "is_kept"),
    [
        (0.9, 1, None, True),  # a better score
        (0.0001, 2, None, True),  # of more runs
        (0.0001, 1, None, False),
        (None, 1, None, False),  # the same score, rounded as it is in the file
        (0.9, 2, "/elsewhere.csv", False),  # of other data
    ],
)
def test_settings_of_a_better_or_larger_search_are_replaced_only_if_asked_for(
    score: float | None,
    runs: int,
    path: str | None,
    is_kept: bool,
    small: tuple[str, ...],
    spaces: Path,
    made: Made,
    capsys: Capture,
) -> None:
    (spaces / "mf-bpr.yaml").write_text("stages: []")
    call("model=mf-bpr", *small)
    origin = read_tuned("csv", "mf-bpr")["tuning"] | {"runs": runs}
    if score is not None:
        origin["validation"]["NDCG@10"] = score
    if path is not None:
        origin["dataset"]["path"] = path
    file = write_tuned("csv", "mf-bpr", {"model": {"dim": 2}}, origin)
    capsys.readouterr()
    assert call("model=mf-bpr", *small) == 0
    text = f"settings of before, validation NDCG@10 {score or 0:.4f}, the best of {runs} runs"
    error = capsys.readouterr().err
    assert (read_settings() == {"model.dim": 2}) is is_kept
    assert error == (f"  {file} keeps the {text}; replace=true replaces them\n" if is_kept else "")
    assert call("model=mf-bpr", "replace=true", *small) == 0
    assert read_settings() != {"model.dim": 2}
    assert capsys.readouterr().err == (f"  these settings replace the {text}\n" if is_kept else "")


def test_settings_tuned_on_one_file_are_not_used_for_another(
    small: tuple[str, ...], spaces: Path, made: Made, data: Path
) -> None:
    assert call("model=mf-bpr", *small) == 0
    tuned = ("model=mf-bpr", "dataset=csv", "settings=tuned")
    expected = compose_config([*tuned, *small[1:]]).settings["model"]
    time = "dataset.time=time"
    for same in (
        [f"dataset.path={data}", f"++{time}"],
        [f"dataset.path='{data}'", time, "dataset.order=random"],
        [f"dataset.path={data.parent}/../{data.parent.name}/{data.name}", time, "seed=7"],
    ):
        assert compose_config([*tuned, *same]).settings["model"] == expected
    for other in (["dataset.path=else.csv", time], [f"dataset.path={data}"]):
        with pytest.raises(NotTunedError, match="mf-bpr was tuned on other data: "):
            compose_config([*tuned, *other])
    write_tuned("epinions", "mf-bpr", {"model": {"dim": 2}}, {})
    named = ["model=mf-bpr", "dataset=epinions", "settings=tuned", "dataset.order=file"]
    assert compose_config(named).settings["model"]["dim"] == 2  # its name says which data it is


def test_a_point_without_a_record_is_never_the_best(small: tuple[str, ...], spaces: Path) -> None:
    search = make_search("mf-bpr", *small)
    points = next(search.plan_stages())
    assert search.best is None
    assert all(isinstance(point, Point) and point.score == -1 for point in points)
