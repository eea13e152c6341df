"""Tables 1 and 2: statistics of data sets, and the months of the Netflix Prize."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import Interactions
from sdmr.experiments import table
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import parse_options
from sdmr.experiments.report import dataset_statistics as module
from sdmr.experiments.report.dataset_statistics import (
    collect_statistics,
    compute_statistics,
    format_statistics,
    keep_published,
    rank_netflix_months,
    read_published_statistics,
)

SIDES = ("paper", "ours", "difference")


def test_statistics_of_histories_and_of_baskets_are_counts() -> None:
    users, items = np.array([1, 1, 1, 2]), np.array([5, 6, 7, 5])
    assert compute_statistics(Interactions.from_raw(users, items)) == {
        "users": 2,
        "items": 3,
        "interactions": 4,
        "instances": 4,
        "density_percent": pytest.approx(200 / 3),
    }
    statistics = compute_statistics(Interactions.from_raw(users, items, baskets=np.array([1, 1, 2, 3])))
    assert statistics["avg_items_per_transaction"] == pytest.approx(4 / 3)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load ML-100k as printed and another Netflix sample, but no ML-1M."""
    known = {
        "ml-100k": {"users": 943, "items": 1682, "interactions": 100_000, "density_percent": 6.3047},
        "netflix-sample": {"users": 2000, "items": 3724, "interactions": 103_254, "density_percent": 1.44},
    }
    monkeypatch.setattr(module, "load_statistics", known.get)


@pytest.mark.usefixtures("loaded")
def test_statistics_stand_beside_the_papers_with_their_difference() -> None:
    cells = collect_statistics(1).set_index(["dataset", "statistic"])
    assert len(cells) == 16
    assert list(cells.columns) == list(SIDES)
    assert list(cells.loc[("ml-100k", "density_percent")]) == ["6.3", "6.3", "0"]
    assert list(cells.loc[("netflix", "users")]) == ["1888", "2000", "+112"]
    assert list(cells.loc[("netflix", "density_percent")]) == ["1.5", "1.4", "-0.1"]
    assert list(cells.loc[("ml-1m", "users")]) == ["6040", "", ""]


@pytest.mark.usefixtures("loaded")
def test_published_statistics_of_absent_data_are_kept(tmp_path: Path) -> None:
    path, cells = tmp_path / "table1.csv", collect_statistics(1)
    assert keep_published(read_published_statistics(path), cells).equals(cells)
    old = {"dataset": "ml-1m", "statistic": "users", "paper": "6040", "ours": "6041", "difference": "+1"}
    stale = old | {"dataset": "ml-100k", "paper": "943"}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(old))
        writer.writeheader()
        writer.writerows([old, stale])
    kept = keep_published(read_published_statistics(path), cells)
    assert list(kept.columns) == list(cells.columns)
    assert list(kept["statistic"]) == list(cells["statistic"])
    kept = kept.set_index(["dataset", "statistic"])
    assert list(kept.loc[("ml-1m", "users")]) == ["6040", "6041", "+1"]
    assert kept.loc[("ml-1m", "items"), "ours"] == ""
    assert kept.loc[("ml-100k", "users"), "ours"] == "943"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n\x00",
        b"dataset,statistic\n1,2\n",
        b"dataset,statistic,paper,ours,difference\n" + 2 * b"ml-1m,users,1,1,0\n",
    ],
)
def test_damaged_published_statistics_are_named_before_any_data_are_read(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "load_statistics", None)
    (tmp_path / "table1.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"^{tmp_path}/table1\.csv is damaged \(.*\): restore it, or remove it$"):
        table.main(parse_options(table.Options, ["number=1", f"results={tmp_path}"]))
    assert (tmp_path / "table1.csv").read_bytes() == content


def split_row(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


@pytest.mark.usefixtures("loaded")
def test_readable_statistics_say_why_they_differ() -> None:
    text = format_statistics(1, collect_statistics(1))
    rows = [split_row(line) for line in text.splitlines() if line.startswith("|")]
    start = rows.index(["netflix", "paper", "1,888", "3,724", "103,254", "1.5"])
    assert rows[start + 1] == ["", "ours", "2,000", "3,724", "103,254", "1.4"]
    assert rows[start + 2] == ["", "difference", "+112", "0", "0", "-0.1"]
    assert "- netflix: The paper's month is not named" in text
    assert "- ml-1m: not found" in text
    assert "- ml-100k" not in text


def test_command_writes_a_table_of_absent_data(tmp_path: Path) -> None:
    """IJCAI-15's data folder is empty, and Ta-Feng's route finds no package index."""
    environment = {"SDMR_DATA": str(tmp_path), "SDMR_CACHE": str(tmp_path / "cache")}
    environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    command = [sys.executable, "-m", "sdmr.experiments.table", "number=2", f"results={tmp_path / 'results'}"]
    process = subprocess.run(
        command, env=os.environ | environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "ijcai-15: ijcai-15/user_log_format1.csv cannot be found. Tried:" in process.stderr
    with (tmp_path / "results" / "table2.csv").open() as lines:
        cells = list(csv.DictReader(lines))
    printed = [cell["paper"] for cell in cells if cell["dataset"] == "ta-feng"]
    assert printed == ["22851", "22291", "9.28", "523653", "0.10"]
    assert {cell["ours"] for cell in cells} == {""}
    assert (tmp_path / "results" / "table2.md").read_text() in process.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["number=1", "seeds=2"], "seeds=...: Table 1 has no such option; it has number, months, results"),
        (["number=2", "epochs=2"], "epochs=2: Table 2 has no such option; it has number, months, results"),
        (
            ["number=1", "months=true", "results=there"],
            "results=...: Table 1 has no such option; it has number, months",
        ),
        (["number=2", "months=true"], "Table 2 has no months; use number=1"),
        (["number=3", "months=true"], "Table 3 has no months; use number=1"),
    ],
)
def test_option_that_a_table_does_not_have_is_an_error(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        table.main(parse_options(table.Options, arguments))


def test_months_of_netflix_are_sorted_by_their_distance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    with pytest.raises(DataError, match="cannot be found"):
        rank_netflix_months()
    small = [f"{movie}:\n1,3,2001-02-03\n2,3,2001-02-03\n" for movie in range(1, 3)]
    large = [f"{movie}:\n" + "".join(f"{user},3,2001-03-03\n" for user in range(9)) for movie in range(3, 9)]
    (tmp_path / "netflix").mkdir()
    (tmp_path / "netflix" / "combined_data_1.txt").write_text("".join(small + large))
    months = rank_netflix_months(min_count=2)
    assert months[["month", "users", "items", "interactions"]].to_numpy().tolist() == [
        ["2001-03", 9, 6, 54],
        ["2001-03", 9, 6, 54],
        ["2001-02", 2, 2, 4],
        ["2001-02", 2, 2, 4],
    ]
    expected = sum(abs(np.log(ours / paper)) for ours, paper in ((9, 1888), (6, 3724), (54, 103_254)))
    assert months["distance"][0] == pytest.approx(expected)
    assert table.main(parse_options(table.Options, ["number=1", "months=true"])) == 0
    assert capsys.readouterr().out.split()[:2] == ["month", "iterative"]
