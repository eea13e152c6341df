"""Figures: the numbers behind them are the records', whatever is there of the runs; what is missing is told."""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.stats import pearsonr

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.movielens import Movie
from sdmr.datasets.split import split
from sdmr.datasets.task import Task
from sdmr.experiments import jobs
from sdmr.experiments.configs import MODELS
from sdmr.experiments.execute import Run
from sdmr.experiments.figures import collect, curves, drawing, figure5, figure6, figure7, speed, table_runs
from sdmr.experiments.figures.attention import attention_of
from sdmr.experiments.figures.figure5 import Cooccurrence, pairs_of
from sdmr.experiments.figures.figure6 import Point
from sdmr.experiments.figures.figure7 import Names, choose
from sdmr.experiments.jobs import Outcome
from sdmr.experiments.uncertainty import correlation, correlation_interval
from sdmr.harness.metrics import Ranks, summarize
from sdmr.models.sdm import SDM


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
        "test": summarize(ranks),
        "seconds": {"prepare": 1.0, "fit": 20.0 * (1 + seed), "rank": 3.0, "parts": 5.0},
        "environment": {"commit": f"c0ffee{seed}", "processor": "abacus", "threads": 1},
    }
    if model not in ("popularity", "item-knn", "slim"):
        curve = [{"epoch": n, "loss": 1 / n, "validation": 0.3 + 0.01 * n} for n in range(1, epochs + 1)]
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
    for hops, dim, seed in product((1, 4), (8, 128), (0, 1)):
        folder = runs / f"sdm-{hops}-{dim}-5-{seed}"
        paths[hops, dim, seed] = write_record(folder, quality=0.3 + 0.02 * hops + 0.001 * dim, seed=seed)
    assert call(figure6, monkeypatch, tmp_path, "--seeds", "2", "--hops", "1", "4", "--dims", "8", "128") == 0
    assert is_drawn(tmp_path / "plots", "figure6")
    rows = rows_of(tmp_path / "plots" / "figure6.csv")
    assert len(rows) == len(paths)
    for row in rows:
        record = json.loads(paths[int(row["hops"]), int(row["dim"]), int(row["seed"])].read_text())
        assert (row["dataset"], row["model"], row["context_length"]) == ("ml-100k", "sdm", "5")
        for metric in ("hit@10", "NDCG@10"):
            assert float(row[metric]) == record["test"][metric]["expected"]
        assert row["commit"] == record["environment"]["commit"]


def test_figure_6_is_drawn_from_two_hundred_records(tmp_path: Path) -> None:
    grid = product(("ml-100k", "ta-feng"), (1, 2, 3, 4), (8, 16, 32, 64, 128), range(5))
    points = [Point(dataset, "sdm", hops, dim, 5, seed) for dataset, hops, dim, seed in grid]
    rows = [{**vars(point), "hit@10": 0.7, "NDCG@10": 0.4} for point in points]
    assert len(rows) == 200
    figure = figure6.draw(points, rows)
    assert len(figure.axes) == 4
    assert all(len(axes.containers) == 4 for axes in figure.axes)
    drawing.publish(figure, tmp_path, "many", rows)
    assert is_drawn(tmp_path, "many")
    assert len(rows_of(tmp_path / "many.csv")) == 200


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
    arguments = ("--no-train", "--models", "cmn", "sdm", "--hops", "1", "3", "--dims", "16", "64", "--name", "few")
    assert call(figure6, monkeypatch, tmp_path, *arguments) == 0
    assert is_drawn(tmp_path / "plots", "few")
    assert len(rows_of(tmp_path / "plots" / "few.csv")) == 2
    out = capsys.readouterr().out
    assert "few: 6 of 8 runs are missing" in out
    assert "python -m sdmr.experiments.run model=cmn dataset=ml-100k seed=0 model.hops=1 model.gmf.dim=64\n" in out


