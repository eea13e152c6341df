"""Differences from the first row are those of the tables' statistics, on all instances and on parts."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.record import load_record
from sdmr.experiments.report import differences
from sdmr.experiments.report.averages import list_rows
from sdmr.experiments.report.compared_rows import ComparedRow, collect_rows
from sdmr.experiments.report.comparisons import (
    Comparison,
    compare_models,
)
from sdmr.experiments.report.differences import Results, compare_with_first
from sdmr.experiments.report.ranked_rows import read_seed_spreads
from sdmr.experiments.report.uncertainty import correct_by_holm
from sdmr.harness.metrics import Ranks
from sdmr.harness.records import save_ranks
from tests.experiments.report.published import make_record
from tests.experiments.report.records import change_record, write_run, write_run_among_all

NO_SPREADS = read_seed_spreads(Path("nowhere"))
FIELDS = list(Comparison._fields)
MODELS = {"sdm": 0.6, "cml": 0.5, "popularity": 0.3}  # share of hits
N = 200


def draw_ranks(model: str, seed: int, numbers: np.ndarray) -> Ranks:
    """Return the ranks of some of 200 instances."""
    rng = np.random.default_rng([list(MODELS).index(model), seed])
    above = np.where(rng.random(N) < MODELS[model], rng.integers(0, 10, N), 60)[numbers]
    return Ranks(above, np.zeros_like(above))


def write_models(folder: Path, seeds: Sequence[int], numbers: np.ndarray) -> dict[str, list[Path]]:
    """Write runs on some of 200 instances, two a user."""
    users, counts = np.arange(N)[numbers] // 2, dict(zip(MODELS, seeds, strict=True))
    return {
        model: [
            write_run(folder / f"{model}-{seed}", model, seed, users, draw_ranks(model, seed, numbers))
            for seed in range(counts[model])
        ]
        for model in MODELS
    }


def compare(folders: dict[str, list[Path]], spreads: pd.DataFrame, strata: dict[str, pd.Series]) -> Results:
    rows = collect_rows([path for paths in folders.values() for path in paths])
    return compare_with_first(rows, ["hit@10", "NDCG@10"], spreads, strata)


@pytest.mark.parametrize("seeds", [(3, 3, 1), (1, 3, 1), (2, 1, 1)])
def test_differences_of_a_part_are_those_of_runs_on_its_instances(seeds: Sequence[int], tmp_path: Path) -> None:
    """Against `compare_models`, a part against files that hold its instances alone."""
    spreads = pd.DataFrame({"model": "sdm", "metric": ["hit@10", "NDCG@10"], "variance": 1e-4, "degrees": 2})
    labels = np.where(np.arange(N) % 3 == 1, "one", "other")
    folders = write_models(tmp_path / "all", seeds, np.arange(N))
    results = compare(folders, spreads, {"history": pd.Series(pd.Categorical(labels))})
    assert len(results.differences) == 3 * 2 * 2
    for part, numbers in {"": np.arange(N), "one": np.flatnonzero(labels == "one")}.items():
        folders = write_models(tmp_path / f"part{part}", seeds, numbers)
        scaled = spreads.assign(variance=1e-4 * N / len(numbers))
        for one in list_rows(results.differences[results.differences["range"] == part]):
            other = "cml" if one.baseline == "CML" else "popularity"
            expected = compare_models(folders, "sdm", other, one.metric, scaled)
            assert one.instances == len(numbers)
            assert [getattr(one, field) for field in FIELDS] == pytest.approx(list(expected))
    for _, family in results.differences.groupby("stratum"):
        assert family["corrected"].tolist() == correct_by_holm(family["p"].tolist())


def test_means_are_those_of_the_records(tmp_path: Path) -> None:
    folders = write_models(tmp_path, (3, 1, 1), np.arange(N))
    means = compare(folders, NO_SPREADS, {}).metrics.set_index(["model", "metric"])
    for name, paths in zip(("SDM", "CML", "Popularity"), folders.values(), strict=True):
        values = [json.loads((path / "record.json").read_text())["test"]["hit@10"]["expected"] for path in paths]
        assert means.loc[(name, "hit@10"), "mean"] == pytest.approx(np.mean(values))
        assert means.loc[(name, "hit@10"), "seeds"] == len(values)
    assert means.loc[("SDM", "hit@10"), "spread"] > 0
    assert not means["borrowed"].any()


def test_scores_made_elsewhere_borrow_the_largest_spread(tmp_path: Path) -> None:
    spreads = pd.DataFrame({"model": ["cml", "sdp"], "metric": "hit@10", "variance": [1e-4, 4e-4], "degrees": 2})
    folders = write_models(tmp_path, (1, 1, 1), np.arange(N))
    change_record(folders["popularity"][0], model="Elsewhere", validation={})
    means = compare(folders, spreads, {}).metrics
    borrowed = means[means["metric"] == "hit@10"].set_index("model")["borrowed"]
    assert borrowed.to_dict() == {"SDM": True, "CML": True, "Elsewhere": True}


def test_rows_among_all_items_are_compared_on_the_instances_of_both(tmp_path: Path) -> None:
    numbers = np.arange(N)
    folders = [
        write_run_among_all(tmp_path / model, model, draw_ranks(model, 0, numbers), draw_ranks(model, 1, numbers), n)
        for model, n in (("sdm", N), ("cml", 120))
    ]
    (test,) = list_rows(compare_with_first(collect_rows(folders), ["NDCG@10 all"], NO_SPREADS, {}).differences)
    with np.load(folders[1] / "ranks.npz") as saved:
        shared = saved["all_rows"]
    gains = [draw_ranks(model, 1, shared).ndcg(10) for model in ("sdm", "cml")]
    assert test.instances == 120
    assert test.difference == pytest.approx(np.mean(gains[0] - gains[1]))


@pytest.mark.parametrize(
    ("changes", "compared"),
    [
        ({}, ["hit@10", "hit@10 all"]),
        ({"data": "other", "test_candidates": "A"}, ["hit@10", "hit@10 all"]),  # such as other validation items
        ({"data": "other", "test_candidates": "B"}, ["hit@10 all"]),
        ({"data": "other"}, ["hit@10 all"]),
    ],
)
def test_sampled_metrics_are_compared_among_the_same_candidates(
    changes: dict[str, str], compared: list[str], tmp_path: Path
) -> None:
    folders, numbers = [], np.arange(N)
    for model in ("sdm", "cml"):
        ranks = [draw_ranks(model, seed, numbers) for seed in (0, 1)]
        folders.append(write_run_among_all(tmp_path / model, model, *ranks, N))
    change_record(folders[0], test_candidates="A")
    change_record(folders[1], **changes)
    results = compare_with_first(collect_rows(folders), ["hit@10", "hit@10 all"], NO_SPREADS, {})
    assert results.differences["metric"].tolist() == compared
    assert results.metrics["metric"].tolist() == ["hit@10", "hit@10 all"] * 2


def test_metrics_of_a_run_among_all_items_are_compared_with_those_among_all_items(tmp_path: Path) -> None:
    numbers = np.arange(N)
    first, second = (draw_ranks("sdm", seed, numbers) for seed in (0, 1))
    folders = [
        write_run_among_all(tmp_path / "sdm", "sdm", first, second, N),
        write_run(tmp_path / "cml", "cml", 0, numbers, draw_ranks("cml", 0, numbers)),
    ]
    change_record(folders[1], config={"seed": 0, "protocol": {"candidates": "all"}})
    spreads = pd.DataFrame(
        {"model": "cml", "metric": ["NDCG@10", "NDCG@10 all"], "variance": [9.0, 1e-4], "degrees": 2}
    )
    results = compare_with_first(collect_rows(folders), ["NDCG@10", "NDCG@10 all"], spreads, {})
    (test,) = list_rows(results.differences)
    assert test.metric == "NDCG@10 all"
    assert test.difference == pytest.approx(np.mean(second.ndcg(10) - draw_ranks("cml", 0, numbers).ndcg(10)))
    assert test.high - test.low < 1  # its s² is that of the metric among all items
    assert set(zip(results.metrics["model"], results.metrics["metric"], strict=True)) == {
        ("SDM", "NDCG@10"),
        ("SDM", "NDCG@10 all"),
        ("CML", "NDCG@10 all"),
    }


def test_a_lower_mean_rank_wins(tmp_path: Path) -> None:
    folders = [
        write_run(tmp_path / model, model, 0, np.arange(N), Ranks(np.full(N, above), np.zeros(N, int)))
        for model, above in (("sdm", 2), ("cml", 5))
    ]
    (test,) = list_rows(compare_with_first(collect_rows(folders), ["mean-rank"], NO_SPREADS, {}).differences)
    assert (test.difference, test.wins, test.losses) == (-3, 1, 0)


def test_few_instances_are_left_out(tmp_path: Path) -> None:
    folders = write_models(tmp_path, (1, 1, 1), np.arange(N))
    labels = pd.Series(pd.Categorical(np.where(np.arange(N) < 9, "few", "many")))
    results = compare(folders, NO_SPREADS, {"popularity": labels})
    assert [set(frame["range"]) for frame in results] == [{"", "many"}, {"", "many"}]


def test_spread_of_a_compared_row_is_the_sample_deviation_over_seeds(tmp_path: Path) -> None:
    folders = write_models(tmp_path, (3, 1, 1), np.arange(N))
    means = compare(folders, NO_SPREADS, {}).metrics.set_index(["model", "metric"])
    values = [load_record(path / "record.json").metrics()["hit@10"]["expected"] for path in folders["sdm"]]
    assert means.loc[("SDM", "hit@10"), "spread"] == pytest.approx(statistics.stdev(values))


def test_parts_of_data_that_have_changed_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = make_record(data="then")
    monkeypatch.setattr(differences, "load_task", lambda _: (None, "now", 0.0))
    with pytest.raises(DataError, match="the data have changed"):
        differences.label_strata(ComparedRow("SDM", "sdm", (tmp_path,), (record,)), ["history"])


def test_rows_that_rank_among_other_items_are_not_compared_there(tmp_path: Path) -> None:
    zeros, folders = np.zeros(N, int), []
    for model, others in (("sdm", 1000), ("cml", 900)):
        folder = write_run_among_all(tmp_path / model, model, Ranks(zeros, zeros), Ranks(zeros, zeros), N)
        full = Ranks(zeros, zeros, others=np.full(N, others))
        save_ranks(folder / "ranks.npz", np.arange(N), Ranks(zeros, zeros), (np.arange(N), full))
        folders.append(folder)
    results = compare_with_first(collect_rows(folders), ["hit@10", "hit@10 all"], NO_SPREADS, {})
    assert results.differences["metric"].tolist() == ["hit@10"]
