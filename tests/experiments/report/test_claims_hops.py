"""The claim that more hops help SDM."""

from pathlib import Path

import numpy as np
import pytest

from sdmr.experiments.core.record import save_record
from sdmr.experiments.report import claims_hops
from sdmr.experiments.report.claims_answers import Direction, Finding
from sdmr.experiments.report.claims_hops import check_hops, estimate_gain, list_hop_points, tabulate_points
from sdmr.harness.metrics import Ranks, summarize
from tests.experiments.report.published import make_record
from tests.experiments.report.test_comparisons import NO_SPREADS

USERS = 400


@pytest.fixture(autouse=True)
def _current(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take all records as made by the checkout's code."""
    monkeypatch.setattr(claims_hops, "is_current", lambda record: True)


def publish_hops(
    results: Path, dataset: str, dim: int, hits: dict[int, int], seed: int = 0, rank: int = 0, model: str = "sdm"
) -> None:
    """Write a point for each number of hops: so many users have their target at a rank, the others far below."""
    for hops, count in hits.items():
        folder = results / "records" / "figure6" / dataset / f"{model}-hops{hops}-d{dim}-s5-{seed}"
        folder.mkdir(parents=True)
        ranks = Ranks(np.where(np.arange(USERS) < count, rank, 60), np.zeros(USERS, int))
        np.savez(folder / "ranks.npz", users=np.arange(USERS), above=ranks.above, tied=ranks.tied)
        save_record(make_record(test=summarize(ranks), history=[]), folder / "record.json")


def judge(results: Path, dataset: str = "ml-100k") -> Finding:
    return {one.dataset: one for one in check_hops(results, NO_SPREADS)}[dataset]


@pytest.mark.parametrize(
    ("more", "direction"), [(160, Direction.YES), (80, Direction.OPPOSITE), (121, Direction.NOT_SHOWN)]
)
def test_hops_help_if_the_gain_over_users_is_significant(more: int, direction: Direction, tmp_path: Path) -> None:
    for dim in (8, 16):
        publish_hops(tmp_path, "ml-100k", dim, {1: 120, 3: more, 4: more})
    assert judge(tmp_path).direction == direction
    assert judge(tmp_path, "ml-1m").direction == Direction.NOT_TESTED


def test_the_gain_is_the_mean_of_three_and_four_hops_over_sizes(tmp_path: Path) -> None:
    publish_hops(tmp_path, "ml-100k", 8, {1: 100, 2: 399, 3: 110, 4: 130})
    publish_hops(tmp_path, "ml-100k", 16, {1: 200, 2: 1, 3: 220, 4: 240})
    gain = estimate_gain(tabulate_points(list_hop_points(tmp_path)), "hit@10", NO_SPREADS)
    assert gain.value == pytest.approx(((10 + 30) / 2 + (20 + 40) / 2) / 2 / USERS)
    assert "mean over 2 embedding sizes, 1 seed(s): hit@10 +0.062" in judge(tmp_path).evidence[0]
    assert judge(tmp_path).note == " (one seed)"


def test_seeds_that_differ_widen_the_interval(tmp_path: Path) -> None:
    """The gain is .15, .10 and .05 with three seeds: s² is .05²."""
    for seed, more in enumerate((180, 160, 140)):
        publish_hops(tmp_path, "ml-100k", 8, {1: 120, 3: more, 4: more}, seed)
    gain = estimate_gain(tabulate_points(list_hop_points(tmp_path)), "hit@10", NO_SPREADS)
    assert gain.value == pytest.approx(0.1)
    (part,) = gain.seeds
    assert (part.variance, part.seeds, part.degrees) == (pytest.approx(0.05**2), 3, 2)
    assert judge(tmp_path).note == ""


def test_one_seed_borrows_the_variance_of_a_row(tmp_path: Path) -> None:
    """A mean of two rows less another has 1.5 s², and the mean of two sizes half of it."""
    for dim in (8, 16):
        publish_hops(tmp_path, "ml-100k", dim, {1: 120, 3: 160, 4: 160})
    spreads = NO_SPREADS.copy()
    spreads.loc[0] = {"model": "sdm", "metric": "hit@10", "variance": 0.0004, "degrees": 2}
    (part,) = estimate_gain(tabulate_points(list_hop_points(tmp_path)), "hit@10", spreads).seeds
    assert (part.variance, part.seeds, part.degrees) == (pytest.approx(1.5 * 0.0004 / 2), 1, 2)


def test_hit_is_judged_and_ndcg_is_shown(tmp_path: Path) -> None:
    """At rank 9, the targets of three hops count little for NDCG@10."""
    publish_hops(tmp_path, "ml-100k", 8, {1: 120})
    publish_hops(tmp_path, "ml-100k", 8, {3: 180, 4: 180}, rank=9)
    finding = judge(tmp_path)
    assert finding.direction == Direction.YES
    assert "`+`; NDCG@10 −0.1" in finding.evidence[0]


def test_gains_are_corrected_for_the_number_of_data_sets(tmp_path: Path) -> None:
    """5 of 400 users gain: p = .025, and .05 as one of two."""
    publish_hops(tmp_path, "ml-100k", 8, {1: 120, 3: 125, 4: 125})
    assert judge(tmp_path).direction == Direction.YES
    publish_hops(tmp_path, "ml-1m", 8, {1: 120, 3: 125, 4: 125})
    assert judge(tmp_path).direction == Direction.NOT_SHOWN


@pytest.mark.parametrize(
    ("more", "direction"), [(160, Direction.OPPOSITE), (120, Direction.YES), (123, Direction.NOT_SHOWN)]
)
def test_on_ta_feng_the_claim_is_that_hops_do_not_help(more: int, direction: Direction, tmp_path: Path) -> None:
    publish_hops(tmp_path, "ta-feng", 8, {1: 120, 3: more, 4: more})
    assert judge(tmp_path, "ta-feng").direction == direction


def test_settings_without_all_hops_or_seeds_do_not_count(tmp_path: Path) -> None:
    for seed in (0, 1):
        publish_hops(tmp_path, "ml-100k", 8, {1: 120, 3: 160, 4: 160}, seed)
    publish_hops(tmp_path, "ml-100k", 16, {1: 10, 3: 300, 4: 300})  # one seed
    publish_hops(tmp_path, "ml-100k", 32, {1: 10, 3: 300})
    publish_hops(tmp_path, "ml-100k", 8, {1: 10, 3: 300, 4: 300}, model="sdmr")
    assert tabulate_points([one for one in list_hop_points(tmp_path) if one.model == "sdm"]).index.tolist() == [
        (8, 5, 0),
        (8, 5, 1),
    ]


def test_points_without_ranks_are_not_tested(tmp_path: Path) -> None:
    publish_hops(tmp_path, "ml-100k", 8, {1: 120, 3: 160, 4: 160})
    for path in tmp_path.rglob("ranks.npz"):
        path.unlink()
    assert judge(tmp_path).direction == Direction.NOT_TESTED


def test_a_point_of_older_code_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_hops, "is_current", lambda record: record.metrics()["hit@10"]["expected"] != 0.4)
    publish_hops(tmp_path, "ml-100k", 8, {1: 120, 3: 160, 4: 170})
    assert judge(tmp_path).note == " (one seed, older code)"
