"""Check scores, and rank among candidates or all unseen items."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from sdmr.harness.evaluation import check_permutation_invariance, rank, rank_among_all
from tests.harness.scripted import PADDING, Scripted, make_instances


@pytest.mark.parametrize("targets", [[0, 3], [0, 1]])
def test_a_target_must_be_once_among_its_candidates(targets: list[int]) -> None:
    candidates = np.array([[0, 1, 2], [1, 1, 2]])
    instances = replace(make_instances([0, 1], 3), targets=np.array(targets), candidates=candidates)
    with pytest.raises(ValueError, match=f"user 1, target {targets[1]}: the target must be once"):
        _ = instances.target_columns


def test_ranks_do_not_depend_on_batches() -> None:
    rng = np.random.default_rng(0)
    recommender = Scripted(rng.integers(4, size=(23, 9)).astype(np.float32))
    instances = make_instances(list(rng.integers(9, size=23)), 9)
    one_batch = rank(recommender, instances, batch_size=1000)
    for batch_size in (1, 5, 23):
        ranks = rank(recommender, instances, batch_size)
        np.testing.assert_array_equal(ranks.above, one_batch.above)
        np.testing.assert_array_equal(ranks.tied, one_batch.tied)


def test_a_recommender_gets_the_context_it_asks_for() -> None:
    recommender = Scripted(np.zeros((1, 4)))
    rank(recommender, make_instances([0], 4))
    recommender.context_length = 2  # type: ignore[attr-defined]
    rank(recommender, make_instances([0], 4))
    default, requested = recommender.contexts
    np.testing.assert_array_equal(default, [[PADDING] * 17 + [7, 8, 9]])
    np.testing.assert_array_equal(requested, [[8, 9]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("is_target", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_score_that_is_not_finite_is_an_error(bad: float, is_target: bool, dtype: type) -> None:
    scores: np.ndarray = np.zeros((5, 6), dtype=dtype)
    scores[3, 4] = bad
    instances = make_instances([4 if is_target else 1] * 5, 6)
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
        rank(Scripted(score), make_instances([0, 1, 2], 4))


@pytest.mark.parametrize(
    ("score", "type_name"),
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
def test_scores_of_a_wrong_type_are_an_error(score: Callable[[np.ndarray], Any], type_name: str) -> None:
    with pytest.raises(ValueError, match=rf"^Scripted\.score .*{type_name}$"):
        rank(Scripted(score), make_instances([0, 1, 2], 4))


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
        check_permutation_invariance(Scripted(score), make_instances([0, 1, 2], 4))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 1.0, 1e6]))
def test_rounding_and_random_scores_pass_the_check_of_order(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(scale=scale, size=4).astype(np.float32)
    noise = np.float32(1e-6) * np.abs(values).max() * np.arange(4, dtype=np.float32)
    instances = make_instances([0, 1, 2], 4)
    check_permutation_invariance(Scripted(lambda candidates: values[candidates] + noise), instances)
    check_permutation_invariance(
        Scripted(lambda candidates: rng.normal(size=candidates.shape)), make_instances([0, 1], 4)
    )


def test_nothing_to_rank_is_an_error() -> None:
    nobody = make_instances([], 4)
    for rank_nobody in (
        lambda: rank(Scripted(np.ones((1, 4))), nobody),
        lambda: rank_among_all(Scripted(np.ones((1, 4))), nobody, csr_matrix((1, 4))),
    ):
        with pytest.raises(ValueError, match=r"no instances to rank: a user \(or a basket\) needs 3 interactions"):
            rank_nobody()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.booleans())
def test_ranks_among_all_items_equal_those_of_a_loop(seed: int, max_scores: int, keep_sort_position: bool) -> None:
    rng = np.random.default_rng(seed)
    n_users, n_items = 7, 60
    table = rng.integers(6, size=(n_users, n_items)).astype(np.float32)
    taken = rng.random((n_users, n_items)) < 0.3
    instances = make_instances(rng.integers(n_items, size=n_users).tolist(), n_items)
    taken[np.arange(n_users), instances.targets] = True
    ranks = rank_among_all(Scripted(table), instances, csr_matrix(taken.astype(float)), keep_sort_position, max_scores)
    for user, target in enumerate(instances.targets):
        others = [table[user, item] for item in range(n_items) if not taken[user, item]]
        assert ranks.above[user] == sum(score > table[user, target] for score in others)
        assert ranks.tied[user] == sum(score == table[user, target] for score in others)
    if keep_sort_position:
        assert ranks.sort_position is not None
        assert (ranks.above <= ranks.sort_position).all()
        assert (ranks.sort_position <= ranks.above + ranks.tied).all()


def test_no_more_pairs_are_scored_at_a_time_than_stated() -> None:
    seen, n_items = [], 70_000

    def score(candidates: np.ndarray) -> np.ndarray:
        seen.append(candidates.shape)
        return candidates * -1.0

    instances = make_instances([5] * 300, n_items)
    rank_among_all(Scripted(score), instances, csr_matrix((300, n_items)), max_scores=2**22)
    assert max(rows * columns for rows, columns in seen) <= 256 * 101
    assert max(rows for rows, _ in seen) * n_items <= 2**22
