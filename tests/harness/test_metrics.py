"""Hold ranks and metrics to brute force: every order in which ties could be broken."""

from collections import defaultdict
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmr.harness.evaluation import rank
from sdmr.harness.metrics import CUTOFFS, TIE_POLICIES, Ranks, count_ranks, count_ties, list_metrics, summarize
from tests.harness.scripted import Scripted, make_instances, scored_lists


def break_ties_in_every_way(scores: list[float], target: int, k: int) -> dict[str, list[float]]:
    """Return the metrics of a list for every order in which candidates might come."""
    n, metrics = len(scores), defaultdict(list)
    for order in permutations(range(n)):
        ranking = sorted(order, key=lambda column: -scores[column])  # stable: ties stay in `order`
        position = ranking.index(target) + 1
        metrics[f"hit@{k}"].append(1.0 if position <= k else 0.0)
        metrics[f"NDCG@{k}"].append(1 / np.log2(position + 1) if position <= k else 0.0)
        metrics["MRR"].append(1 / position)
        metrics["AUC"].append(sum(position < other for other in range(1, n + 1)) / (n - 1) if n > 1 else 1.0)
        metrics["mean-rank"].append(position)
    return metrics


@settings(max_examples=120)
@given(scored_lists(max_candidates=6), st.integers(1, 8))
def test_metrics_are_those_of_all_tie_breaks(lists: tuple[list[list[float]], list[int]], k: int) -> None:
    rows, targets = lists
    ranks = rank(Scripted(np.array(rows)), make_instances(targets, len(rows[0])))
    for n, (scores, target) in enumerate(zip(rows, targets, strict=True)):
        for metric, every in break_ties_in_every_way(scores, target, k).items():
            best, worst = (min, max) if metric == "mean-rank" else (max, min)
            assert ranks.compute(metric)[n] == pytest.approx(np.mean(every), abs=1e-12)
            assert ranks.compute(metric, "optimistic")[n] == pytest.approx(best(every), abs=1e-12)
            assert ranks.compute(metric, "pessimistic")[n] == pytest.approx(worst(every), abs=1e-12)


def test_metrics_are_those_of_trec_eval() -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval", reason="pytrec_eval-terrier has no wheel here")
    rng = np.random.default_rng(0)
    scores, targets = rng.permuted(np.tile(np.arange(101.0), (200, 1)), axis=1), rng.integers(101, size=200)
    ranks = count_ranks(scores, targets)
    cutoffs = "1,5,10,20,50"
    measures = {f"success.{cutoffs}", f"ndcg_cut.{cutoffs}", "recip_rank"}
    evaluator = pytrec_eval.RelevanceEvaluator({str(n): {str(t): 1} for n, t in enumerate(targets)}, measures)
    results = evaluator.evaluate(
        {str(n): dict(zip(map(str, range(101)), row, strict=True)) for n, row in enumerate(scores.tolist())}
    )
    names = {f"hit@{k}": f"success_{k}" for k in CUTOFFS} | {f"NDCG@{k}": f"ndcg_cut_{k}" for k in CUTOFFS}
    for metric, name in (names | {"MRR": "recip_rank"}).items():
        expected = [results[str(n)][name] for n in range(200)]
        np.testing.assert_allclose(ranks.compute(metric), expected, atol=1e-12)


def test_metrics_without_a_cutoff_come_last_and_once() -> None:
    names = list_metrics(["AUC", "NDCG", "hit", "mean-rank"], [5, 1])
    assert names == ["NDCG@5", "hit@5", "NDCG@1", "hit@1", "AUC", "mean-rank"]


def test_the_auc_of_ranks_without_a_number_of_candidates_is_an_error() -> None:
    with pytest.raises(ValueError, match="AUC needs the numbers of candidates"):
        Ranks(np.zeros(1, int), np.zeros(1, int)).compute("AUC")


@settings(max_examples=100)
@given(scored_lists(max_candidates=40), st.sampled_from([np.float32, np.float64]))
def test_counts_are_those_of_a_loop(lists: tuple[list[list[float]], list[int]], dtype: type) -> None:
    rows, targets = lists
    ranks = count_ranks(np.array(rows, dtype=dtype), np.array(targets))
    for n, (scores, target) in enumerate(zip(rows, targets, strict=True)):
        others = [score for column, score in enumerate(scores) if column != target]
        assert ranks.above[n] == sum(score > scores[target] for score in others)
        assert ranks.tied[n] == sum(score == scores[target] for score in others)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=20),
    st.integers(1, 130),
)
def test_policies_are_ordered_and_agree_without_ties(counts: list[tuple[int, int]], k: int) -> None:
    ranks = Ranks(*np.array(counts).T)
    for metric in (ranks.hit, ranks.ndcg):
        optimistic, expected, pessimistic = metric(k, "optimistic"), metric(k), metric(k, "pessimistic")
        assert (optimistic >= expected - 1e-12).all()
        assert (expected >= pessimistic - 1e-12).all()
        assert (pessimistic >= 0).all()
        assert (optimistic <= 1).all()
        unambiguous = ranks.tied == 0
        np.testing.assert_array_equal(optimistic[unambiguous], pessimistic[unambiguous])


@pytest.mark.parametrize("column", [0, 1, 50, 99, 100])
def test_a_constant_scorer_hits_ten_times_in_101(column: int) -> None:
    ranks = rank(Scripted(np.full((3, 101), 0.25)), make_instances([column] * 3, 101))
    assert (ranks.hit(10) == 10 / 101).all()
    assert (ranks.hit(10, "optimistic") == 1).all()
    assert (ranks.hit(10, "pessimistic") == 0).all()
    mean_gain = sum(1 / np.log2(position + 1) for position in range(1, 11)) / 101
    np.testing.assert_allclose(ranks.ndcg(10), mean_gain, rtol=1e-14)


