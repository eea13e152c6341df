"""Learning curves, and speed against quality: both are drawn from the records of all models."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from sdmr.experiments.core.plan import FoundRun, PlannedRun
from sdmr.experiments.figures import curves, speed
from sdmr.experiments.report.run_frames import build_speed, get_group
from tests.experiments.figures.records import is_drawn, read_rows, write_record

Command = Callable[..., int]


def test_csv_holds_the_numbers_of_the_records(
    tmp_path: Path, runs: Path, draw: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    records = {("popularity", 0): write_record(runs / "popularity-None-None-None-0", "popularity", 0.3)}
    for seed in range(2):
        records["sdm", seed] = write_record(runs / f"sdm-3-64-5-{seed}", "sdm", 0.6, seed, epochs=4 + seed)
    for name in ("curves", "speed"):
        assert draw(f"name={name}", "seeds=2", "models=[popularity,sdm,cml]") == 0
        assert is_drawn(tmp_path / "plots", name)
        assert "2 of 5 runs are missing" in capsys.readouterr().out
    rows = read_rows(tmp_path / "plots" / "curves.csv")
    assert len(rows) == 4 + 5  # Popularity has none
    for row in rows:
        record = records[row["model"], int(row["seed"])]
        assert record.history is not None
        entry = record.history[int(row["epoch"])]
        assert (float(row["validation"]), float(row["loss"])) == (entry["validation"], entry["loss"])
        assert row["is_best"] == str(entry["epoch"] == record.best_epoch)
    rows = read_rows(tmp_path / "plots" / "speed.csv")
    assert len(rows) == 3
    for row in rows:
        record = records[row["model"], int(row["seed"])]
        assert float(row["seconds"]) == record.seconds["fit"] + record.seconds["parts"]
        assert float(row["NDCG@10"]) == record.metrics()["NDCG@10"]["expected"]
        assert (row["processor"], row["threads"]) == ("abacus", "1")


def test_learning_curves_have_a_line_a_seed_with_a_mark_at_the_kept_epoch() -> None:
    rows = [
        (model, seed, epoch, 1 / epoch, 0.1 * epoch + seed, epoch == 2)
        for model, seeds in (("mf-bpr", (0, 1)), ("sdm", (0,)))
        for seed in seeds
        for epoch in (1, 2, 3)
    ]
    frame = pd.DataFrame(rows, columns=["model", "seed", "epoch", "loss", "validation", "is_best"])
    figure = curves.draw(frame)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["seed 0", "seed 1"]
    above, below, sdm, _ = figure.axes
    assert [axes.get_title() for axes in (above, sdm)] == ["MF-BPR", "SDM"]
    assert [line.get_ydata().tolist() for line in above.lines] == [
        pytest.approx([0.1 * epoch + seed for epoch in (1, 2, 3)]) for seed in (0, 1)
    ]
    assert below.lines[0].get_ydata().tolist() == pytest.approx([1, 1 / 2, 1 / 3])
    assert all(line.get_markevery() == [False, True, False] for axes in (above, below, sdm) for line in axes.lines)


def test_speed_has_a_named_mark_a_model_with_the_spread_of_both_values() -> None:
    rows = [("sdm", seed, 20.0 + 10 * seed, 0.4 + 0.02 * seed) for seed in (0, 1)] + [("slim", 0, 2.0, 0.3)]
    figure = speed.draw(pd.DataFrame(rows, columns=["model", "seed", "seconds", "NDCG@10"]), "a note")
    (axes,) = figure.axes
    assert {text.get_text() for text in axes.texts} == {"SDM", "SLIM"}
    positions = {tuple(container[0].get_xydata()[0].round(6)): container for container in axes.containers}
    assert set(positions) == {(25.0, 0.41), (2.0, 0.3)}
    across, upright = positions[25.0, 0.41][2]
    half = 2**0.5 / 2  # the sample standard deviation of two values, in their distance
    assert across.get_segments()[0][:, 0].tolist() == pytest.approx([25 - 10 * half, 25 + 10 * half])
    assert upright.get_segments()[0][:, 1].tolist() == pytest.approx([0.41 - 0.02 * half, 0.41 + 0.02 * half])


@pytest.mark.parametrize("name", ["curves", "speed"])
def test_without_a_record_no_file_is_written(
    name: str, tmp_path: Path, runs: Path, draw: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw(f"name={name}", "models=[sdm,slim]") == 0
    assert f"{name} is not drawn: none of its runs exists" in capsys.readouterr().out
    assert not (tmp_path / "plots").exists()


def test_curves_of_models_without_epochs_are_not_drawn(
    tmp_path: Path, runs: Path, draw: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    write_record(runs / "popularity-None-None-None-0", "popularity", 0.3)
    assert draw("name=curves", "models=popularity") == 0
    assert "curves is not drawn: no run of it was trained by epochs" in capsys.readouterr().out
    assert not (tmp_path / "plots").exists()


def test_speed_leaves_out_a_record_without_the_seconds_of_its_parts(
    tmp_path: Path, runs: Path, draw: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = {"prepare": 1.0, "fit": 20.0, "rank": 3.0}
    write_record(runs / "sdmr-None-None-None-0", "sdmr", parts={"sdm": "SDM-1"}, seconds=seconds)
    write_record(runs / "sdm-3-64-5-0", "sdm", seconds=seconds)
    assert draw("name=speed", "models=[sdm,sdmr]") == 0
    assert [row["model"] for row in read_rows(tmp_path / "plots" / "speed.csv")] == ["sdm"]
    assert "sdmr, seed 0, is left out: its record lacks the seconds of its parts" in capsys.readouterr().out


def test_speed_has_no_row_of_scores_made_elsewhere(tmp_path: Path) -> None:
    write_record(tmp_path / "sdm", seconds={"fit": 20.0})
    write_record(tmp_path / "scores", seconds={"prepare": 1.0, "rank": 3.0})
    runs = {PlannedRun(name, "ml-100k", 0): FoundRun(tmp_path / name) for name in ("sdm", "scores")}
    frame, empty = build_speed(runs), build_speed({})
    assert frame["model"].tolist() == ["sdm"]
    assert (len(empty), list(empty)) == (0, list(frame))


def test_published_records_count_for_the_settings_they_were_made_with(
    tmp_path: Path, runs: Path, draw: Command
) -> None:
    folder = tmp_path / "results" / "records" / "table3" / "ml-100k"
    for model in ("sdp", "sdm"):
        write_record(folder / f"{model}-0", model)
    (folder / "sdm-chosen.txt").write_text("model.hops=3\n")
    for settings, model in (("default", "sdp"), ("tuned", "sdm")):
        assert draw("name=speed", "models=[sdp,sdm]", f"settings={settings}") == 0
        assert [row["model"] for row in read_rows(tmp_path / "plots" / "speed.csv")] == [model]


def test_a_row_inside_the_papers_grid_has_the_group_of_its_model() -> None:
    names = ["SDM (paper's grid)", "SDM", "Caser", "MF-BPR", "EASE"]
    expected = ["SDP, SDM, SDMR", "SDP, SDM, SDMR", "sequential baseline", "general baseline", "not in the paper"]
    assert [get_group(name) for name in names] == expected
