"""Ranks and metrics against a brute-force oracle: every order in which ties could be broken is written out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from sdmr.datasets.task import Contexts, HeldOut
from sdmr.harness.ranking import (
    READINGS,
    Ranks,
    count_ranks,
    rank,
    rank_among_all,
    refuse_dependence_on_order,
    summary,
    tie_counts,
)

PADDING = 1000


class Scripted:
    """A recommender whose scores are given: `table` [n_users, n_items], or a function of candidates."""

    def __init__(self, table: np.ndarray | Callable[[np.ndarray], Any]) -> None:
        self.table = table
        self.contexts: list[np.ndarray] = []

    def fit(self, training: object) -> None:
        raise AssertionError("ranking does not fit")

    def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> Any:
        self.contexts.append(contexts)
        return self.table(candidates) if callable(self.table) else self.table[users[:, None], candidates]


@pytest.mark.parametrize("targets", [[0, 3], [0, 1]])
def test_a_target_must_be_once_among_its_candidates(targets: list[int]) -> None:
    instances = replace(held_out([0, 1], 3), targets=np.array(targets), candidates=np.array([[0, 1, 2], [1, 1, 2]]))
    with pytest.raises(ValueError, match=f"user 1, target {targets[1]}: the target must be once"):
        _ = instances.target_columns


def held_out(target_columns: list[int], n_candidates: int) -> HeldOut:
    """Instance n: user n, candidates 0 … n_candidates − 1, the target in the given column, items 7, 8, 9 as context."""
    n = len(target_columns)
    ones = np.ones(n, dtype=np.int64)
    contexts = Contexts(np.array([7, 8, 9]), 0 * ones, 3 * ones, 3 * ones, 3 * ones, padding=PADDING)
    candidates = np.tile(np.arange(n_candidates), (n, 1))
    return HeldOut(np.arange(n), np.array(target_columns, dtype=np.int64), contexts, candidates)


def metrics_of_every_tie_break(scores: list[float], target: int, k: int) -> tuple[list[float], list[float]]:
    """hit@k and NDCG@k of one list, once for every order in which a sort might have found the candidates."""
    hits, gains = [], []
    for order in permutations(range(len(scores))):
        ranking = sorted(order, key=lambda column: -scores[column])  # stable: ties stay in `order`
        place = ranking.index(target) + 1
        hits.append(1.0 if place <= k else 0.0)
        gains.append(1 / np.log2(place + 1) if place <= k else 0.0)
    return hits, gains


@st.composite
def scored_lists(draw: st.DrawFn, max_candidates: int) -> tuple[list[list[float]], list[int]]:
    """Rows of scores from a few values, so that ties are common, and the column of each row's target."""
    n_candidates = draw(st.integers(1, max_candidates))
    values = draw(st.sampled_from([[0.0], [0.0, 1.0], [-1.5, -0.0, 0.0, 2.0], list(np.linspace(-3, 3, 50))]))
    row = st.lists(st.sampled_from(values), min_size=n_candidates, max_size=n_candidates)
    rows = draw(st.lists(row, min_size=1, max_size=4))
    column = st.integers(0, n_candidates - 1)
    return rows, draw(st.lists(column, min_size=len(rows), max_size=len(rows)))


@settings(max_examples=120, deadline=None)
@given(scored_lists(max_candidates=6), st.integers(1, 8))
def test_metrics_are_those_of_all_tie_breaks(lists: tuple[list[list[float]], list[int]], k: int) -> None:
    rows, targets = lists
    ranks = rank(Scripted(np.array(rows)), held_out(targets, len(rows[0])))
    for n, (scores, target) in enumerate(zip(rows, targets, strict=True)):
        for metric, every in zip((ranks.hit, ranks.ndcg), metrics_of_every_tie_break(scores, target, k), strict=True):
            assert metric(k)[n] == pytest.approx(np.mean(every), abs=1e-12)
            assert metric(k, "optimistic")[n] == pytest.approx(max(every), abs=1e-12)
            assert metric(k, "pessimistic")[n] == pytest.approx(min(every), abs=1e-12)


@settings(max_examples=100, deadline=None)
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
def test_no_reading_leaves_its_place(counts: list[tuple[int, int]], k: int) -> None:
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
    ranks = rank(Scripted(np.full((3, 101), 0.25)), held_out([column] * 3, 101))
    assert (ranks.hit(10) == 10 / 101).all()
    assert (ranks.hit(10, "optimistic") == 1).all()
    assert (ranks.hit(10, "pessimistic") == 0).all()
    every_place = sum(1 / np.log2(place + 1) for place in range(1, 11)) / 101
    np.testing.assert_allclose(ranks.ndcg(10), every_place, rtol=1e-14)


def test_ndcg_of_each_place() -> None:
    scores = -np.arange(12.0)[None].repeat(12, axis=0)
    ranks = rank(Scripted(scores), held_out(list(range(12)), 12))
    expected = [1, 1 / np.log2(3), 0.5, 1 / np.log2(5), 1 / np.log2(6)] + [0] * 7
    for reading in READINGS:
        np.testing.assert_allclose(ranks.ndcg(5, reading), expected, rtol=1e-14)
        np.testing.assert_array_equal(ranks.hit(5, reading), [1] * 5 + [0] * 7)


