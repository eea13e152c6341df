from collections import defaultdict

import numpy as np
import pytest

from sdmr.baselines.transitions import TransitionCounts
from sdmr.datasets.task import Task, Training
from tests.behavior import RecommenderBehavior, baskets, checkerboard, small

WINDOW, DECAY, PRIOR, LENGTH = 3, 0.7, 2.5, 4


def list_sequences(training: Training) -> list[list[int]]:
    """List the training items of each user, or basket, in their order."""
    sequences: dict[int, dict[int, int]] = defaultdict(dict)
    contexts = training.instances.contexts
    for start, position, item in zip(contexts.start, contexts.position, training.instances.targets, strict=True):
        sequences[start][position] = item
    return [[items[position] for position in sorted(items)] for items in sequences.values()]


def score_naively(training: Training, has_baskets: bool, context: list[int]) -> np.ndarray:
    """Score every item after context items, the most recent last, from the equations."""
    n, decay = training.n_items, 1.0 if has_baskets else DECAY
    counts, popularity = np.zeros((n, n)), np.zeros(n)
    for sequence in list_sequences(training):
        for p, i in enumerate(sequence):
            popularity[i] += 1
            for q, j in enumerate(sequence):
                if p != q and (has_baskets or abs(p - q) <= WINDOW):
                    counts[i, j] += decay ** (abs(p - q) - 1)
    popularity /= popularity.sum()
    scores = np.zeros(n)
    for k, item in enumerate(reversed(context), start=1):
        row = counts[item] if item < n else np.zeros(n)
        scores += decay ** (k - 1) * (row + PRIOR * popularity) / (row.sum() + PRIOR)
    return scores


class TestTransitionCounts(RecommenderBehavior):
    def make(self) -> TransitionCounts:
        return TransitionCounts()


@pytest.mark.parametrize("task", [small(), checkerboard(), baskets()], ids=["sparse", "checkerboard", "baskets"])
def test_scores_are_those_of_the_equations(task: Task) -> None:
    training, test = task.training, task.test
    recommender = TransitionCounts(LENGTH, WINDOW, DECAY, PRIOR)
    recommender.fit(training)
    contexts = test.contexts.last_n(LENGTH)
    contexts[0], contexts[1, :2] = training.n_items, training.n_items  # an empty one, and a short one
    scores = recommender.score(test.users, contexts, test.candidates)
    for row, context in enumerate(contexts[:20].tolist()):
        expected = score_naively(training, task is baskets(), context)
        np.testing.assert_allclose(scores[row], expected[test.candidates[row]], rtol=1e-6)


def test_without_context_items_are_ordered_by_popularity() -> None:
    recommender, training = TransitionCounts(), small().training
    recommender.fit(training)
    (scores,) = recommender.score_all(np.array([0]), np.full((1, 5), training.n_items))
    counts = np.bincount(training.instances.targets, minlength=training.n_items)
    np.testing.assert_allclose(scores / scores.sum(), counts / counts.sum())
