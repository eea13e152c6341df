"""One epoch of each model on each data set that can be read; published records stay where it cannot."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sdmr.experiments.benchmark.smoke import collect_costs, format_costs
from sdmr.experiments.core import cli, plan
from sdmr.experiments.core.parallel import Outcome, make_outcome
from sdmr.experiments.core.paths import CHECKOUT
from sdmr.experiments.core.registry import MODELS

Bench = Callable[..., int]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make 40 users with 6 of 130 items each, and return the options that name them."""
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(5)
    rows = [f"{user},{item},{time}" for user in range(40) for time, item in enumerate(rng.choice(130, 6, False))]
    (tmp_path / "mine.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    return ["datasets=csv", f"dataset.path={tmp_path / 'mine.csv'}", "dataset.time=time"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Run the smoke suite in this process. CML fails."""

    def run_all(tasks: list[tuple[str, ...]], runs: Path, workers: int) -> list[Outcome]:
        error = "MemoryError: no more"
        return [Outcome(one, None, error) if "model=cml" in one else make_outcome(one, runs) for one in tasks]

    def run(*arguments: str) -> int:
        folders = [f"runs={tmp_path / 'runs'}", f"results={tmp_path / 'results'}"]
        return cli.main(["bench", "suite=smoke", *arguments, *folders])

    monkeypatch.setattr(plan, "run_all", run_all)
    return run


def read_row(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if re.match(rf"\| {re.escape(name)} +\|", line))
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[2:-1]]


def test_costs_are_those_of_the_records(tmp_path: Path, bench: Bench, data: list[str]) -> None:
    assert bench(*data, "models=[popularity,mf-bpr]") == 0
    records = tmp_path / "results" / "records" / "smoke" / "csv"
    assert sorted(path.name for path in records.iterdir()) == ["mf-bpr-0", "popularity-0"]
    assert [path.name for path in (records / "mf-bpr-0").iterdir()] == ["record.json"]
    record = json.loads((records / "mf-bpr-0" / "record.json").read_text())
    assert len(record["history"]) == 2
    with (tmp_path / "results" / "smoke.csv").open() as lines:
        rows = {row["model"]: row for row in csv.DictReader(lines)}
    assert rows["mf-bpr"]["epoch_seconds"] == f"{record['history'][1]['fit_seconds']:.1f}"
    assert rows["mf-bpr"]["peak_mib"] == f"{record['peak_memory_mib']:.1f}"
    text = (tmp_path / "results" / "smoke.md").read_text()
    assert f"**Some of it is made with {' '.join(data[1:])}.**" in text
    assert "made with" not in format_costs(collect_costs(tmp_path / "results"))
    assert re.search(r"^\| model +\| +csv \|$", text, re.M)
    assert re.fullmatch(r"\d+ \+ \d+ / \d+ \(\d+\.\d\d\) s \| [\d,]+", read_row(text, "MF-BPR")[0])
    seconds, epoch = record["cpu_seconds"]["rank_all"], record["history"][1]["fit_cpu_seconds"]
    assert rows["mf-bpr"]["rank_all_ratio"] == str(round(seconds / epoch, 2))


def test_a_failed_run_or_a_missing_data_set_keeps_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(*data, "models=popularity") == 0
    published = (tmp_path / "results" / "smoke.csv").read_text()
    assert bench(*data, "models=[popularity,cml]") == cli.FAILED
    assert re.search(r"FAILED model=cml dataset=csv .*: MemoryError: no more", capsys.readouterr().err)
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    assert bench("datasets=ijcai-15") == 0
    assert "ijcai-15 is left out: ijcai-15/user_log_format1.csv cannot be found" in capsys.readouterr().out
    assert (tmp_path / "results" / "smoke.csv").read_text() == published


def test_a_setting_that_one_model_lacks_does_not_stop_the_others(
    tmp_path: Path, bench: Bench, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(*data, "model.dim=4", "models=[popularity,mf-bpr]") == cli.FAILED
    assert re.search(r"FAILED model=popularity: model.dim: ", capsys.readouterr().err)
    assert (tmp_path / "results" / "records" / "smoke" / "csv" / "mf-bpr-0" / "record.json").exists()


@pytest.mark.parametrize(
    ("argument", "message"),
    [("models=sdn", "sdn"), ("datasets=ml-10k", "ml-10k"), ("seed=1", "seed=1: seed is the same in every run")],
)
def test_a_wrong_smoke_option_is_one_line(
    argument: str, message: str, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(argument) == cli.WRONG_USE
    assert message in capsys.readouterr().err


def test_the_published_table_is_that_of_the_published_records() -> None:
    results = CHECKOUT / "results"
    costs, published = collect_costs(results), pd.read_csv(results / "smoke.csv")
    pd.testing.assert_frame_equal(costs, published)
    text = (results / "smoke.md").read_text(encoding="utf-8")
    assert format_costs(costs) == text
    assert len(read_row(text, MODELS["sdm"].name)) == costs["dataset"].nunique()


def test_a_row_of_a_model_without_a_record_has_a_dash() -> None:
    rows: list[tuple[Any, ...]] = [("a", "sdp", 1.0, 2.0, 3.0, "abc"), ("b", "sdm", 1.0, 2.0, 3000.0, "abd")]
    columns = ["dataset", "model", "epoch_seconds", "rank_seconds", "peak_mib", "commit"]
    text = format_costs(pd.DataFrame(rows, columns=columns))
    assert read_row(text, "SDP") == ["1 + 2 s | 3", "–"]
    assert read_row(text, "SDM") == ["–", "1 + 2 s | 3,000"]
    assert text.endswith("Made from 2 records of commit abc, abd.\n")