def test_a_close_score_is_no_tie() -> None:
    """Ties are equal scores in the recommender's own precision: neither rounding nor a tolerance makes any."""
    scores = np.array([[1.0, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0), 1.0]])
    ranks = rank(Scripted(scores), held_out([0], 4))
    assert (ranks.above[0], ranks.tied[0]) == (1, 1)


def test_ranks_do_not_depend_on_batches() -> None:
    rng = np.random.default_rng(0)
    recommender = Scripted(rng.integers(4, size=(23, 9)).astype(np.float32))
    instances = held_out(list(rng.integers(9, size=23)), 9)
    whole = rank(recommender, instances, batch_size=1000)
    for batch_size in (1, 5, 23):
        ranks = rank(recommender, instances, batch_size)
        np.testing.assert_array_equal(ranks.above, whole.above)
        np.testing.assert_array_equal(ranks.tied, whole.tied)


def test_a_recommender_gets_the_context_it_asks_for() -> None:
    recommender = Scripted(np.zeros((1, 4)))
    rank(recommender, held_out([0], 4))
    recommender.context_length = 2  # type: ignore[attr-defined]
    rank(recommender, held_out([0], 4))
    by_default, as_asked = recommender.contexts
    np.testing.assert_array_equal(by_default, [[PADDING] * 17 + [7, 8, 9]])
    np.testing.assert_array_equal(as_asked, [[8, 9]])


def test_summary_is_the_mean_of_each_reading() -> None:
    ranks = Ranks(above=np.array([0, 0, 12]), tied=np.array([0, 1, 3]))
    metrics = summary(ranks, ks=(1, 10))
    assert list(metrics) == ["hit@1", "NDCG@1", "hit@10", "NDCG@10"]
    assert metrics["hit@1"] == pytest.approx({"expected": 1.5 / 3, "optimistic": 2 / 3, "pessimistic": 1 / 3})
    second = 1 / np.log2(3)
    assert metrics["NDCG@10"] == pytest.approx(
        {"expected": (1 + (1 + second) / 2) / 3, "optimistic": 2 / 3, "pessimistic": (1 + second) / 3}
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at_target", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_score_that_is_not_finite_is_an_error(bad: float, at_target: bool, dtype: type) -> None:
    scores: np.ndarray = np.zeros((5, 6), dtype=dtype)
    scores[3, 4] = bad
    instances = held_out([4 if at_target else 1] * 5, 6)
    with pytest.raises(ValueError, match=rf"^Scripted scored user 3, item 4 as {bad}"):
        rank(Scripted(scores), instances, batch_size=2)


@pytest.mark.parametrize(
    "score",
    [
        lambda candidates: np.zeros(len(candidates)),
        lambda candidates: np.zeros((len(candidates), 1)),
        lambda candidates: np.zeros(candidates.T.shape),
        lambda candidates: np.zeros((len(candidates), candidates.shape[1] + 1)),
        lambda candidates: np.zeros((len(candidates) + 1, candidates.shape[1])),
        lambda candidates: np.zeros((*candidates.shape, 1)),
        lambda candidates: np.float64(0),
    ],
)
def test_scores_of_a_wrong_shape_are_an_error(score: Callable[[np.ndarray], Any]) -> None:
    with pytest.raises(ValueError, match=r"^Scripted\.score "):
        rank(Scripted(score), held_out([0, 1, 2], 4))


@pytest.mark.parametrize(
    ("score", "kind"),
    [
        (lambda candidates: np.zeros(candidates.shape, dtype=np.int64), "int64"),
        (lambda candidates: np.zeros(candidates.shape, dtype=bool), "bool"),
        (lambda candidates: np.zeros(candidates.shape, dtype=complex), "complex128"),
        (lambda candidates: np.zeros(candidates.shape, dtype=object), "object"),
        (lambda candidates: torch.zeros(candidates.shape), "Tensor"),
        (lambda candidates: np.zeros(candidates.shape).tolist(), "list"),
        (lambda candidates: None, "NoneType"),
    ],
)
def test_scores_of_a_wrong_type_are_an_error(score: Callable[[np.ndarray], Any], kind: str) -> None:
    with pytest.raises(ValueError, match=rf"^Scripted\.score .*{kind}$"):
        rank(Scripted(score), held_out([0, 1, 2], 4))


@pytest.mark.parametrize(
    "score",
    [
        lambda candidates: np.tile(np.linspace(0, 1, candidates.shape[1]), (len(candidates), 1)),
        lambda candidates: candidates * 1.0 + 0.01 * np.arange(candidates.shape[1]),
        lambda candidates: np.cumsum(candidates, axis=1, dtype=np.float32),
        lambda candidates: np.where(np.arange(candidates.shape[1]) == 0, 1.0, 0.0) * np.ones(candidates.shape),
    ],
)
def test_scores_that_depend_on_the_order_of_candidates_are_an_error(score: Callable[[np.ndarray], Any]) -> None:
    with pytest.raises(ValueError, match=r"^Scripted scored user 0, item \d as .* came in another order"):
        refuse_dependence_on_order(Scripted(score), held_out([0, 1, 2], 4))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 1.0, 1e6]))