def test_figure_6_without_a_record_says_so_and_leaves_what_is_drawn(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = tmp_path / "plots" / "figure6.png"
    drawn.parent.mkdir()
    drawn.write_text("drawn before")
    assert call(figure6, monkeypatch, tmp_path, "--no-train", "--dims", "8") == 0
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
        assert call(figure6, monkeypatch, tmp_path, "--no-train", "--hops", "1", "2", "--dims", "8") == 0
        made.append({path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()})
    assert len(made[0]) == 3
    assert made[0] == made[1]


# --- pointwise mutual information and attention ---


def test_pmi_is_that_of_a_hand_computed_example() -> None:
    """Users 0 and 1 took items 0 and 1, user 2 items 1 and 2, user 3 item 3 alone.

    Ordered pairs of D: (0, 1) and (1, 0) twice each, (1, 2) and (2, 1) once each: 6. #(0) = 2, #(1) = 3, #(2) = 1.
    """
    matrix = csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], dtype=np.float32))
    found = Cooccurrence(matrix).pmi(np.array([0, 1, 2, 0, 3, 0]), np.array([1, 0, 1, 2, 0, 0]))
    together = [(2 / 6) / (2 / 6 * 3 / 6), (2 / 6) / (3 / 6 * 2 / 6), (1 / 6) / (1 / 6 * 3 / 6)]
    assert found[:3] == pytest.approx(np.log(together))
    assert found[3:].tolist() == [-np.inf] * 3  # never together, alone, and an item with itself


def histories(**rows: list[int]) -> Task:
    """Each user's items in order; the last is test, one of the rest validation."""
    users = np.repeat([int(name[1:]) for name in rows], [len(items) for items in rows.values()])
    every = [8, *range(8), *range(9, 130)]  # a last user takes every item, so that all are known
    items = np.concatenate([*rows.values(), every])
    users = np.concatenate([users, np.full(130, 9)])
    data = Interactions(users, items, np.arange(10), np.arange(130), times=np.arange(len(users)))
    return split(data, n_candidates=0)


def test_pairs_are_a_target_with_each_of_its_context_items() -> None:
    task = histories(u0=[5, 3, 8, 2, 7], u1=[3, 5, 4])
    pairs = pairs_of(task.test, 3, task.training.matrix)
    contexts = task.test.contexts.last_n(3)
    for row, column, user, target, item in zip(
        *(pairs.row, pairs.column, pairs.user, pairs.target, pairs.item), strict=True
    ):
        assert contexts[row, column] == item != task.training.n_items
        assert (task.test.users[row], task.test.targets[row]) == (user, target)
    real = [(t, k) for t, context in zip(task.test.targets, contexts, strict=True) for k in context if k < 130]
    both = (task.training.matrix.T @ task.training.matrix).toarray()
    assert len(pairs.pmi) == sum(both[t, k] > 0 for t, k in real)
    assert pairs.dropped == len(real) - len(pairs.pmi) > 0
    assert np.isfinite(pairs.pmi).all()


@pytest.mark.parametrize("hops", [1, 3])
def test_attention_of_every_hop_sums_to_one_and_is_zero_on_padding(hops: int) -> None:
    torch.manual_seed(0)
    model = SDM(dim=8, hops=hops, context_length=6)
    model.build(5, 40)
    rng = np.random.default_rng(0)
    contexts = rng.integers(40, size=(2000, 6))
    padded = np.arange(6) < rng.integers(6, size=2000)[:, None]
    contexts[padded] = 40
    weights = attention_of(model, rng.integers(5, size=2000), contexts, rng.integers(40, size=2000))
    assert weights.shape == (hops, 2000, 6)
    assert np.allclose(weights.sum(axis=2), 1, atol=1e-5)
    assert (weights[:, padded] == 0).all()
    assert (weights[:, ~padded] > 0).all()


def test_the_interval_of_a_correlation_is_that_of_resampled_users() -> None:
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(400), 3)
    x = rng.normal(size=1200)
    y = 0.3 * x + rng.normal(size=1200) + 5
    r = correlation(x, y)
    assert r == pytest.approx(pearsonr(x, y).statistic)
    low, high = correlation_interval(users, x, y)
    known = pearsonr(x, y).confidence_interval()
    assert low == pytest.approx(known.low, abs=0.02)
    assert high == pytest.approx(known.high, abs=0.02)
    # Instances that are copies of each other tell no more than one of them.
    twice = correlation_interval(np.tile(users, 4), np.tile(x, 4), np.tile(y, 4))
    assert twice == pytest.approx((low, high), abs=1e-9)


