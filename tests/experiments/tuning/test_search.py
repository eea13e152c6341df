"""The search of a model's settings: its trials, its budget, what it reuses, and what it writes."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from sdmr.experiments.core import parallel
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.errors import NotTunedError, UsageError
from sdmr.experiments.core.run import compose_run
from sdmr.experiments.core.tuned import describe_search, read_tuned, write_tuned
from sdmr.experiments.sweep import describe_origin, save_grid_settings
from sdmr.experiments.tuning import pruning
from sdmr.experiments.tuning.pruning import read_history
from sdmr.experiments.tuning.study import Study
from sdmr.experiments.tuning.trial import Trial
from tests.experiments.tuning.helpers import (
    call,
    find_list,
    make_search,
    model_overrides,
    read_points,
    read_settings,
)

Made = list[tuple[str, ...]]
Capture = pytest.CaptureFixture[str]

# --- trials ---


def test_a_search_tries_the_default_settings_then_the_tuned_ones_of_other_data_sets(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    write_tuned("ml-1m", "mf-bpr", {"model": {"dim": 2, "optimization": {"regularization": 0.001}}}, {})
    write_tuned(
        "epinions", "mf-bpr", {"model": {"dim": 3, "optimization": {"regularization": 0.1}}}, {}
    )  # d is no value
    assert call("model=mf-bpr", *small, "trials=4") == 0
    settings = [model_overrides(task) for task in made]
    regularization = [one["model.optimization.regularization"] for one in settings]
    assert [(one["model.dim"], value) for one, value in zip(settings[:3], regularization, strict=False)] == [
        ("64", "0.01"),
        ("64", "0.1"),
        ("2", "0.001"),
    ]
    assert len({tuple(one.values()) for one in settings}) == 4
    assert [point["known"] for point in read_points()] == ["", "0", "0-1", "0-2"]


def test_the_best_point_becomes_the_tuned_settings_with_their_origin(
    small: tuple[str, ...], spaces: Path, made: Made, data: Path
) -> None:
    call("model=mf-bpr", *small, "budget=20", "trials=5")
    best = max(read_points(), key=lambda point: float(point["NDCG@10"]))
    tuned = read_settings()
    assert {"epochs": tuned.pop("epochs"), "patience": tuned.pop("patience")} == {"epochs": 1, "patience": 1}
    assert {f"{key}={value}" for key, value in tuned.items()} == set(best["settings"].split())
    origin = read_tuned("csv", "mf-bpr")["tuning"]
    assert origin["validation"]["NDCG@10"] == pytest.approx(float(best["NDCG@10"]), abs=1e-4)
    assert (origin["run"], origin["seed"], origin["search"]) == (best["run"], 0, "tpe")
    assert (origin["trials"], origin["planned"], origin["pruned"]) == (5, 5, 0)
    assert (origin["budget"], origin["points"]) == (20, str(find_list()))
    assert origin["space"]["model.dim"] == [2, 4, 64]
    assert origin["dataset"]["path"] == str(data)
    assert origin["commands"] == [f"sdmr sweep model=mf-bpr dataset=csv trials=5 budget=20 {' '.join(small[1:])}"]
    assert not {"is_capped", "notes", "parts"} & set(origin)


def test_a_search_ends_with_a_table_of_the_best_trials(
    small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture
) -> None:
    call("model=mf-bpr", *small, "trials=3")
    lines = capsys.readouterr().out.splitlines()
    end = next(number for number, line in enumerate(lines) if "the best 3 of 3 trials" in line)
    assert lines[end - 5].split() == [
        *("trial", "regularization", "negatives", "dim", "validation", "NDCG@10", "epoch", "CPU", "seconds", "run")
    ]
    points = sorted(read_points(), key=lambda point: -float(point["NDCG@10"]))
    assert [line.split()[0] for line in lines[end - 3 : end]] == [point["trial"] for point in points]
    assert [line.split()[-1] for line in lines[end - 3 : end]] == [point["run"] for point in points]
    assert lines[end].endswith(f"all: {find_list()}; records: runs/csv/RUN/record.json")


def test_a_tracker_follows_each_trial_and_is_not_part_of_the_search(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    call("model=mf-bpr", *small, "trials=2", "tracker=csv")
    assert len(list(Path("runs/csv").glob("*/epochs.csv"))) == 2
    (command,) = read_tuned("csv", "mf-bpr")["tuning"]["commands"]
    assert "tracker" not in command
    call("model=mf-bpr", *small, "trials=2")
    assert len(made) == 2


def test_more_trials_go_on_where_fewer_have_ended(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    call("model=mf-bpr", *small, "trials=3")
    call("model=mf-bpr", *small, "trials=4")
    assert len(made) == 4
    call("model=mf-bpr", *small, "trials=4", "runs=other", "results=other")
    assert read_points() == read_points(results="other")


def test_a_fresh_clone_goes_on_from_the_published_trials(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    call("model=mf-bpr", *small, "trials=4", "runs=other", "results=other")
    call("model=mf-bpr", *small, "trials=3")
    shutil.rmtree("runs")
    made.clear()
    call("model=mf-bpr", *small, "trials=4")
    assert len(made) == 1
    assert read_points() == read_points(results="other")


def test_trials_of_other_fixed_settings_are_none_of_this_search(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    call("model=mf-bpr", *small, "trials=2")
    path = find_list()
    before = path.read_text()
    call("model=mf-bpr", *small, "trials=2", "seed=1")
    assert len(made) == 4
    assert path.read_text() == before
    assert len(list(path.parent.glob("*.csv"))) == 2


def test_an_extended_space_keeps_its_trials(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    call("model=mf-bpr", *small, "trials=3")
    file = spaces / "mf-bpr.yaml"
    file.write_text(file.read_text().replace("[2, 4, 64]", "[2, 4, 64, 96]"))
    before = read_points()
    call("model=mf-bpr", *small, "trials=4")
    assert len(made) == 4
    assert read_points()[:3] == before


def test_a_file_of_an_older_search_is_replaced(
    small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture
) -> None:
    call("model=mf-bpr", *small, "trials=1")
    path = find_list()
    path.write_text("stage,settings,NDCG@10,run\n1,model.dim=2,0.9,MFBPR-0\n")
    capsys.readouterr()
    assert call("model=mf-bpr", *small, "trials=1") == 0
    assert f"1 trials of other code or data leave the list {path}" in capsys.readouterr().out
    assert [point["trial"] for point in read_points()] == ["0"]


@pytest.mark.parametrize(("old", "new"), [("0,model", "x,model"), (",complete,", ",done,"), (",known,", ",knew,")])
def test_a_damaged_file_of_trials_is_an_error_that_names_it(
    old: str, new: str, small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture
) -> None:
    call("model=mf-bpr", *small, "trials=1")
    path = find_list()
    path.write_text(path.read_text().replace(old, new))
    capsys.readouterr()
    assert call("model=mf-bpr", *small, "trials=1") == 1
    assert f"{path} is damaged: " in capsys.readouterr().err


def test_a_damaged_record_of_a_trial_is_named_and_not_the_list_of_trials(
    small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture
) -> None:
    call("model=mf-bpr", *small, "trials=1")
    for record in (*Path("runs").glob("csv/*/record.json"), *Path("results").glob("sweeps/csv/*/record.json")):
        record.write_text("{")
    capsys.readouterr()
    assert call("model=mf-bpr", *small, "trials=2") == 1
    error = capsys.readouterr().err
    assert "record.json is damaged: " in error
    assert "search anew" not in error


def test_tuned_settings_make_the_run_of_the_best_point(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    call("model=mf-bpr", *small, "trials=3")
    best = read_tuned("csv", "mf-bpr")["tuning"]["run"]
    config = compose_config(["model=mf-bpr", *small[:3], "settings=tuned"]).settings
    record = json.loads(Path("runs", "csv", best, "record.json").read_text())
    assert record["config"]["model"] == config["model"]


def test_search_records_are_published_and_none_has_seen_the_test_items(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    call("model=mf-bpr", *small, "trials=3")
    assert all("test=false" in task for task in made)
    folder = Path("results", "sweeps", "csv")
    points = read_points()
    assert {path.parent.name for path in folder.glob("*/record.json")} == {point["run"] for point in points}
    for point in points:
        record = json.loads((folder / point["run"] / "record.json").read_text())
        assert "test" not in record
        assert float(point["NDCG@10"]) == pytest.approx(record["validation"]["NDCG@10"]["expected"], abs=1e-6)


def test_of_a_model_without_epochs_the_file_and_the_best_record_are_all_that_a_search_needs(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    (spaces / "item-knn.yaml").write_text("axes:\n  model.neighbors: [3, 5, 20]\n  model.weighting: [cosine, bm25]\n")
    arguments, path = ("model=item-knn", *small[:3], "search=grid", "replace=true"), Path("results", "sweeps", "csv")
    assert call(*arguments) == 0
    points, tuning = find_list("item-knn").read_text(), read_tuned("csv", "item-knn")["tuning"]
    best = path / tuning["run"]
    assert len(list(path.glob("*/"))) < len(made) == 6
    for folder in (one for one in path.glob("*/") if one != best):  # that were the best ones when they were made
        shutil.rmtree(folder)
    shutil.rmtree("runs")  # a fresh clone
    made.clear()
    assert call(*arguments) == 0
    assert not made
    assert find_list("item-knn").read_text() == points
    assert read_tuned("csv", "item-knn")["tuning"] == tuning
    shutil.rmtree(best)
    assert call(*arguments) == 0
    assert len(made) == 1
    assert [one.name for one in path.glob("*/")] == [best.name]


def test_a_repeated_search_makes_no_run_and_writes_the_same(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    call("model=mf-bpr", *small, "trials=3")
    before = read_tuned("csv", "mf-bpr"), read_points()
    made.clear()
    assert call("model=mf-bpr", *small, "trials=3") == 0
    assert not made
    assert (read_tuned("csv", "mf-bpr"), read_points()) == before


def test_runs_that_exist_are_trials_without_another_run(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    parallel.make_outcome(("model=mf-bpr", "test=false", *small), Path("runs"))
    call("model=mf-bpr", *small, "trials=3")
    assert len(made) == 2
    before = read_points()
    assert [point["state"] for point in before] == ["complete"] * 3
    shutil.rmtree("results")
    made.clear()
    assert call("model=mf-bpr", *small, "trials=3") == 0
    assert not made
    assert read_points() == before


# --- budget ---


def test_no_trial_starts_beyond_the_budget_and_the_row_says_so(
    small: tuple[str, ...], spaces: Path, made: Made, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def take_a_minute(study: Study, trial: Trial) -> None:
        trial.cpu_seconds, trial.record = 60.0, None
        trial.state = "pruned"
        tell(study, trial)

    tell = Study.tell
    monkeypatch.setattr(Study, "_complete", lambda study, trial: trial)
    monkeypatch.setattr(Study, "tell", take_a_minute)
    assert call("model=mf-bpr", "budget=3", *small) == 0
    assert len(made) == 3
    out = capsys.readouterr().out
    assert "the budget allows no further trial: 3 of 18 were made" in out
    assert "180 CPU seconds of" in out
    assert make_search("mf-bpr", "budget=3", *small).is_capped
    assert not make_search("mf-bpr", "budget=4", *small).is_capped


def test_running_trials_are_expected_to_take_the_mean(small: tuple[str, ...], spaces: Path) -> None:
    search = make_search("mf-bpr", "budget=3", *small)
    run = compose_run(search.row.list_overrides({}), Path("runs"))
    ended = [Trial(number, {}, run, state="complete", cpu_seconds=seconds) for number, seconds in enumerate((30, 90))]
    running = Trial(2, {}, run)
    assert search.allows([])
    assert search.allows([*ended, running])  # of nobody: interrupted
    assert search.study._claim(run)
    assert not search.allows([*ended, running])


# --- pruning ---


def test_a_hopeless_trial_is_pruned_and_counts(
    small: tuple[str, ...], spaces: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PERCENTILE", 100)  # the best of all
    longer = (*small[:3], "epochs=6", "patience=6")
    call("model=mf-bpr", *longer, "trials=7")
    points = read_points()
    assert [point["state"] for point in points[: pruning.MIN_CURVES]] == ["complete"] * pruning.MIN_CURVES
    pruned = [point for point in points if point["state"] == "pruned"]
    assert pruned
    assert read_tuned("csv", "mf-bpr")["tuning"]["pruned"] == len(pruned)
    search = make_search("mf-bpr", *longer, "trials=7")
    trial = search.select("pruned")[0]
    history = read_history(trial.run.folder)
    assert len(history) - 1 == trial.epoch
    assert not (trial.run.folder / "failure.json").exists()

    made.clear()  # the same command does not go on with it, prune=false does, and comes to the end of a full training
    call("model=mf-bpr", *longer, "trials=7")
    assert not made
    call("model=mf-bpr", *longer, "trials=7", "prune=false")
    assert len(made) == len(pruned)
    record = make_search("mf-bpr", *longer, "trials=7").trials[trial.number].record
    full = parallel.make_outcome(search.row.list_overrides(trial.settings), Path("full")).record
    assert record is not None
    assert full is not None
    values = [entry["validation"] for entry in (full.history or [])[1:]]
    assert [entry["validation"] for entry in (record.history or [])[1:]] == values
    assert [entry["validation"] for entry in history[1:]] == values[: trial.epoch]
    assert record.validation == full.validation
    assert {point["state"] for point in read_points()} == {"complete"}


def test_a_pruned_trial_without_its_checkpoint_starts_again(
    small: tuple[str, ...], spaces: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PERCENTILE", 100)
    longer = (*small[:3], "epochs=6", "patience=6")
    call("model=mf-bpr", *longer, "trials=7")
    shutil.rmtree("runs")  # as in a fresh clone, whose trials stay as they are
    before, pruned = read_points(), len(make_search("mf-bpr", *longer).select("pruned"))
    made.clear()
    call("model=mf-bpr", *longer, "trials=7")
    assert not made
    assert read_points() == before
    call("model=mf-bpr", *longer, "trials=7", "prune=false")
    assert len(made) == pruned
    assert {point["state"] for point in read_points()} == {"complete"}


# --- overrides ---


def test_an_override_is_no_axis_and_is_part_of_the_tuned_settings(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    call("model=mf-bpr", "++model.dim=2", "model.optimization.negatives=all", *small)
    assert len(made) == 3  # all there are
    assert {compose_config(task).settings["model"]["dim"] for task in made} == {2}
    tuned = read_settings()
    assert (tuned["model.dim"], tuned["model.optimization.negatives"]) == (2, "all")
    assert all(point["settings"].endswith("model.dim=2 model.optimization.negatives=all") for point in read_points())


def test_an_override_of_the_data_sets_default_is_no_axis_of_the_model(small: tuple[str, ...]) -> None:
    search = make_search("sdm", *small, "context_length=7")
    assert "model.context_length" not in search.row.axes
    assert compose_run(search.row.list_overrides({}), Path("runs")).config["model"]["context_length"] == 7


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
        ("search=staged", "search=staged: must be 'tpe' or 'grid'"),
        ("workers=0", "workers=0: must be greater than or equal to 1"),
        ("workers=x", "workers=x: must be a valid integer"),
        ("trials=0", "trials=0: must be greater than or equal to 1"),
        ("budget=0", "budget=0: must be greater than 0"),
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
    (spaces / "sdp.yaml").write_text("axes: {model.dim: [64, 3, 2]}")  # 3 cannot be halved
    assert call("model=sdp", "model.layers=2", *small) == 1
    assert len(made) == 3
    assert "model.dim=3: FAILED, " in capsys.readouterr().err
    assert read_settings("sdp")["model.dim"] in (64, 2)
    assert read_tuned("csv", "sdp")["tuning"]["notes"][0].startswith("model.dim=3: FAILED")
    assert "divisible" in read_points("sdp")[1]["error"]
    made.clear()
    assert call("model=sdp", "model.layers=2", *small) == 1
    assert [model_overrides(task)["model.dim"] for task in made] == ["3"]  # which is tried again, once


def test_a_search_whose_runs_all_fail_writes_no_tuned_settings(
    small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture
) -> None:
    (spaces / "sdp.yaml").write_text("axes: {model.dim: [3]}")
    assert call("model=sdp", "model.layers=2", *small) == 1
    assert "no trial has finished, so nothing is tuned" in capsys.readouterr().err
    assert len(read_points("sdp")) == 1
    with pytest.raises(NotTunedError):
        read_tuned("csv", "sdp")


# --- grid, parts ---


def test_a_grid_crosses_the_papers_axes(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    call("model=mf-bpr", "search=grid", *small)
    assert len(made) == len({tuple(model_overrides(task).values()) for task in made}) == 3 * 3
    assert {compose_config(task).settings["model"]["optimization"]["negatives"] for task in made} == {"hardest"}
    origin = read_tuned("csv", "mf-bpr")["tuning"]
    assert (origin["planned"], origin["search"]) == (9, "grid")


def test_a_grid_keeps_the_trials_whose_settings_it_does_not_vary(
    small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture
) -> None:
    call("model=mf-bpr", *small, "trials=6")
    before = read_points()
    beyond = [point for point in before if "negatives=all" in point["settings"]]
    assert 0 < len(beyond) < 6
    capsys.readouterr()
    call("model=mf-bpr", "search=grid", *small)
    after = read_points()
    assert [int(point["trial"]) for point in after] == list(range(9 + len(beyond)))
    assert [(one["run"], one["NDCG@10"]) for one in after[:6]] == [(one["run"], one["NDCG@10"]) for one in before]
    assert [point for point in after if "negatives=all" in point["settings"]] == beyond
    assert "other code" not in capsys.readouterr().out
    call("model=mf-bpr", *small, "trials=6")
    assert len(made) == 9 + len(beyond)
    assert read_points()[:6] == before


def test_a_setting_without_effect_is_refused_before_the_search(
    small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture
) -> None:
    assert call("model=item-knn", *small) == 2
    assert "epochs=1 has no effect on model=item-knn" in capsys.readouterr().err
    assert not made


def test_a_best_point_at_an_edge_is_reported(small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture) -> None:
    (spaces / "mf-bpr.yaml").write_text("axes: {model.dim: [64], model.optimization.regularization: [0.01, 0.001]}")
    call("model=mf-bpr", *small)
    assert read_tuned("csv", "mf-bpr")["tuning"]["edges"] == ["model.optimization.regularization"]
    assert "model.optimization.regularization is at an edge of its values" in capsys.readouterr().out


def test_a_search_of_one_trial_has_no_edge(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    (spaces / "mf-bpr.yaml").write_text("axes: {model.optimization.regularization: [0.01, 0.001]}")
    call("model=mf-bpr", "trials=1", *small)
    assert "edges" not in read_tuned("csv", "mf-bpr")["tuning"]


def test_a_best_point_that_the_paper_does_not_search_is_marked_and_the_best_one_inside_stands_beside(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    axes = "axes: {model.dim: [2], model.optimization.negatives: [hardest, all]}"
    (spaces / "mf-bpr.yaml").write_text(f"{axes}\nbeyond_paper: [model.optimization.negatives]")
    call("model=mf-bpr", *small)
    search = make_search("mf-bpr", *small)
    inside, outside = search.trials
    assert search.best_in_paper == inside
    assert (search.list_axes_beyond_paper(inside), search.list_axes_beyond_paper(outside)) == (
        [],
        ["model.optimization.negatives"],
    )
    outside.score, inside.score = 0.9, 0.1
    origin = describe_origin(search, outside)
    assert origin["beyond_paper"] == ["model.optimization.negatives"]
    assert origin["best_in_paper"] == search.describe(inside)
    assert not {"beyond_paper", "best_in_paper"} & set(describe_origin(search, inside))


def test_the_best_point_inside_the_papers_grid_is_written_beside_the_tuned_one_if_that_leaves_it(
    small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture
) -> None:
    axes = "axes: {model.dim: [2, 4], model.dropout: [0.0, 0.2]}\nbeyond_paper: [model.dropout]"
    (spaces / "sdp.yaml").write_text(axes)
    call("model=sdp", *small)
    search = make_search("sdp", *small)
    inside = [trial for trial in search.trials if trial.settings["model.dropout"] == 0]
    outside = next(trial for trial in search.trials if trial not in inside)
    outside.score = 0.9
    save_grid_settings(search, outside, replace=True)
    assert search.best_in_paper
    assert search.best_in_paper.settings.items() <= read_settings("sdp-grid").items()
    origin = read_tuned("csv", "sdp-grid")["tuning"]
    assert (origin["trials"], origin["planned"], origin["space"]) == (2, 4, {"model.dim": [2, 4]})
    assert "beyond_paper" not in origin
    save_grid_settings(search, inside[0], replace=True)
    with pytest.raises(NotTunedError):
        read_tuned("csv", "sdp-grid")
    search.row.parts.beyond_paper.append("model.sdm.dropout")
    save_grid_settings(search, outside, replace=True)
    assert "`sdmr sweep model=sdp-grid dataset=csv` searches there" in capsys.readouterr().out


def test_a_search_inside_the_papers_grid_begins_with_the_default_and_the_best_settings_known_there(
    small: tuple[str, ...], spaces: Path
) -> None:
    (spaces / "sdp.yaml").write_text(
        "axes: {model.dim: [2, 4, 8], model.dropout: [0.0, 0.2]}\nbeyond_paper: [model.dropout]"
    )
    write_tuned("csv", "sdp-grid", {"model": {"dim": 8}}, {})
    write_tuned("ml-1m", "sdp-grid", {"model": {"dim": 4}}, {})
    inside, other = make_search("sdp-grid", *small).sampler, make_search("sdp", *small).sampler
    assert inside.first == [inside.default, {"model.dim": 4}, {"model.dim": 8}]
    assert other.first == [other.default]


def test_there_is_nothing_to_search_inside_the_papers_grid_if_the_tuned_settings_are_there(
    small: tuple[str, ...], spaces: Path, made: Made, capsys: Capture
) -> None:
    (spaces / "sdp.yaml").write_text(
        "axes: {model.dim: [2, 4], model.dropout: [0.0, 0.2]}\nbeyond_paper: [model.dropout]"
    )
    write_tuned("csv", "sdp", {"model": {"dim": 2}}, {})
    assert call("model=sdp-grid", *small) == 0
    assert "the tuned settings of sdp are inside the paper's grid" in capsys.readouterr().out
    assert not made
    write_tuned("csv", "sdp", {"model": {"dim": 2}}, {"beyond_paper": ["model.dropout"]})
    assert call("model=sdp-grid", *small) == 0
    assert len(made) == 2


def test_the_table_of_points_shows_an_override_in_the_place_of_a_setting(
    small: tuple[str, ...], spaces: Path, made: Made
) -> None:
    (spaces / "sdm.yaml").write_text("axes: {model.dim: [2], model.context_length: [5]}")
    assert call("model=sdm", "context_length=3", *small) == 0
    assert [point["settings"] for point in read_points("sdm")] == ["model.dim=2 model.context_length=3"]


def write_small_sdmr(spaces: Path) -> None:
    (spaces / "sdp.yaml").write_text("axes: {model.dim: [2]}")
    (spaces / "sdm.yaml").write_text("axes: {model.dim: [4], model.context_length: [3]}")
    axes = "axes: {model.optimization.regularization: [0.1, 0.01]}"
    (spaces / "sdmr.yaml").write_text(f"parts: {{sdp: sdp, sdm: sdm}}\n{axes}")


def test_parts_have_their_tuned_settings(small: tuple[str, ...], spaces: Path, made: Made) -> None:
    write_small_sdmr(spaces)
    assert call("model=[sdp,sdm,sdmr]", *small) == 0
    folders = sorted(path.name.partition("-")[0] for path in Path("runs", "csv").glob("[A-Z]*"))
    assert folders == ["SDM", "SDMR", "SDMR", "SDP"]
    parts = {"model.sdp.dim": 2, "model.sdm.dim": 4, "model.sdm.context_length": 3}
    assert parts.items() <= read_settings("sdmr").items()
    search = make_search("sdmr", *small)
    assert {search.describe(trial).partition(":")[0] for trial in search.trials} == {
        "model.optimization.regularization=0.1",  # what the trials differ in, without their parts
        "model.optimization.regularization=0.01",
    }
    # Searches of parts have a budget of their own, and stand beside.
    origin = read_tuned("csv", "sdmr")["tuning"]
    assert origin["parts"] == {"sdp": "1 of 1, 0 min", "sdm": "1 of 1, 0 min"}
    assert describe_search(origin).endswith("; sdp: 1 of 1, 0 min; sdm: 1 of 1, 0 min")
    records = [json.loads(path.read_text()) for path in Path("runs", "csv").glob("SDMR-*/record.json")]
    seconds = sum(sum(record["cpu_seconds"].values()) for record in records)
    assert search.minutes * 60 == pytest.approx(seconds)


# --- what is replaced ---


@pytest.mark.parametrize(
    ("score", "trials", "path", "is_kept"),
    [
        (0.9, 1, None, True),  # a better score
        (0.0001, 2, None, True),  # of more trials
        (0.0001, 1, None, False),
        (None, 1, None, False),  # the same score, rounded as it is in the file
        (0.9, 2, "/elsewhere.csv", False),  # of other data
    ],
)
def test_settings_of_a_better_or_larger_search_are_replaced_only_if_asked_for(
    score: float | None,
    trials: int,
    path: str | None,
    is_kept: bool,
    small: tuple[str, ...],
    spaces: Path,
    made: Made,
    capsys: Capture,
) -> None:
    (spaces / "mf-bpr.yaml").write_text("axes: {}")
    call("model=mf-bpr", *small)
    origin = read_tuned("csv", "mf-bpr")["tuning"] | {"trials": trials}
    if score is not None:
        origin["validation"]["NDCG@10"] = score
    if path is not None:
        origin["dataset"]["path"] = path
    file = write_tuned("csv", "mf-bpr", {"model": {"dim": 2}}, origin)
    capsys.readouterr()
    assert call("model=mf-bpr", *small) == 0
    command = f"sdmr sweep model=mf-bpr dataset=csv {' '.join(small[1:])}"
    text = f"settings of before, validation NDCG@10 {score or 0:.4f}, the best of {trials} trials of `{command}`"
    error = capsys.readouterr().err
    assert (read_settings() == {"model.dim": 2}) is is_kept
    other = "  these settings replace those that were tuned on other data\n" if path else ""
    assert error == (f"  {file} keeps the {text}; replace=true replaces them\n" if is_kept else other)
    assert call("model=mf-bpr", "replace=true", *small) == 0
    assert read_settings() != {"model.dim": 2}
    assert capsys.readouterr().err == (f"  these settings replace the {text}\n" if is_kept else "")


def test_settings_tuned_on_one_file_are_not_used_for_another(
    small: tuple[str, ...], spaces: Path, made: Made, data: Path
) -> None:
    assert call("model=mf-bpr", *small, "trials=1") == 0
    tuned = ("model=mf-bpr", "dataset=csv", "settings=tuned")
    expected = compose_config([*tuned, *small[1:]]).settings["model"]
    time = "dataset.time=time"
    for same in (
        [f"dataset.path={data}", f"++{time}"],
        [f"dataset.path='{data}'", time, "dataset.order=random"],
        [f"dataset.path={data.parent}/../{data.parent.name}/{data.name}", time, "seed=7"],
    ):
        assert compose_config([*tuned, *same]).settings["model"] == expected
    for other, change in (
        (["dataset.path=else.csv", time], f"dataset.path={data}, not {Path('else.csv').resolve()}"),
        ([f"dataset.path={data}"], "dataset.time=time, not null"),
    ):
        with pytest.raises(NotTunedError, match=f"mf-bpr was tuned on other data: {re.escape(change)}$"):
            compose_config([*tuned, *other])
    write_tuned("epinions", "mf-bpr", {"model": {"dim": 2}}, {})
    named = ["model=mf-bpr", "dataset=epinions", "settings=tuned", "dataset.order=file"]
    assert compose_config(named).settings["model"]["dim"] == 2  # its name says which data it is


# --- several workers ---


def test_a_search_goes_on_when_the_budget_allows_it_again(
    small: tuple[str, ...], spaces: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With several workers, running trials may take less than the budget expects of them."""
    search = make_search("mf-bpr", *small, "trials=4")
    refused = {0}  # by the number of trials that have ended

    def refuse_once(trials: Sequence[Trial]) -> bool:
        n_ended = sum(trial.state != "running" for trial in trials)
        is_known = n_ended in refused
        refused.add(n_ended)
        return is_known

    monkeypatch.setattr(search, "allows", refuse_once)
    assert [trial.number for trial in search.run()] == [0, 1, 2, 3]


