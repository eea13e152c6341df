"""Test what any recommender must do; every model's test inherits these tests."""

from functools import cache

import numpy as np
import pytest

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.split import split
from sdmr.datasets.task import Task, Training
from sdmr.harness.evaluation import rank, rank_among_all, score_all_items
from sdmr.harness.recommender import (
    Recommender,
    check_unchanged,
    compute_checksums,
    get_context_length,
    offers_score_all,
)

SIDE = 24


@cache
def checkerboard() -> Task:
    """Return a task that a model must learn: user u took item i where u + i is even.

    The diagonal item comes last, so that it is held out and must be ranked first. The candidates are the diagonal item
    and every item of the other color.
    """
    users, items = np.nonzero(np.add.outer(np.arange(SIDE), np.arange(SIDE)) % 2 == 0)
    times = np.where(users == items, 10 * SIDE, np.random.default_rng(1).permutation(len(users)) % (10 * SIDE))
    return split(Interactions.from_raw(users, items, times), n_candidates=SIDE // 2)


@cache
def small() -> Task:
    """Return a sparse random task, in which some users and some items have one interaction only."""
    rng = np.random.default_rng(3)
    pairs = np.unique(np.column_stack([rng.integers(30, size=220), rng.zipf(1.6, size=220) % 60]), axis=0)
    pairs = np.concatenate([pairs, [[30, 0], [31, 60], [30, 61], [32, 1]]])  # users 31 and 32, items 60 and 61
    return split(Interactions.from_raw(pairs[:, 0], pairs[:, 1], rng.permutation(len(pairs))), n_candidates=20)


@cache
def baskets() -> Task:
    """Create a task whose users take some items again in another basket."""
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(12), 12)
    items = np.concatenate([rng.choice(20, size=4, replace=False) for _ in range(36)])
    return split(Interactions.from_raw(users, items, baskets=np.repeat(np.arange(36), 4)), n_candidates=3)


class RecommenderBehavior:
    """Inherit this class and write `make`; its settings must learn the checkerboard in seconds."""

    def make(self) -> Recommender:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls) -> Recommender:
        recommender = cls().make()
        recommender.fit(small().training)
        return recommender

    def test_the_model_learns_a_checkerboard(self) -> None:
        recommender = self.make()
        recommender.fit(checkerboard().training)
        assert rank(recommender, checkerboard().test).hit(1).mean() >= 0.9

    def test_scores_have_a_row_an_instance_and_a_column_a_candidate(self, fitted: Recommender) -> None:
        users, contexts, candidates = _inputs(fitted)
        scores = fitted.score(users, contexts, candidates)
        assert scores.shape == candidates.shape
        assert np.issubdtype(scores.dtype, np.floating)
        assert np.isfinite(scores).all()

    def test_scores_do_not_depend_on_the_order_of_candidates(self, fitted: Recommender) -> None:
        users, contexts, candidates = _inputs(fitted)
        scores = fitted.score(users, contexts, candidates)
        order = np.random.default_rng(0).permutation(candidates.shape[1])
        shuffled = fitted.score(users, contexts, candidates[:, order])
        np.testing.assert_allclose(shuffled, scores[:, order], rtol=1e-5, atol=1e-5)

    def test_scores_do_not_depend_on_how_instances_are_batched(self, fitted: Recommender) -> None:
        users, contexts, candidates = _inputs(fitted)
        together = fitted.score(users, contexts, candidates)
        alone = [fitted.score(users[[n]], contexts[[n]], candidates[[n]]) for n in range(len(users))]
        np.testing.assert_allclose(np.concatenate(alone), together, rtol=1e-5, atol=1e-5)
        pairs = [fitted.score(users, contexts, candidates[:, [c]]) for c in range(candidates.shape[1])]
        np.testing.assert_allclose(np.concatenate(pairs, axis=1), together, rtol=1e-5, atol=1e-5)

    def test_all_items_get_the_scores_and_ranks_that_they_get_as_candidates(self, fitted: Recommender) -> None:
        if not offers_score_all(fitted):
            pytest.skip("without score_all")
        (users, contexts, _), task = _inputs(fitted), small()
        contexts[0] = task.training.n_items  # an empty one
        every_item = np.tile(np.arange(task.training.n_items), (len(users), 1))
        scores, expected = fitted.score_all(users, contexts), fitted.score(users, contexts, every_item)  # type: ignore[attr-defined]
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
        ranks = rank_among_all(fitted, task.test, task.seen)
        without = rank_among_all(_WithoutScoreAll(fitted), task.test, task.seen)
        near = _count_near(fitted, task)  # the two functions round differently, so these may change places
        for values, others in ((ranks.above, without.above), (ranks.tied, without.tied)):
            assert (np.abs(values.astype(int) - others) <= near).all()

    def test_scoring_twice_gives_the_same_bits(self, fitted: Recommender) -> None:
        inputs = _inputs(fitted)
        np.testing.assert_array_equal(fitted.score(*inputs), fitted.score(*inputs))

    def test_fitting_twice_gives_the_same_bits(self, fitted: Recommender) -> None:
        again = self.make()
        again.fit(small().training)
        np.testing.assert_array_equal(again.score(*_inputs(again)), fitted.score(*_inputs(fitted)))

    def test_neither_fit_nor_score_writes_to_what_it_gets(self) -> None:
        before, recommender = compute_checksums(small()), self.make()
        recommender.fit(small().training)
        inputs = [array.copy() for array in _inputs(recommender)]
        recommender.score(*inputs)
        check_unchanged(recommender, small(), before)
        for array, expected in zip(inputs, _inputs(recommender), strict=True):
            np.testing.assert_array_equal(array, expected)

    def test_an_empty_context_scores_finitely(self, fitted: Recommender) -> None:
        users, contexts, candidates = _inputs(fitted)
        assert np.isfinite(fitted.score(users, np.full_like(contexts, small().training.n_items), candidates)).all()

    def test_users_and_items_with_one_interaction_score_finitely(self, fitted: Recommender) -> None:
        training = small().training
        user_counts, item_counts = np.diff(training.matrix.indptr), np.bincount(training.matrix.indices)
        assert user_counts.min() == 1
        assert (item_counts == 1).any()
        users = np.flatnonzero(user_counts == 1)
        contexts = np.full((len(users), get_context_length(fitted)), training.n_items)
        every_item = np.tile(np.arange(training.n_items), (len(users), 1))
        assert np.isfinite(fitted.score(users, contexts, every_item)).all()


def _count_near(recommender: Recommender, task: Task) -> np.ndarray:
    """Count the other items whose scores equal the target's up to rounding."""
    test, counts = task.test, np.zeros(len(task.test.targets), int)
    for rows, scores in score_all_items(recommender, test.users, test.contexts, task.training.n_items):
        gaps = np.abs(scores - np.take_along_axis(scores, test.targets[rows][:, None], axis=1))
        counts[rows] = (gaps <= 1e-5).sum(axis=1) - 1
    return counts


class _WithoutScoreAll:
    """Offer a recommender's `score` alone."""

    def __init__(self, recommender: Recommender) -> None:
        self.score, self.context_length = recommender.score, get_context_length(recommender)

    def fit(self, training: Training) -> None:
        raise AssertionError("ranking does not fit")


def _inputs(recommender: Recommender) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    test = small().test
    return test.users, test.contexts.last_n(get_context_length(recommender)), test.candidates
