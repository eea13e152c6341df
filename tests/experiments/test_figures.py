"""Figures: the numbers behind them are the records', whatever is there of the runs; what is missing is told."""

from __future__ import annotations

import csv
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.configs import MODELS
from experiments.execute import Run
from experiments.figures import collect, figure6
from experiments.figures.figure6 import Point
from experiments.jobs import Outcome
from harness.ranking import Ranks, summary


def place_of(config: dict[str, Any]) -> str:
    """The folder of a run in these tests: its model and its place on the axes."""
    model = config["model"]
    choice = next(name for name, m in MODELS.items() if m.target == model["_target_"])
    dim = model["gmf"]["dim"] if choice == "cmn" else model.get("dim")
    return f"{choice}-{model.get('hops')}-{dim}-{model.get('context_length')}-{config['seed']}"


def write_record(folder: Path, model: str = "sdm", quality: float = 0.5, seed: int = 0, epochs: int = 4) -> Path:
    """A record as a run leaves it; `quality` is the share of targets that are on top."""
    above = np.where(np.random.default_rng([seed, int(1000 * quality)]).random(200) < quality, 0, 60)
    ranks = Ranks(above, np.zeros(200, dtype=int))
    record: dict[str, Any] = {
        "model": MODELS[model].target,
        "dataset": "ml-100k",
        "config": {"seed": seed},
        "test": summary(ranks),
        "seconds": {"prepare": 1.0, "fit": 20.0 * (1 + seed), "rank": 3.0, "parts": 5.0},
        "environment": {"commit": f"c0ffee{seed}"},
    }
    if model not in ("popularity", "item-knn", "slim"):
        curve = [{"epoch": n, "loss": 1 / n, "development": 0.3 + 0.01 * n} for n in range(1, epochs + 1)]
        record |= {"history": [{"epoch": 0}, *curve], "best_epoch": epochs}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").write_text(json.dumps(record))
    return folder / "record.json"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs, each under its place on the axes. No data are read, and nothing is trained."""

    def make_run(config: dict[str, Any], dataset: str, runs: Path) -> Run:
        return Run(config, "data", "source", dataset, runs / dataset / place_of(config))

    def run_all(jobs: Sequence[tuple[str, ...]], runs: Path, workers: int) -> list[Outcome]:
        assert not jobs, "nothing is to be trained here"
        return []

    monkeypatch.setattr(collect, "make_run", make_run)
    monkeypatch.setattr(collect, "run_all", run_all)
    return tmp_path / "runs" / "ml-100k"


def call(module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: str) -> int:
    where = [f"--{name}={tmp_path / name}" for name in ("runs", "results", "plots")]
    monkeypatch.setattr(sys, "argv", ["command", *arguments, *where])
    return module.main()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def is_drawn(plots: Path, name: str) -> bool:
    """Whether the picture is there in both formats, and none of its numbers is missing."""
    heads = [(plots / f"{name}.{suffix}").read_bytes()[:4] for suffix in ("png", "pdf")]
    return heads == [b"\x89PNG", b"%PDF"] and bool(rows_of(plots / f"{name}.csv"))


# --- figure 6 ---


def test_the_csv_of_figure_6_is_what_the_records_say(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {}
    for hops in (1, 2, 3, 4):
        for dim in (8, 16, 32, 64, 128):
            for seed in range(2):
                quality = 0.3 + 0.02 * hops + 0.001 * dim
                folder = runs / f"sdm-{hops}-{dim}-5-{seed}"
                paths[hops, dim, seed] = write_record(folder, quality=quality, seed=seed)
    assert call(figure6, monkeypatch, tmp_path, "--seeds", "2") == 0
    assert is_drawn(tmp_path / "plots", "figure6")
    rows = rows_of(tmp_path / "plots" / "figure6.csv")
    assert len(rows) == len(paths) == 40
    for row in rows:
        record = json.loads(paths[int(row["hops"]), int(row["dim"]), int(row["seed"])].read_text())
        assert (row["dataset"], row["model"], row["context_length"]) == ("ml-100k", "sdm", "5")
        for metric in ("hit@10", "NDCG@10"):
            assert float(row[metric]) == record["test"][metric]["expected"]
        assert row["commit"] == record["environment"]["commit"]


def test_figure_6_shows_mean_and_spread_over_seeds(tmp_path: Path) -> None:
    points = [Point("ml-100k", "sdm", hops, dim, 5, seed) for hops in (1, 2) for dim in (8, 16, 32) for seed in (0, 1)]
    values = {point: 0.1 * point.hops + 0.01 * point.dim + 0.02 * point.seed for point in points}
    rows = [{**vars(point), "hit@10": value, "NDCG@10": value / 2} for point, value in values.items()]
    figure = figure6.draw(points, rows)
    hit, ndcg = figure.axes
    assert [label.get_text() for label in ndcg.get_xticklabels()] == ["8", "16", "32"]  # the axis with most values
    assert hit.get_legend_handles_labels()[1] == ["h = 1", "h = 2"]
    for axes, scale in ((hit, 1), (ndcg, 0.5)):
        for hops, container in zip((1, 2), axes.containers, strict=True):
            line, _, (bars,) = container
            own = [[values[p] * scale for p in points if (p.hops, p.dim) == (hops, dim)] for dim in (8, 16, 32)]
            assert line.get_ydata() == pytest.approx([statistics.mean(v) for v in own])
            ends = np.array([segment[:, 1] for segment in bars.get_segments()])
            assert (ends[:, 1] - ends[:, 0]) / 2 == pytest.approx([statistics.stdev(v) for v in own])


def test_figure_6_is_drawn_from_two_records_and_says_what_is_missing(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for hops in (1, 3):
        write_record(runs / f"cmn-{hops}-16-None-0", "cmn")
    arguments = ("--no-train", "--models", "cmn", "sdm", "--dims", "16", "64", "--name", "few")
    assert call(figure6, monkeypatch, tmp_path, *arguments) == 0
    assert is_drawn(tmp_path / "plots", "few")
    assert len(rows_of(tmp_path / "plots" / "few.csv")) == 2
    out = capsys.readouterr().out
    assert "few: 14 of 16 runs are missing" in out
    assert "python -m experiments.run model=cmn dataset=ml-100k seed=0 model.hops=1 model.gmf.dim=64\n" in out


def test_figure_6_without_a_record_says_so_and_leaves_what_is_drawn(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = tmp_path / "plots" / "figure6.png"
    drawn.parent.mkdir()
    drawn.write_text("drawn before")
    assert call(figure6, monkeypatch, tmp_path, "--no-train") == 0
    assert "figure6 is not drawn: none of its runs is there" in capsys.readouterr().out
    assert [path.name for path in drawn.parent.iterdir()] == ["figure6.png"]
    assert drawn.read_text() == "drawn before"


def test_this_machines_record_comes_before_the_published_one(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--no-train", "--hops", "1", "2", "--dims", "8")
    own = [write_record(runs / f"sdm-{hops}-8-5-0", quality=0.6) for hops in (1, 2)]
    assert call(figure6, monkeypatch, tmp_path, "--publish", *arguments) == 0
    first = rows_of(tmp_path / "plots" / "figure6.csv")
    published = tmp_path / "results" / "records" / "figure6" / "ml-100k"
    assert {path.name for path in published.iterdir()} == {f"sdm-hops{h}-d8-s5-0-record.json" for h in (1, 2)}
    own[0].unlink()
    write_record(runs / "sdm-2-8-5-0", quality=0.9)
    assert call(figure6, monkeypatch, tmp_path, *arguments) == 0
    second = rows_of(tmp_path / "plots" / "figure6.csv")
    assert second[0] == first[0]
    assert float(second[1]["hit@10"]) > float(first[1]["hit@10"])
    # Runs with other settings than the published ones must not be taken for them.
    (tmp_path / "plots" / "figure6.csv").unlink()
    own[1].unlink()
    assert call(figure6, monkeypatch, tmp_path, "epochs=2", *arguments) == 0
    assert not (tmp_path / "plots" / "figure6.csv").exists()


def test_missing_runs_are_made_seed_by_seed(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, str]] = []

    def run_all(jobs: Sequence[tuple[str, ...]], folder: Path, workers: int) -> list[Outcome]:
        outcomes = []
        for job in jobs:
            told = dict(override.split("=") for override in job)
            asked.append(told)
            if told["context_length"] == "10" and told["seed"] == "1":
                outcomes.append(Outcome(job, None, "MemoryError: too much"))
                continue
            path = write_record(runs / f"sdm-{told['model.hops']}-64-{told['context_length']}-{told['seed']}")
            outcomes.append(Outcome(job, json.loads(path.read_text())))
        return outcomes

    monkeypatch.setattr(collect, "run_all", run_all)
    write_record(runs / "sdm-3-64-5-0")
    arguments = ("--dims", "64", "--hops", "3", "--lengths", "5", "10", "20", "--seeds", "2")
    assert call(figure6, monkeypatch, tmp_path, *arguments) == 1
    found = [(told["seed"], told["context_length"]) for told in asked]
    assert found == [("0", "10"), ("0", "20"), ("1", "5"), ("1", "10"), ("1", "20")]
    assert "MemoryError: too much" in capsys.readouterr().err
    assert len(rows_of(tmp_path / "plots" / "figure6.csv")) == 5


def test_the_same_figure_is_the_same_bytes(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for hops in (1, 2):
        write_record(runs / f"sdm-{hops}-8-5-0")
    made = []
    for _ in range(2):
        assert call(figure6, monkeypatch, tmp_path, "--no-train", "--dims", "8") == 0
        made.append({path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()})
    assert len(made[0]) == 3
    assert made[0] == made[1]
