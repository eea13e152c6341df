"""Learning curves, and speed against quality: both are drawn from the records of all models."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sdmr.experiments.core.plan import FoundRun, PlannedRun
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


@pytest.mark.parametrize("name", ["curves", "speed"])
def test_without_a_record_no_file_is_written(
    name: str, tmp_path: Path, runs: Path, draw: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert draw(f"name={name}", "models=[sdm,slim]") == 0
    assert f"{name} is not drawn: none of its runs exists" in capsys.readouterr().out
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
