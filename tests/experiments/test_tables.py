"""Tables 3 and 4: from records to cells, from cells to what is printed and published."""

from __future__ import annotations

import csv
import json
import re
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap, ttest_rel

from sdmr.datasets.errors import DataError
from sdmr.experiments import chosen
from sdmr.experiments.configs import MODELS, ties_of
from sdmr.experiments.execute import Run
from sdmr.experiments.jobs import Outcome
from sdmr.experiments.tables import accuracy, publish
from sdmr.experiments.tables.accuracy import estimate
from sdmr.experiments.tables.cells import (
    METRICS,
    Cell,
    Comparison,
    cells_of,
    comparisons,
    improvements,
    paper_values,
    rows,
)
from sdmr.experiments.uncertainty import holm, interval, verdict
from sdmr.harness.metrics import Ranks, summarize

COLUMNS = "dataset,model,metric,paper,ours,spread,seeds,optimistic,pessimistic,low,high,verdict,settings,marks"


def write_record(
    folder: Path,
    model: str,
    seed: int,
    quality: float = 0.5,
    ties: int = 0,
    users: int = 200,
    validation: float = 0.5,
) -> Path:
    """A record as a run leaves it, its ranks beside it; `quality` is the share of targets that are on top."""
    rng = np.random.default_rng([seed, int(1000 * quality)])
    above = np.where(rng.random(users) < quality, 0, 60)
    tied = np.full(users, ties)
    record: dict[str, Any] = {
        "model": MODELS[model].target,
        "dataset": folder.parent.name,
        "config": {"seed": seed},
        "data": "data",
        "source": "source",
        "parts": {},
        "validation": {"NDCG@10": {"expected": validation}},
        "test": summarize(Ranks(above, tied)),
        "seconds": {"prepare": 1.0, "fit": 2.0, "rank": 3.0},
        "environment": {"commit": f"c0ffee{seed}", "processor": "abacus", "threads": 1, "versions": {"torch": "2.0"}},
    }
    if model not in ("popularity", "item-knn", "slim"):
        record["history"] = []
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "ranks.npz", users=np.arange(users), above=above, tied=tied)
    (folder / "record.json").write_text(json.dumps(record))
    return folder / "record.json"


def values_of(paths: Sequence[Path], metric: str, reading: str = "expected") -> list[float]:
    return [json.loads(path.read_text())["test"][metric][reading] for path in paths]


# --- cells ---


def test_a_cell_is_the_mean_and_the_sample_spread_over_seeds(tmp_path: Path) -> None:
    paths = [write_record(tmp_path / str(seed), "sdm", seed, 0.6, ties=9) for seed in range(3)]
    hit, ndcg = cells_of(3, "ml-100k", "SDM", paths)
    assert (hit.metric, ndcg.metric) == METRICS
    assert (hit.paper, ndcg.paper) == (0.713, 0.435)
    for cell in (hit, ndcg):
        values = values_of(paths, cell.metric)
        assert len(set(values)) == 3
        assert cell.ours == pytest.approx(sum(values) / 3)
        squares = [(value - sum(values) / 3) ** 2 for value in values]
        assert cell.spread == pytest.approx((sum(squares) / 2) ** 0.5)
        assert cell.optimistic == pytest.approx(statistics.mean(values_of(paths, cell.metric, "optimistic")))
        assert cell.pessimistic == pytest.approx(statistics.mean(values_of(paths, cell.metric, "pessimistic")))
        assert cell.commit == "c0ffee0, c0ffee1, c0ffee2"
    assert ndcg.pessimistic is not None
    assert ndcg.ours is not None
    assert ndcg.optimistic is not None
    assert ndcg.pessimistic < ndcg.ours < ndcg.optimistic


def test_one_seed_has_no_spread_and_a_model_without_a_seed_counts_once(tmp_path: Path) -> None:
    one = cells_of(3, "ml-100k", "SDM", [write_record(tmp_path / "sdm", "sdm", 0)])
    assert [(len(cell.values), cell.spread) for cell in one] == [(1, None)] * 2
    paths = [write_record(tmp_path / f"slim{seed}", "slim", seed) for seed in range(3)]
    for cell in cells_of(3, "ml-100k", "SLIM", paths):
        assert cell.values == tuple(values_of(paths[:1], cell.metric))
        assert cell.commit == "c0ffee0"