# --- transfer ---


def test_settings_of_another_data_set_are_taken_over_with_their_rows_inside_the_papers_grid(
    spaces: Path, data: Path, capsys: Capture
) -> None:
    settings = {"model": {"dim": 2}, "epochs": 3}
    write_tuned("ml-1m", "sdm", settings, {"trials": 20, "beyond_paper": ["model.dropout"], "commits": ["c0ffee"]})
    write_tuned("ml-1m", "sdm-grid", {"model": {"dim": 3}}, {"trials": 20})
    assert call("model=sdm", "dataset=epinions", "transfer=ml-1m") == 0
    origin = {"transferred": "ml-1m", "beyond_paper": ["model.dropout"], "commits": ["c0ffee"]}
    assert read_tuned("epinions", "sdm") == {**settings, "tuning": origin}
    assert read_tuned("epinions", "sdm-grid") == {"model": {"dim": 3}, "tuning": {"transferred": "ml-1m"}}
    assert describe_search(origin) == "settings of ml-1m"
    assert call("model=sdm", "dataset=epinions", "transfer=ml-1m") == 0  # as often as one likes
    write_tuned("epinions", "sdm", settings, {"trials": 3})
    capsys.readouterr()
    assert call("model=sdm", "dataset=epinions", "transfer=ml-1m") == 2
    assert "sdm on epinions has settings of a search of its own; replace=true" in capsys.readouterr().err
    assert call("model=sdm", "dataset=epinions", "transfer=ml-1m", "trials=3") == 2
    assert "trials=...: a transfer has no such option" in capsys.readouterr().err
    assert call("model=prme", "dataset=epinions", "transfer=ml-1m") == 2
    assert "prme on ml-1m has no tuned settings" in capsys.readouterr().err
    assert call("model=sdm", "dataset=epinions", "transfer=ml-1m", "replace=true") == 0
    assert read_tuned("epinions", "sdm")["tuning"] == origin
    assert call("model=sdm", "dataset=csv", "transfer=ml-1m") == 0  # a user's file, which has no name here
    assert read_tuned("csv", "sdm")["tuning"] == origin


