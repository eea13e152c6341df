"""What stands below a table on the terminal."""

from pathlib import Path
from typing import Any

import pytest

from sdmr.experiments.report import terminal_table
from tests.experiments.report.records import write_random_run


def test_the_search_of_a_users_class_stands_below_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tunings: dict[str, dict[str, Any]] = {
        "my.Net": {"trials": 3, "planned": 3, "cpu_minutes": 2.0, "space": {"model.dim": [*range(20)]}},
        "sdm": {"trials": 20, "planned": 20, "cpu_minutes": 31.0, "space": {"model.dim": [8]}},
    }
    for name in tunings:
        (tmp_path / name).touch()
    monkeypatch.setattr(terminal_table, "get_tuned_path", lambda _, model: tmp_path / model)
    monkeypatch.setattr(terminal_table, "read_tuned", lambda _, model: {"tuning": tunings[model]})
    folders = {name: [write_random_run(tmp_path / f"{name}-0", "sdm", 0)] for name in (*tunings, "cml")}
    searches, *_ = terminal_table.describe_rows("ml-100k", folders, "tuned")
    title, _, text = searches.partition(": ")
    assert title == "Searches on ml-100k, trials and CPU minutes"
    assert text.startswith("my.Net 3 of 3!, 2 min | SDM 20 of 20, 31 min")
    assert "CML" not in searches
    assert not any("Searches" in line for line in terminal_table.describe_rows("ml-100k", folders, "default"))