def test_a_cell_without_records_has_the_papers_value_alone() -> None:
    assert cells_of(4, "ta-feng", "SDMR", []) == [
        Cell("ta-feng", "SDMR", "hit@10", 0.627, ()),
        Cell("ta-feng", "SDMR", "NDCG@10", 0.559, ()),
    ]


@pytest.mark.parametrize(("quality", "word"), [(0.2, "above"), (0.713, "within"), (0.95, "below")])
def test_the_verdict_says_where_the_papers_value_lies(quality: float, word: str, tmp_path: Path) -> None:
    paths = [write_record(tmp_path / str(seed), "sdm", seed, quality) for seed in range(2)]
    assert cells_of(3, "ml-100k", "SDM", paths)[0].verdict == word


def test_no_verdict_where_the_paper_is_silent(tmp_path: Path) -> None:
    (cell, _) = cells_of(3, "ml-100k", "Popularity", [write_record(tmp_path, "popularity", 0)])
    assert (cell.paper, cell.verdict) == (None, "")


def test_the_rows_are_the_papers_and_popularity() -> None:
    """In Table 4 too, where the paper prints no baseline that reads no sequence."""
    assert [MODELS[choice].name for choice in rows()] == [
        "Popularity",
        *("Item-KNN", "SLIM", "MF-BPR", "CML", "NeuMF++", "CMN++", "PRME", "PRME_s", "TransRec", "Caser"),
        *("SDP", "SDM", "SDMR"),
    ]
    assert {name for dataset, name, _ in paper_values(4) if dataset == "ta-feng"} == {
        *("PRME", "PRME_s", "TransRec", "Caser", "SDP", "SDM", "SDMR")
    }


# --- improvements ---


def papers_cells(table: int, datasets: Sequence[str]) -> list[Cell]:
    """The paper's values, as if we had measured them."""
    known = paper_values(table)
    return [
        Cell(dataset, MODELS[choice].name, metric, value, () if value is None else (value,))
        for dataset in datasets
        for choice in rows()
        for metric in METRICS
        for value in [known.get((dataset, MODELS[choice].name, metric))]
    ]


def test_the_papers_rows_of_improvement_follow_from_its_values() -> None:
    """As printed under Table 3 for ML-100k, from values with more digits than the three that are printed."""
    printed = {
        ("general", "SDM"): (14.54, 26.51),
        ("general", "SDMR"): (11.65, 63.44),
        ("sequential", "SDM"): (4.24, 8.21),
        ("sequential", "SDMR"): (1.61, 39.80),
    }
    found = improvements(3, papers_cells(3, ["ml-100k"]))
    assert len(found) == 8
    for dataset, metric, model, group, paper, ours in found:
        assert dataset == "ml-100k"
        assert paper == pytest.approx(printed[group, model][METRICS.index(metric)], abs=0.1)
        assert ours == paper


def test_gains_are_over_the_best_baseline_of_the_group_on_each_side() -> None:
    def cell(model: str, paper: float | None, ours: float | None) -> Cell:
        return Cell("ml-100k", model, "hit@10", paper, () if ours is None else (ours,))

    cells = [
        cell("Popularity", None, 0.9),  # in no group of the paper's
        cell("SLIM", 0.5, 0.4),
        cell("CML", 0.4, 0.5),
        cell("PRME", 0.8, None),
        cell("SDP", 0.1, 0.95),  # no baseline
        cell("SDM", 0.6, 0.45),
    ]
    (general, sequential) = improvements(3, cells)
    assert general[:4] == ("ml-100k", "hit@10", "SDM", "general")
    assert general[4:] == pytest.approx((20, -10))
    assert sequential[4] == pytest.approx(-25)
    assert sequential[5] is None


# --- how sure a mean is ---


