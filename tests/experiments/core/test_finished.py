"""Finished runs are found by what a user types."""

from pathlib import Path

import pytest

from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.finished import find_runs


def test_runs_are_found_by_name_folder_record_and_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("runs/a/SDM-1", "runs/b/SDM-2", "runs/a/SDM-[3]", "results/records/table3/a/sdm-0"):
        Path(name).mkdir(parents=True)
        (Path(name) / "record.json").touch()
    Path("runs/a/SDM-4").mkdir()  # not finished
    for name, folders in {
        "SDM-2": ["runs/b/SDM-2"],
        "runs/a/SDM-[3]": ["runs/a/SDM-[3]"],
        "SDM-[3]": ["runs/a/SDM-[3]"],
        "runs/a/SDM-1/record.json": ["runs/a/SDM-1"],
        "SDM-*": ["runs/a/SDM-1", "runs/a/SDM-[3]", "runs/b/SDM-2"],
        "runs/a": ["runs/a/SDM-1", "runs/a/SDM-[3]"],
        "table3/a": ["results/records/table3/a/sdm-0"],
        "table3/a/sdm-*": ["results/records/table3/a/sdm-0"],
    }.items():
        assert [str(folder) for folder in find_runs("runs", [name], Path("runs"))] == folders
    for name in ("SDM-4", "nothing-*"):
        with pytest.raises(UsageError, match="there is no such run in runs"):
            find_runs("runs", ["SDM-1", name], Path("runs"))


def test_folders_of_any_name_have_runs(tmp_path: Path) -> None:
    runs, results = tmp_path / "runs[1]", tmp_path / "re?ults"
    for folder in (runs / "a" / "SDM-1", results / "records" / "table3" / "a" / "sdm-0"):
        folder.mkdir(parents=True)
        (folder / "record.json").touch()
    assert find_runs("runs", ["SDM-1", "SDM-*"], runs) == 2 * [runs / "a" / "SDM-1"]
    assert find_runs("runs", ["table3/a/sdm-*"], runs, results) == [results / "records" / "table3" / "a" / "sdm-0"]


@pytest.mark.parametrize("name", ["nosuch/*", "nosuch/SDM-1"])
def test_name_with_a_folder_is_no_name_of_a_run_of_this_machine(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/a/SDM-1").mkdir(parents=True)
    Path("runs/a/SDM-1/record.json").touch()
    with pytest.raises(UsageError, match="there is no such run in runs"):
        find_runs("runs", [name], Path("runs"))