def test_rounding_and_chance_are_no_dependence_on_order(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=scale, size=4).astype(np.float32)
    noise = np.float32(1e-6) * np.abs(values).max() * np.arange(4, dtype=np.float32)
    refuse_dependence_on_order(Scripted(lambda candidates: values[candidates] + noise), held_out([0, 1, 2], 4))
    refuse_dependence_on_order(Scripted(lambda candidates: rng.normal(size=candidates.shape)), held_out([0, 1], 4))


# --- the place in a sort ---


@settings(max_examples=60, deadline=None)
@given(scored_lists(max_candidates=40))
def test_the_place_in_a_sort_is_numpys_own(lists: tuple[list[list[float]], list[int]]) -> None:
    rows, targets = lists
    ranks = rank(Scripted(np.array(rows)), held_out(targets, len(rows[0])), in_sort=True)
    assert ranks.place is not None
    for n, (scores, target) in enumerate(zip(rows, targets, strict=True)):
        distances = [-score for column, score in enumerate(scores) if column != target] + [-scores[target]]
        assert ranks.place[n] == np.argsort(np.array(distances)).tolist().index(len(distances) - 1)
        assert ranks.above[n] <= ranks.place[n] <= ranks.above[n] + ranks.tied[n]
        assert ranks.hit(3, "argsort-target-last")[n] == (ranks.place[n] < 3)


def test_the_four_readings_differ_where_the_target_ties() -> None:
    """A target with one candidate above it and three tied, once; once without a tie, where all readings agree."""
    ranks = rank(Scripted(np.array([[3.0, 1, 1, 1, 1, 0], [3.0, 2, 1, 1, 1, 0]])), held_out([1, 1], 6), in_sort=True)
    tied, untied = (
        [ranks.ndcg(3, ties)[n] for ties in ("optimistic", "expected", "pessimistic", "argsort-target-last")]
        for n in (0, 1)
    )
    second, third = 1 / np.log2(3), 1 / 2
    assert tied[:3] == pytest.approx([second, (second + third) / 4, 0])
    assert tied[3] in (second, third, 0.0)
    assert untied == pytest.approx([second] * 4)
    assert summary(ranks, [3])["NDCG@3"]["argsort-target-last"] == pytest.approx((tied[3] + second) / 2)
    assert tie_counts(ranks) == {"tied_share": 0.5, "mean_tied": 3.0}


def test_a_place_that_was_not_asked_for_is_an_error() -> None:
    with pytest.raises(ValueError, match="was not asked for"):
        Ranks(np.zeros(1, int), np.zeros(1, int)).hit(10, "argsort-target-last")


def test_nothing_to_rank_is_an_error() -> None:
    nobody = held_out([], 4)
    for ranked in (
        lambda: rank(Scripted(np.ones((1, 4))), nobody),
        lambda: rank_among_all(Scripted(np.ones((1, 4))), nobody, csr_matrix((1, 4))),
    ):
        with pytest.raises(ValueError, match=r"no instances to rank: a user \(or a basket\) needs 3 interactions"):
            ranked()


# --- all unseen items ---


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.booleans())
def test_ranks_among_all_are_those_of_a_loop(seed: int, memory: int, in_sort: bool) -> None:
    rng = np.random.default_rng(seed)
    n_users, n_items = 7, 60
    table = rng.integers(6, size=(n_users, n_items)).astype(np.float32)
    taken = rng.random((n_users, n_items)) < 0.3
    instances = held_out(rng.integers(n_items, size=n_users).tolist(), n_items)
    taken[np.arange(n_users), instances.targets] = True
    ranks = rank_among_all(Scripted(table), instances, csr_matrix(taken.astype(float)), in_sort, memory)
    for user, target in enumerate(instances.targets):
        others = [table[user, item] for item in range(n_items) if not taken[user, item]]
        assert ranks.above[user] == sum(score > table[user, target] for score in others)
        assert ranks.tied[user] == sum(score == table[user, target] for score in others)
    if in_sort:
        assert ranks.place is not None
        assert (ranks.above <= ranks.place).all()
        assert (ranks.place <= ranks.above + ranks.tied).all()


def test_no_more_pairs_are_scored_at_a_time_than_stated() -> None:
    seen, n_items = [], 70_000

    def score(candidates: np.ndarray) -> np.ndarray:
        seen.append(candidates.shape)
        return candidates * -1.0

    instances = held_out([5] * 300, n_items)
    rank_among_all(Scripted(score), instances, csr_matrix((300, n_items)), memory=2**22)
    assert max(rows * columns for rows, columns in seen) <= 256 * 101
    assert max(rows for rows, _ in seen) * n_items <= 2**22