def test_the_interval_is_a_percentile_bootstrap_over_users() -> None:
    rng = np.random.default_rng(2)
    values = rng.random(300) ** 2
    low, high = interval(np.arange(300), values)
    known = bootstrap((values,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(1))
    width = known.confidence_interval.high - known.confidence_interval.low
    assert low == pytest.approx(known.confidence_interval.low, abs=0.08 * width)
    assert high == pytest.approx(known.confidence_interval.high, abs=0.08 * width)


def test_the_baskets_of_a_user_are_drawn_together() -> None:
    rng = np.random.default_rng(3)
    users = rng.integers(80, size=600)
    values = np.clip((users % 2) + rng.normal(0, 0.1, size=600), 0, 1.2)  # a user's baskets are much alike
    total = np.array([values[users == user].sum() for user in range(80)])
    number = np.array([(users == user).sum() for user in range(80)])
    known = bootstrap(
        (total, number),
        lambda total, number, axis: total.sum(axis) / number.sum(axis),
        paired=True,
        n_resamples=5000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    order = rng.permutation(600)
    low, high = interval(users[order], values[order])
    assert low == pytest.approx(known.low, abs=0.08 * (known.high - known.low))
    assert high == pytest.approx(known.high, abs=0.08 * (known.high - known.low))
    alone = interval(np.arange(600), values)
    assert high - low > 2 * (alone[1] - alone[0])


def test_an_interval_is_the_same_each_time_and_the_verdict_reads_it() -> None:
    values = np.random.default_rng(0).random(50)
    low, high = interval(np.arange(50), values)
    assert (low, high) == interval(np.arange(50), values)
    assert [verdict(paper, 0.4, 0.5) for paper in (0.39, 0.4, 0.45, 0.5, 0.51)] == [
        "below",
        "within",
        "within",
        "within",
        "above",
    ]


# --- what is published ---


def test_the_tidy_table_has_a_row_a_cell() -> None:
    text = publish.tidy(
        [
            Cell("ml-100k", "SDM", "hit@10", 0.713, (0.5, 0.6), 0.61, 0.49, (0.5, 0.625), "above", settings="chosen"),
            Cell("ml-100k", "Popularity", "NDCG@10", None, (0.25,), 0.26, 0.24),
            Cell("ml-100k", "SDM", "NDCG@10", 0.435, (0.5,), 0.5, 0.5),
            Cell("ml-100k", "CML", "hit@10", 0.596, ()),
        ],
        [
            Comparison("ml-100k", "SDM", "general", "SLIM", 0.1, (0.05, 0.15), 0.001, 0.002),
            Comparison("ml-100k", "SDM", "sequential", "PRME", -0.1, (-0.15, -0.05), 0.001, 0.002),
            Comparison("ml-100k", "SDP", "general", "SLIM", 0.1, (-0.1, 0.3), 0.04, 0.08),
        ],
    )
    assert text.splitlines() == [
        COLUMNS,
        "ml-100k,SDM,hit@10,0.713,0.5500,0.071,2,0.6100,0.4900,0.5000,0.6250,above,chosen,",
        "ml-100k,Popularity,NDCG@10,,0.2500,–,1,0.2600,0.2400,,,,plain,",
        "ml-100k,SDM,NDCG@10,0.435,0.5000,–,1,0.5000,0.5000,,,,plain,g+ s-",
        "ml-100k,CML,hit@10,0.596,,,0,,,,,,,",
    ]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs; a run stands under its model's choice and seed. No data are read, and nothing is trained."""
    folder = tmp_path / "runs"

    def make_run(config: dict[str, Any], dataset: str, runs: Path) -> Run:
        choice = next(name for name, m in MODELS.items() if m.target == config["model"]["_target_"])
        return Run(config, "data", "source", dataset, runs / dataset / f"{choice}-{config['seed']}")

    def run_all(jobs: Sequence[tuple[str, ...]], runs: Path, workers: int) -> list[Outcome]:
        assert not jobs, "nothing is to be trained here"
        return []

    for module in (accuracy, publish):
        monkeypatch.setattr(module, "make_run", make_run)
    monkeypatch.setattr(accuracy, "run_all", run_all)
    return folder


def call(module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: str) -> int:
    where = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    monkeypatch.setattr(sys, "argv", ["command", *arguments, *where])
    return module.main()


def rows_of(path: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return {(row["dataset"], row["model"], row["metric"]): row for row in csv.DictReader(lines)}


def test_published_cells_stay_until_all_seeds_of_new_ones_are_there(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish_seeds(seeds: int) -> dict[tuple[str, str, str], dict[str, str]]:
        models = ("--models", "popularity", "mf-bpr", "sdm")
        assert call(publish, monkeypatch, tmp_path, "3", "--seeds", str(seeds), *models) == 0
        return rows_of(tmp_path / "results" / "table3.csv")

    records = tmp_path / "results" / "records" / "table3" / "ml-100k"
    old = [write_record(runs / "ml-100k" / f"sdm-{seed}", "sdm", seed, 0.6) for seed in range(2)]
    write_record(runs / "ml-100k" / "popularity-0", "popularity", 0, 0.3)
    first = publish_seeds(2)
    sdm = first["ml-100k", "SDM", "hit@10"]
    values = values_of(old, "hit@10")
    assert (sdm["ours"], sdm["seeds"]) == (f"{statistics.mean(values):.4f}", "2")
    assert sdm["spread"] == f"{statistics.stdev(values):.3f}"
    assert first["ml-100k", "Popularity", "hit@10"]["spread"] == "–"
    assert first["ml-100k", "MF-BPR", "hit@10"]["ours"] == ""
    assert first["ml-100k", "MF-BPR", "hit@10"]["paper"] == "0.554"
    names = {path.name for path in records.iterdir()}
    stems = {"sdm-0", "sdm-1", "popularity-0"}
    assert names == {f"{stem}-{kind}" for stem in stems for kind in ("record.json", "ranks.npz")}

    # SDM's runs are gone from this machine, MF-BPR has come, with two of three seeds.
    for path in old:
        path.unlink()
    for seed in range(2):
        write_record(runs / "ml-100k" / f"mf-bpr-{seed}", "mf-bpr", seed, 0.4)
    assert publish_seeds(3) == first
    third = write_record(runs / "ml-100k" / "mf-bpr-2", "mf-bpr", 2, 0.4)
    second = publish_seeds(3)
    assert second["ml-100k", "SDM", "hit@10"] == sdm
    assert second["ml-100k", "MF-BPR", "hit@10"]["seeds"] == "3"
    assert (records / "mf-bpr-2-record.json").read_text() == third.read_text()

    # SDM anew: one seed does not replace the two that are published, two do.
    new = [write_record(runs / "ml-100k" / "sdm-0", "sdm", 7, 0.9)]
    assert publish_seeds(1)["ml-100k", "SDM", "hit@10"] == sdm
    new.append(write_record(runs / "ml-100k" / "sdm-1", "sdm", 8, 0.9))
    last = publish_seeds(2)["ml-100k", "SDM", "hit@10"]
    assert (last["ours"], last["seeds"]) == (f"{statistics.mean(values_of(new, 'hit@10')):.4f}", "2")


def test_the_estimate_is_the_mean_of_the_published_seconds_over_the_workers(tmp_path: Path) -> None:
    for seed, fit in enumerate((117.0, 237.0)):  # with prepare and rank: 121 and 241 s
        target = write_record(tmp_path / "made", "sdm", seed)
        record = json.loads(target.read_text())
        record["seconds"]["fit"] = fit
        published = tmp_path / "ml-100k" / f"sdm-{seed}-record.json"
        published.parent.mkdir(exist_ok=True)
        published.write_text(json.dumps(record))
    waiting = [("ml-100k", "sdm")] * 4
    assert estimate(tmp_path, waiting, ["sdm"], 2).startswith("about 6 min")
    assert "2 for which there is no estimate" in estimate(tmp_path, [*waiting, *[("ml-1m", "sdm")] * 2], ["sdm"], 2)


def test_the_estimate_counts_parts_that_have_a_row_of_their_own_once(tmp_path: Path) -> None:
    target = write_record(tmp_path / "made", "sdmr", 0)
    record = json.loads(target.read_text()) | {"parts": {"sdp": "SDP-1", "sdm": "SDM-2"}}
    record["seconds"] = {"fit": 60.0, "parts": 600.0}
    published = tmp_path / "ml-100k" / "sdmr-0-record.json"
    published.parent.mkdir()
    published.write_text(json.dumps(record))
    assert estimate(tmp_path, [("ml-100k", "sdmr")], ["sdp", "sdm", "sdmr"], 1).startswith("about 1 min")
    assert estimate(tmp_path, [("ml-100k", "sdmr")], ["sdm", "sdmr"], 1).startswith("about 11 min")


# --- comparisons ---


def test_holms_correction() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_papers_models_are_compared_with_each_groups_best_on_validation(tmp_path: Path) -> None:
    """The best on validation, not on test; each user once, the mean over seeds; Popularity is in no group."""

    def made(model: str, validation: float, quality: float, seeds: int = 2) -> list[Path]:
        return [
            write_record(tmp_path / model / str(seed), model, seed, quality, validation=validation)
            for seed in range(seeds)
        ]

    records = {
        "popularity": made("popularity", 0.99, 0.9, 1),
        "slim": made("slim", 0.5, 0.3, 1),
        "mf-bpr": made("mf-bpr", 0.4, 0.8),
        "prme": made("prme", 0.6, 0.5),
        "caser": [],
        "sdm": made("sdm", 0.5, 0.52),
        "sdmr": [],
    }
    general, sequential = comparisons("ml-100k", records)
    assert (general.model, general.group, general.baseline) == ("SDM", "general", "SLIM")
    assert (sequential.group, sequential.baseline) == ("sequential", "PRME")

    def ndcg(model: str) -> np.ndarray:
        values = []
        for path in records[model]:
            with np.load(path.with_name("ranks.npz")) as saved:
                values.append(Ranks(saved["above"], saved["tied"]).ndcg(10))
        return np.mean(values, axis=0)

    for found in (general, sequential):
        other = ndcg("slim" if found is general else "prme")
        assert found.difference == pytest.approx((ndcg("sdm") - other).mean())
        assert found.p == pytest.approx(ttest_rel(ndcg("sdm"), other).pvalue)
    assert general.corrected == pytest.approx(2 * general.p)
    assert (general.mark, sequential.mark) == ("g+", "")


def test_what_is_published_says_which_settings_it_was_made_with(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "FOLDER", tmp_path / "chosen")
    chosen.write("ml-100k", "sdm", ["model.hops=3"], ["of a search"])
    for model in ("sdm", "mf-bpr"):
        write_record(runs / "ml-100k" / f"{model}-0", model, 0)
    sweep = tmp_path / "results" / "sweeps" / "ml-100k" / "sdm.csv"
    sweep.parent.mkdir(parents=True)
    sweep.write_text("seconds\n90\n\n30\n")
    settings = {}
    for config, models in (("chosen", ["sdm"]), ("plain", ["mf-bpr"])):
        assert call(publish, monkeypatch, tmp_path, "3", "--config", config, "--models", *models) == 0
        cells = rows_of(tmp_path / "results" / "table3.csv")
        settings[config] = [cells["ml-100k", model, "hit@10"]["settings"] for model in ("SDM", "MF-BPR")]
    assert settings == {"chosen": ["chosen", ""], "plain": ["chosen", "plain"]}
    published = tmp_path / "results" / "records" / "table3" / "ml-100k" / "sdm-chosen.txt"
    assert published.read_text() == "# of a search\nmodel.hops=3\n"
    text = (tmp_path / "results" / "table3.md").read_text()
    assert "chosen from 2 runs, 2 single-thread minutes" in text
    assert "% ml-100k, chosen settings: SDM" in (tmp_path / "results" / "table3.tex").read_text()
    assert call(publish, monkeypatch, tmp_path, "3", "--models", "sdm") == 0
    assert rows_of(tmp_path / "results" / "table3.csv")["ml-100k", "SDM", "hit@10"]["settings"] == "plain"
    assert not published.exists()
    assert "single-thread minutes" not in (tmp_path / "results" / "table3.md").read_text()  # no row is a chosen one


def test_a_p_value_too_small_to_be_told_from_0_is_a_bound() -> None:
    assert accuracy.p_value(0.0312) == "0.031"
    assert accuracy.p_value(0.0312, "= ") == "= 0.031"
    assert accuracy.p_value(0.0) == accuracy.p_value(0.0, "= ") == "< 1e-300"


def test_the_published_table_is_readable(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sdms = [write_record(runs / "ml-100k" / f"sdm-{seed}", "sdm", seed, 0.5, ties=20) for seed in range(2)]
    mean = statistics.mean(values_of(sdms, "hit@10"))
    for seed in range(2):
        write_record(runs / "ml-100k" / f"mf-bpr-{seed}", "mf-bpr", seed, 0.4)
    assert call(publish, monkeypatch, tmp_path, "3", "--seeds", "2", "--models", "mf-bpr", "sdm") == 0
    cells = rows_of(tmp_path / "results" / "table3.csv")
    assert [model for _, model, metric in cells if metric == "hit@10"] == [MODELS[c].name for c in rows()]
    text = (tmp_path / "results" / "table3.md").read_text()
    sdm = next(line for line in text.splitlines() if line.startswith("| SDM |"))
    hit, ndcg = (cells["ml-100k", "SDM", metric] for metric in METRICS)
    bounds = f"[{float(hit['low']):.3f}, {float(hit['high']):.3f}]"
    assert f"0.713 \\| {mean:.3f} ± {hit['spread']} {bounds} \\| above" in sdm
    ties = [float(side) for side in sdm.split(" | ")[3].split(" … ")]
    assert ties == pytest.approx([float(ndcg["pessimistic"]), float(ndcg["optimistic"])], abs=0.001)
    assert sdm.endswith("| 2 | c0ffee0, c0ffee1 |")
    assert "| CML | 0.596 \\| not run | 0.326 \\| not run | – | – | 0 | – |" in text
    assert "| Popularity |" not in text  # neither printed in the paper nor run
    gain = 100 * (float(hit["ours"]) / float(cells["ml-100k", "MF-BPR", "hit@10"]["ours"]) - 1)
    line = next(line for line in text.splitlines() if line.startswith("| SDM over the best general baseline |"))
    told = re.match(r"\| SDM over the best general baseline \| \+14.4 % \\\| ([-+\d.]+) %", line)
    assert told is not None
    assert float(told[1]) == pytest.approx(gain, abs=0.1)
    assert "Made from 4 records on abacus, 1 thread(s); torch 2.0; 24 s in all." in text
    lines = text.partition("Ties: ")[0].splitlines()[2:]
    columns = {line.count(" | ") for line in lines if line.startswith("| ") and "over" not in line}
    assert len(columns) == 1
    latex = (tmp_path / "results" / "table3.tex").read_text()
    assert r"PRME\_s" in latex
    assert rf"0.713 $|$ {mean:.3f} $\pm$ {hit['spread']}" in latex
    assert len({line.count(" & ") for line in latex.splitlines() if line.startswith(("SD", "CML", "MF"))}) == 1


def test_new_and_repeated_targets_stand_apart_where_there_are_baskets(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"new": [0.2, 0.4], "repeated": [0.9, 0.8]}
    for seed in range(2):
        path = write_record(runs / "ta-feng" / f"sdm-{seed}", "sdm", seed)
        sides = {
            f"test_{side}": {"instances": 5000 if side == "new" else 700}
            | {metric: {"expected": values[seed]} for metric in METRICS}
            for side, values in found.items()
        }
        path.write_text(json.dumps(json.loads(path.read_text()) | sides))
    assert call(publish, monkeypatch, tmp_path, "4", "--seeds", "2", "--models", "sdm") == 0
    text = (tmp_path / "results" / "table4.md").read_text()
    assert "\n\n## ta-feng, 5,000 new and 700 repeated targets\n" in text
    assert "| model | hit@10, new | NDCG@10, new | hit@10, repeated | NDCG@10, repeated |" in text
    assert text.endswith("| SDM | 0.300 | 0.300 | 0.850 | 0.850 |\n")
    write_record(runs / "ml-100k" / "sdm-0", "sdm", 0)
    assert call(publish, monkeypatch, tmp_path, "3", "--models", "sdm") == 0
    assert "repeated" not in (tmp_path / "results" / "table3.md").read_text()


def test_nothing_to_publish_writes_nothing(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(publish, monkeypatch, tmp_path, "4", "--models", "sdm") == 1
    assert not (tmp_path / "results").exists()


def test_a_model_without_chosen_settings_is_left_out(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "FOLDER", tmp_path / "chosen")
    chosen.write("ml-100k", "sdm", ["model.hops=2", "model.dim=16"], ["chosen on validation"])
    assert accuracy.job("ml-100k", "sdm", 1, "chosen", ["epochs=2"]) == (
        *("model=sdm", "dataset=ml-100k", "seed=1"),
        *("model.hops=2", "model.dim=16"),
        "epochs=2",
    )
    write_record(runs / "ml-100k" / "sdm-0", "sdm", 0)
    for module in (accuracy, publish):
        assert call(module, monkeypatch, tmp_path, "3", "--config", "chosen", "--models", "cml", "sdm") == 0
    cells = rows_of(tmp_path / "results" / "table3.csv")
    assert cells["ml-100k", "SDM", "hit@10"]["seeds"] == "1"
    assert cells["ml-100k", "CML", "hit@10"]["seeds"] == "0"


def test_a_data_set_that_is_not_to_be_had_keeps_its_published_cells(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_record(runs / "ml-1m" / "sdm-0", "sdm", 0)
    arguments = ("3", "--models", "sdm", "--datasets", "ml-1m")
    assert call(publish, monkeypatch, tmp_path, *arguments) == 0
    before = (tmp_path / "results" / "table3.csv").read_text()

    def make_run(config: dict[str, Any], dataset: str, runs: Path) -> Run:
        raise DataError("ratings.dat cannot be found")

    monkeypatch.setattr(publish, "make_run", make_run)
    assert call(publish, monkeypatch, tmp_path, *arguments) == 0
    assert (tmp_path / "results" / "table3.csv").read_text() == before
    assert "SDM on ml-1m is left out: ratings.dat cannot be found" in capsys.readouterr().out


# --- what is run and printed ---


def test_a_data_set_that_is_not_to_be_had_is_looked_for_once_and_stops_no_other(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known, looked = accuracy.make_run, []

    def make_run(config: dict[str, Any], dataset: str, runs: Path) -> Run:
        if dataset == "ijcai-15":
            looked.append(dataset)
            raise DataError("user_log_format1.csv cannot be found")
        return known(config, dataset, runs)

    monkeypatch.setattr(accuracy, "make_run", make_run)
    for model in ("sdm", "prme"):
        write_record(runs / "ta-feng" / f"{model}-0", model, 0)
    arguments = ("4", "--datasets", "ijcai-15", "ta-feng", "--models", "prme", "sdm")
    assert call(accuracy, monkeypatch, tmp_path, *arguments) == 1
    printed = capsys.readouterr()
    assert looked == ["ijcai-15"]
    assert printed.err == "FAILED ijcai-15: user_log_format1.csv cannot be found\n"
    assert re.search(r"^SDM +0\.646 \| +– \| 0\.\d{3}", printed.out, re.M)


def test_only_what_is_missing_is_run_and_a_failure_is_told(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, ...]] = []

    def run_all(jobs: Sequence[tuple[str, ...]], runs: Path, workers: int) -> list[Outcome]:
        asked.extend(jobs)
        outcomes = []
        for job in jobs:
            model, seed = job[0].partition("=")[2], int(job[2].partition("=")[2])
            if model == "cml":
                outcomes.append(Outcome(job, None, "MemoryError: too much"))
                continue
            path = write_record(runs / "ml-100k" / f"{model}-{seed}", model, seed, 0.5)
            outcomes.append(Outcome(job, json.loads(path.read_text())))
        return outcomes

    monkeypatch.setattr(accuracy, "run_all", run_all)
    there = write_record(runs / "ml-100k" / "sdm-0", "sdm", 0, 0.7)
    results = tmp_path / "results" / "table3.csv"
    results.parent.mkdir()
    results.write_text(
        f"{COLUMNS}\nml-100k,SDM,hit@10,0.713,0.6912,–,1,0.7,0.6,,,,chosen,\nml-100k,SDM,NDCG@10,0.435,,,0,,\n"
    )
    models = ("popularity", "cml", "sdmr", "sdm")
    assert call(accuracy, monkeypatch, tmp_path, "3", "--seeds", "2", "epochs=2", "--models", *models) == 1
    assert sorted(job[0].partition("=")[2] + job[2].partition("=")[2] for job in asked) == [
        *("cml0", "cml1", "popularity0", "sdm1", "sdmr0", "sdmr1")
    ]
    assert [job[0] for job in asked][-2:] == ["model=sdmr"] * 2  # SDMR waits for the others
    assert asked[0][0] == "model=sdm"
    assert all(job[-1] == "epochs=2" for job in asked)
    printed = capsys.readouterr()
    assert "FAILED model=cml dataset=ml-100k seed=0 epochs=2: MemoryError: too much" in printed.err
    values = values_of([there, runs / "ml-100k" / "sdm-1" / "record.json"], "hit@10")
    mean, spread = statistics.mean(values), statistics.stdev(values)
    assert "paper | published (chosen settings) | this machine" in printed.out
    lines = {line.split()[0]: line for line in printed.out.splitlines() if " | " in line}
    assert f"0.713 | 0.691 | {mean:.3f} ±{spread:.3f}" in lines["SDM"]
    assert "0.435 |     – | " in lines["SDM"]
    assert lines["CML"].split()[1:] == ["0.596", "|", "–", "|", "–", "0.326", "|", "–", "|", "–"]
    assert lines["Popularity"].split()[1:4] == ["–", "|", "–"]


# --- another protocol ---


def test_a_table_made_with_another_protocol_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = cells_of(3, "ml-100k", "SDM", [write_record(tmp_path, "sdm", 0)])
    for overrides in ([], ["protocol.candidates=all", "model.variant=released"]):
        accuracy.print_table(3, ["ml-100k"], cells, tmp_path / "none.csv", overrides)
        made_with = ", made with protocol.candidates=all model.variant=released" if overrides else ""
        assert f"Table 3, ml-100k{made_with}: paper | " in capsys.readouterr().out


def test_a_published_table_names_the_deviations_of_its_records(tmp_path: Path) -> None:
    honest: dict[str, Any] = {"model": "sdmr.models.sdm.SDM", "dataset": "ml-100k", "deviations": {}}
    assert publish.deviations_of([honest, {"model": "sdmr.models.sdp.SDP"}]) == []
    other = honest | {"deviations": {"select_on": "test", "candidates": 99}}
    shown = honest | {"dataset": "epinions", "deviations": {"order": "file"}}
    (caption, _) = publish.deviations_of([honest, other, shown])
    assert "select_on=test, candidates=99 (SDM on ml-100k); order=file (SDM on epinions)" in caption
    path = write_record(tmp_path, "sdm", 0)
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"dataset": "ml-100k", "deviations": {"tie_policy": "optimistic"}})
    )
    records = [json.loads(path.read_text()) | {"parts": {}, "run": "SDM-0"}]
    assert "**Departs from the default protocol**: tie_policy=optimistic" in publish.markdown(3, [], records, [], [])


def test_only_the_suites_settings_are_published(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="epochs=2: what is published has the plain settings"):
        call(publish, monkeypatch, tmp_path, "3", "epochs=2", "--models", "sdm")


def test_what_was_ranked_among_others_is_not_published_beside(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in ("sdm", "mf-bpr"):
        write_record(runs / "ml-100k" / f"{model}-0", model, 0)
    assert call(publish, monkeypatch, tmp_path, "3", "--models", "sdm") == 0
    path = runs / "ml-100k" / "mf-bpr-0" / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"deviations": {"candidates": 99}}))
    assert call(publish, monkeypatch, tmp_path, "3", "--models", "mf-bpr") == 0
    assert "MF-BPR on ml-100k is left out" in capsys.readouterr().out
    assert not rows_of(tmp_path / "results" / "table3.csv")["ml-100k", "MF-BPR", "hit@10"]["ours"]
    (runs / "ml-100k" / "sdm-0" / "record.json").unlink()  # so that its published cell stays, though it is named
    assert call(publish, monkeypatch, tmp_path, "3", "--models", "sdm", "mf-bpr") == 0
    assert "MF-BPR on ml-100k is left out" in capsys.readouterr().out


def test_a_data_set_of_another_table_is_not_published(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="ta-feng: table 3 has ml-100k"):
        call(publish, monkeypatch, tmp_path, "3", "--datasets", "ml-100k", "ta-feng")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        *((setting, "has no effect here") for setting in ("threads=2", "force=true", "runs=elsewhere")),
        *((s, "would change each of the runs") for s in ("test=false", "seed=5", "+model=sdm", "dataset=ml-1m")),
    ],
)
def test_a_setting_that_is_not_for_the_tables_runs_is_an_error(
    setting: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["accuracy", "3", setting, "--models", "popularity"])
    with pytest.raises(SystemExit):
        accuracy.main()
    assert f"{setting} {told}" in capsys.readouterr().err


def test_the_tables_read_ties_as_they_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write_record(tmp_path, "sdm", 0, ties=9)]
    values = {ties: cells_of(3, "ml-100k", "SDM", paths, ties)[1].ours for ties in ("expected", "optimistic")}  # type: ignore[arg-type]
    assert values["optimistic"] == values_of(paths, "NDCG@10", "optimistic")[0] > values["expected"]  # type: ignore[operator]
    assert ties_of(["epochs=2", "protocol.tie_policy=pessimistic"]) == "pessimistic"
    assert ties_of(["epochs=2"]) == "expected"
    monkeypatch.setattr(sys, "argv", ["publish", "3", "protocol.tie_policy=optimistic", "--models", "popularity"])
    with pytest.raises(SystemExit, match="counts ties with their expected value"):
        publish.main()
