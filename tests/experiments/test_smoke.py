"""Smoke records: each model once on each data set that is there, kept where it is not."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdmr.experiments.configs import compose_run
from sdmr.experiments.execute import execute, make_run
from sdmr.experiments.jobs import Outcome
from sdmr.experiments.tables import smoke


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides that put 40 users with 6 of 130 items each in place of any data set."""
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(5)
    rows = [f"{user},{item},{time}" for user in range(40) for time, item in enumerate(rng.choice(130, 6, False))]
    (tmp_path / "mine.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    read = "dataset._target_=sdmr.datasets.tabular.load_csv"
    return [read, f"+dataset.path={tmp_path / 'mine.csv'}", "+dataset.time=time", "+dataset.item=item"]


def call(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    def run_all(jobs: Any, runs: Path, workers: int) -> list[Outcome]:
        return [
            Outcome(job, None, "MemoryError: no more")
            if "model=cml" in job
            else Outcome(job, execute(make_run(*compose_run(job), runs)))
            for job in jobs
        ]

    monkeypatch.setattr(smoke, "run_all", run_all)
    where = ["--runs", str(folder / "runs"), "--results", str(folder / "results")]
    monkeypatch.setattr(sys, "argv", ["command", *arguments, *where])
    return smoke.main()


def test_costs_are_those_of_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: list[str]) -> None:
    assert call(monkeypatch, tmp_path, *data, "--datasets", "ml-100k", "--models", "popularity", "mf-bpr") == 0
    records = tmp_path / "results" / "records" / "smoke" / "ml-100k"
    assert sorted(path.name for path in records.iterdir()) == ["mf-bpr.json", "popularity.json"]
    record = json.loads((records / "mf-bpr.json").read_text())
    assert len(record["history"]) == 2
    with (tmp_path / "results" / "smoke.csv").open() as lines:
        rows = {row["model"]: row for row in csv.DictReader(lines)}
    assert rows["mf-bpr"]["epoch_seconds"] == f"{record['history'][1]['fit_seconds']:.1f}"
    assert rows["mf-bpr"]["peak_mib"] == f"{record['peak_memory_mib']:.1f}"
    text = (tmp_path / "results" / "smoke.md").read_text()
    assert f"**Some of it is made with {' '.join(data)}.**" in text
    assert "made with" not in smoke.markdown(list(rows.values()))
    assert "| model | ml-100k |" in text
    assert re.search(r"^\| MF-BPR \| \d+ \+ \d+ s \\\| \d", text, re.M)


def test_what_fails_or_cannot_be_had_keeps_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one = ("--datasets", "ml-100k", "--models", "popularity")
    assert call(monkeypatch, tmp_path, *data, *one) == 0
    published = (tmp_path / "results" / "smoke.csv").read_text()
    assert call(monkeypatch, tmp_path, *data, *one, "cml") == 1
    assert "FAILED cml on ml-100k: MemoryError: no more" in capsys.readouterr().err
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    assert call(monkeypatch, tmp_path, "--datasets", "ijcai-15") == 0
    assert "ijcai-15 is left out: ijcai-15/user_log_format1.csv cannot be found" in capsys.readouterr().out
    assert (tmp_path / "results" / "smoke.csv").read_text() == published


def test_a_setting_that_one_model_lacks_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("model.dim=4", "--datasets", "ml-100k", "--models", "popularity", "mf-bpr")
    assert call(monkeypatch, tmp_path, *data, *asked) == 1
    assert "FAILED popularity on ml-100k: model.dim: " in capsys.readouterr().err
    assert (tmp_path / "results" / "records" / "smoke" / "ml-100k" / "mf-bpr.json").exists()