@pytest.mark.usefixtures("conf")
def test_settings_of_a_models_parts_are_taken_over_too() -> None:
    for name in ("gmf", "mlp", "gmf-bpr"):
        write_tuned("ml-1m", name, {"model": {"dim": 2}}, {"trials": 20})
    assert call("model=[gmf,mlp,gmf-bpr]", "dataset=netflix-sample", "transfer=ml-1m") == 0
    for name in ("gmf", "mlp", "gmf-bpr"):
        assert read_tuned("netflix-sample", name) == {"model": {"dim": 2}, "tuning": {"transferred": "ml-1m"}}


@pytest.mark.parametrize(
    ("model", "dataset", "message"),
    [
        ("[sdm,sdn]", "epinions", "model=sdn: there is no search space"),
        ("sdm", "ml-1m", "transfer=ml-1m: expected another data set"),
        ("sdm", "nowhere", "dataset=nowhere: there is none of this name"),
        (
            "[sdm,gru4rec]",
            "ta-feng",
            "model=gru4rec: it reads the order of histories, which the baskets of ta-feng lack",
        ),
    ],
)
def test_a_transfer_to_a_data_set_that_cannot_have_the_settings_writes_nothing(
    model: str, dataset: str, message: str, conf: Path, capsys: Capture
) -> None:
    paths = [write_tuned("ml-1m", name, {"model": {"dim": 2}}, {"trials": 20}) for name in ("sdm", "gru4rec")]
    before = [path.read_text() for path in paths]
    assert call(f"model={model}", f"dataset={dataset}", "transfer=ml-1m", "replace=true") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted((conf / "settings" / "tuned").rglob("*.yaml")) == sorted(paths)
    assert [path.read_text() for path in paths] == before