def test_ndcg_of_each_position() -> None:
    scores = -np.arange(12.0)[None].repeat(12, axis=0)
    ranks = rank(Scripted(scores), make_instances(list(range(12)), 12))
    expected = [1, 1 / np.log2(3), 0.5, 1 / np.log2(5), 1 / np.log2(6)] + [0] * 7
    for policy in TIE_POLICIES:
        np.testing.assert_allclose(ranks.ndcg(5, policy), expected, rtol=1e-14)
        np.testing.assert_array_equal(ranks.hit(5, policy), [1] * 5 + [0] * 7)


def test_a_close_score_is_no_tie() -> None:
    """Compare scores exactly: neither rounding nor a tolerance makes a tie."""
    scores = np.array([[1.0, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0), 1.0]])
    ranks = rank(Scripted(scores), make_instances([0], 4))
    assert (ranks.above[0], ranks.tied[0]) == (1, 1)


def test_a_summary_is_the_mean_under_each_policy() -> None:
    ranks = Ranks(above=np.array([0, 0, 12]), tied=np.array([0, 1, 3]))
    metrics = summarize(ranks, cutoffs=(1, 10))
    assert list(metrics) == ["hit@1", "NDCG@1", "hit@10", "NDCG@10"]
    assert metrics["hit@1"] == pytest.approx({"expected": 1.5 / 3, "optimistic": 2 / 3, "pessimistic": 1 / 3})
    second = 1 / np.log2(3)
    assert metrics["NDCG@10"] == pytest.approx(
        {"expected": (1 + (1 + second) / 2) / 3, "optimistic": 2 / 3, "pessimistic": (1 + second) / 3}
    )


@settings(max_examples=60)
@given(scored_lists(max_candidates=40))
def test_the_sort_position_is_that_of_numpy(lists: tuple[list[list[float]], list[int]]) -> None:
    rows, targets = lists
    ranks = rank(Scripted(np.array(rows)), make_instances(targets, len(rows[0])), keep_sort_position=True)
    assert ranks.sort_position is not None
    for n, (scores, target) in enumerate(zip(rows, targets, strict=True)):
        distances = [-score for column, score in enumerate(scores) if column != target] + [-scores[target]]
        assert ranks.sort_position[n] == np.argsort(np.array(distances)).tolist().index(len(distances) - 1)
        assert ranks.above[n] <= ranks.sort_position[n] <= ranks.above[n] + ranks.tied[n]
        assert ranks.hit(3, "argsort-target-last")[n] == (ranks.sort_position[n] < 3)


def test_the_four_policies_differ_where_the_target_ties() -> None:
    """Rank a target below one candidate, tied with three; and one without a tie, where all agree."""
    ranks = rank(
        Scripted(np.array([[3.0, 1, 1, 1, 1, 0], [3.0, 2, 1, 1, 1, 0]])),
        make_instances([1, 1], 6),
        keep_sort_position=True,
    )
    tied, untied = (
        [ranks.ndcg(3, policy)[n] for policy in ("optimistic", "expected", "pessimistic", "argsort-target-last")]
        for n in (0, 1)
    )
    second, third = 1 / np.log2(3), 1 / 2
    assert tied[:3] == pytest.approx([second, (second + third) / 4, 0])
    assert tied[3] in (second, third, 0.0)
    assert untied == pytest.approx([second] * 4)
    assert summarize(ranks, [3])["NDCG@3"]["argsort-target-last"] == pytest.approx((tied[3] + second) / 2)
    assert count_ties(ranks) == {"tied_share": 0.5, "mean_tied": 3.0}


def test_a_sort_position_that_was_not_kept_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs ranks made with keep_sort_position=True"):
        Ranks(np.zeros(1, int), np.zeros(1, int)).hit(10, "argsort-target-last")


def test_target_that_is_no_candidate_comes_after_all_candidates() -> None:
    scores = np.array([[3.0, 1.0, -np.inf, -np.inf], [-np.inf, 2.0, 0.0, -np.inf]])
    ranks = count_ranks(scores, np.array([2, 0]), keep_sort_position=True)
    assert ranks.above.tolist() == ranks.sort_position.tolist() == [2, 2]
    assert ranks.tied.tolist() == [0, 0]
    assert ranks.hit(2).tolist() == [0, 0]


def test_ranks_of_some_instances_keep_every_array() -> None:
    ranks = Ranks(np.array([0, 1, 2]), np.array([3, 0, 1]), np.array([1, 1, 3]), np.array([9, 8, 7]))
    taken = ranks.take(np.array([True, False, True]))
    assert {name: array.tolist() for name, array in taken.to_arrays().items()} == {
        **{"above": [0, 2], "tied": [3, 1], "sort_position": [1, 3], "others": [9, 7]}
    }


def test_one_tied_candidate_is_a_tie() -> None:
    ranks = Ranks(np.zeros(4, int), np.array([0, 1, 0, 2]))
    assert count_ties(ranks) == {"tied_share": 0.5, "mean_tied": 1.5}


def test_a_summary_has_the_policies_of_metrics_without_a_cutoff() -> None:
    ranks = Ranks(np.array([1]), np.array([2]), others=np.array([4]))  # rank 2, 3 or 4 of 5
    metrics = summarize(ranks, (), ("MRR", "AUC", "mean-rank"))
    expected = {"MRR": (13 / 36, 1 / 2, 1 / 4), "AUC": (1 / 2, 3 / 4, 1 / 4), "mean-rank": (3, 2, 4)}
    assert {name: tuple(values.values()) for name, values in metrics.items()} == {
        name: pytest.approx(values) for name, values in expected.items()
    }