# --- what is said of the runs ---


@pytest.mark.parametrize(
    ("module", "override", "told"),
    [
        (figure5, "model.hops=2", "model.hops=2 would belie the figure's labels"),
        (figure6, "++model.dim=16", "model.dim=16 would belie the figure's labels"),
        (figure6, "model.gmf.dim=16", "model.gmf.dim=16 would belie the figure's labels"),
        (figure7, "model.dim=16", "model.dim=16 would belie the figure's labels"),
        (figure6, "protocol.tie_policy=optimistic", "figures count ties with their expected value"),
        (curves, "protocol.tie_policy=optimistic", "figures count ties with their expected value"),
        (figure6, "--seeds=0", "0 is no whole number from 1 on"),
        (figure6, "--jobs=-1", "-1 is no whole number from 1 on"),
    ],
)
def test_what_a_figure_would_not_show_is_refused(
    module: Any,
    override: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        call(module, monkeypatch, tmp_path, override)
    assert told in capsys.readouterr().err


def test_a_figure_says_what_its_runs_were_made_with() -> None:
    plain, chosen = (
        argparse.Namespace(overrides=[]),
        argparse.Namespace(overrides=["epochs=2", "split_seed=1"], config="chosen"),
    )
    assert collect.made_with(plain) == collect.made_with(argparse.Namespace(overrides=[], config="plain")) == ""
    assert collect.made_with(chosen) == "; made with chosen settings, epochs=2, split_seed=1"


# --- figures 5 and 7 ---


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 users with 9 of 140 items each, some items far more often than others, in the order of their times."""
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("data") / "small.csv"
    chance = 1 / np.arange(1, 141) ** 0.5
    taken = [rng.choice(140, 9, replace=False, p=chance / chance.sum()) for _ in range(60)]
    rows = [f"u{user},i{item},{time}" for user, items in enumerate(taken) for time, item in enumerate(items)]
    path.write_text("\n".join(["user,item,time", *rows]) + "\n")
    return path


@pytest.fixture
def small(data: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The arguments of a figure on the small data, whose runs are made in this process."""

    def run_all(waiting: Sequence[tuple[str, ...]], runs: Path, workers: int) -> list[Outcome]:
        return [jobs._run(job, runs) for job in waiting]

    monkeypatch.setenv("SDMR_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setattr(collect, "run_all", run_all)
    return (f"dataset.path={data}", "dataset.time=time", "epochs=1", "--dataset", "csv", "--dim", "8")


def test_figure_5_shows_the_weights_of_saved_models(
    small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(figure5, monkeypatch, tmp_path, *small, "--hops", "2", "--seeds", "2") == 0
    assert is_drawn(tmp_path / "plots", "figure5")
    points = rows_of(tmp_path / "plots" / "figure5.csv")
    found = rows_of(tmp_path / "plots" / "figure5-correlations.csv")
    assert [(row["hops"], row["hop"], row["seed"]) for row in found] == [
        *(("2", "1", "0"), ("2", "2", "0"), ("2", "1", "1"), ("2", "2", "1"))
    ]
    pmi = [float(row["pmi"]) for row in points]
    for row in found:
        assert int(row["pairs"]) == len(points)
        assert float(row["low"]) < float(row["r"]) < float(row["high"])
        if row["hop"] == row["hops"]:
            assert not row["paper"]  # which is of ML-100k
            weights = [float(point[f"attention_hops{row['hops']}_seed{row['seed']}"]) for point in points]
            assert float(row["r"]) == pytest.approx(pearsonr(pmi, weights).statistic, abs=1e-9)
    share = 100 * float(found[0]["dropped_share"])
    assert f"({share:.1f} %) that no user took together are left out" in capsys.readouterr().out
    assert figure5.paper_values("ml-100k") == {1: 0.059, 2: 0.097, 3: 0.143, 4: 0.146}
    # The same weights as those of the model that a run has saved.
    made = call(figure5, monkeypatch, tmp_path, *small, "--hops", "2", "3", "--no-train", "--name", "again")
    assert made == 0
    assert "again: 1 of 2 runs are missing" in capsys.readouterr().out
    again = rows_of(tmp_path / "plots" / "again.csv")
    assert [row["attention_hops2_seed0"] for row in again] == [row["attention_hops2_seed0"] for row in points]


def test_figure_5_without_a_model_says_how_to_make_it(
    small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module, name in ((figure5, "figure5"), (figure7, "figure7")):
        assert call(module, monkeypatch, tmp_path, *small, "--no-train") == 0
        out = capsys.readouterr().out
        assert f"{name} is not drawn: none of its runs is there" in out
        assert "python -m sdmr.experiments.run model=sdm dataset=csv seed=0" in out
    assert not (tmp_path / "plots").exists()


def test_figure_7_shows_the_hops_of_a_user_and_target(
    data: Path,
    small: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = rows_of(data)
    own = {row["item"] for row in rows if row["user"] == "u7"}
    target = next(row["item"] for row in rows if row["item"] not in own)
    assert call(figure7, monkeypatch, tmp_path, *small, "--hops", "3", "--user", "u7", "--target", target) == 0
    assert "with a target that is not its own of user u7" in capsys.readouterr().out
    assert is_drawn(tmp_path / "plots", "figure7")
    rows = rows_of(tmp_path / "plots" / "figure7.csv")
    assert {(row["user"], row["target"]) for row in rows} == {("u7", target)}
    for hop in ("1", "2", "3"):
        weights = [float(row["attention"]) for row in rows if row["hop"] == hop]
        assert len(weights) == 5
        assert sum(weights) == pytest.approx(1, abs=1e-5)
    with pytest.raises(SystemExit, match="there is no user u60"):
        call(figure7, monkeypatch, tmp_path, *small, "--hops", "3", "--user", "u60")


FILMS = {
    7: Movie("Money Talks (1997)", ("Action", "Comedy")),
    70: Movie("Money Talks (1997)", ("Action", "Comedy")),
    8: Movie("Fire Down Below (1997)", ("Action", "Drama", "Thriller")),
}


def choice_of(task: Task, films: dict[int, Movie] = FILMS, **given: str) -> tuple[int, int, list[int], str]:
    names = Names(np.arange(10), np.arange(130), films)
    case, told = choose(task, 4, names, argparse.Namespace(**{"user": None, "target": None} | given))
    return case.user, case.target, case.context.tolist(), told


def test_figure_7_takes_the_papers_case_if_the_split_has_it() -> None:
    rest = [20, 21, 22, 23, 24]
    user, target, context, told = choice_of(histories(u1=[*rest, 8], u2=[*rest, 70, 25, 8], u3=[7, 8, *rest]))
    assert (user, target) == (2, 8)
    assert 70 in context  # under the other of its two ids
    assert told == "the paper's case: a test instance of user 2"


def test_figure_7_takes_what_is_nearest_to_the_papers_case_and_says_so() -> None:
    rest = [20, 21, 22, 23, 24, 25, 26, 27]
    trained = histories(u1=[*rest, 8], u3=[7, 8, *rest])
    user, target, context, told = choice_of(trained)
    assert (user, target) == (3, 8)
    assert 7 in context
    nearest = "the paper's case is no test instance of this split; the nearest is a "
    assert told in [f"{nearest}{part} instance of user 3" for part in ("validation", "training")]
    user, target, _, told = choice_of(histories(u1=[*rest, 8], u3=[7, *rest]))
    assert (user, target) == (1, 8)
    lacks = ", without Money Talks (1997) among the 4 latest items"
    assert told == f"{nearest}test instance of user 1{lacks}"


def test_figure_7_of_ones_own_user_and_target() -> None:
    task = histories(u1=[20, 21, 22, 23, 8], u2=[30, 31, 32, 33, 7])
    assert choice_of(task, user="2")[:2] == (2, 7)
    assert choice_of(task, target="Fire Down Below (1997)")[:2] == (1, 8)
    assert choice_of(task, target="33")[:2] in ((2, 33), (9, 33))
    user, target, context, told = choice_of(task, user="2", target="8")
    assert (user, target) == (2, 8)
    assert set(context) <= {30, 31, 32, 33, 130}
    assert "a target that is not its own" in told
    assert choice_of(task, films={})[3].startswith("a test instance of user")
    with pytest.raises(ValueError, match=r"no item 'Money talk'; titles like it: Money Talks \(1997\)"):
        choice_of(task, target="Money talk")


# --- curves, speed ---


def test_curves_and_speed_are_what_the_records_say(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {("popularity", 0): write_record(runs / "popularity-None-None-None-0", "popularity", 0.3)}
    for seed in range(2):
        paths["sdm", seed] = write_record(runs / f"sdm-3-64-5-{seed}", "sdm", 0.6, seed, epochs=4 + seed)
    records = {key: json.loads(path.read_text()) for key, path in paths.items()}
    for module, name in ((curves, "curves"), (speed, "speed")):
        assert call(module, monkeypatch, tmp_path, "--seeds", "2", "--models", "popularity", "sdm", "cml") == 0
        assert is_drawn(tmp_path / "plots", name)
        assert f"{name}: 2 of 5 runs are missing" in capsys.readouterr().out
    rows = rows_of(tmp_path / "plots" / "curves.csv")
    assert len(rows) == 4 + 5  # Popularity has none
    for row in rows:
        record = records[row["model"], int(row["seed"])]
        entry = record["history"][int(row["epoch"])]
        assert (float(row["validation"]), float(row["loss"])) == (entry["validation"], entry["loss"])
        assert row["is_best"] == str(entry["epoch"] == record["best_epoch"])
    rows = rows_of(tmp_path / "plots" / "speed.csv")
    assert len(rows) == 3
    for row in rows:
        record = records[row["model"], int(row["seed"])]
        assert float(row["seconds"]) == record["seconds"]["fit"] + record["seconds"]["parts"]
        assert float(row["NDCG@10"]) == record["test"]["NDCG@10"]["expected"]


def test_curves_and_speed_without_a_record_say_so(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module, name in ((curves, "curves"), (speed, "speed")):
        assert call(module, monkeypatch, tmp_path, "--models", "sdm", "slim") == 0
        assert f"{name} is not drawn: none of its runs is there" in capsys.readouterr().out
    assert not (tmp_path / "plots").exists()


def test_speed_leaves_out_a_record_that_does_not_count_its_parts(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for model, axes in (("sdmr", "None-None-None"), ("sdm", "3-64-5")):
        path = write_record(runs / f"{model}-{axes}-0", model)
        record = json.loads(path.read_text()) | {"parts": {"sdm": "SDM-1"} if model == "sdmr" else {}}
        del record["seconds"]["parts"]
        path.write_text(json.dumps(record))
    assert call(speed, monkeypatch, tmp_path, "--models", "sdm", "sdmr") == 0
    assert [row["model"] for row in rows_of(tmp_path / "plots" / "speed.csv")] == ["sdm"]
    assert "sdmr, seed 0, is left out" in capsys.readouterr().out


def test_published_records_count_for_the_settings_they_were_made_with(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "results" / "records" / "table3" / "ml-100k"
    for model in ("sdp", "sdm"):
        write_record(folder, model).rename(folder / f"{model}-0-record.json")
    (folder / "sdm-chosen.txt").write_text("model.hops=3\n")
    monkeypatch.setattr(table_runs, "job", lambda dataset, model, seed, *_: (f"model={model}", f"seed={seed}"))
    for config, model in (("plain", "sdp"), ("chosen", "sdm")):
        assert call(speed, monkeypatch, tmp_path, "--models", "sdp", "sdm", "--config", config) == 0
        assert [row["model"] for row in rows_of(tmp_path / "plots" / "speed.csv")] == [model]
