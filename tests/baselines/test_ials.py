from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from sdmr.baselines.ials import IALS
from sdmr.datasets.task import Training
from tests.behavior import RecommenderBehavior, baskets, small

STD = 0.5
SETTINGS = [(0.1, 0.03, 1.0), (1.0, 0.1, 0.5), (0.01, 0.05, 0.0)]  # α₀, λ, ν


def fitted(setting: tuple[float, float, float], sweeps: int, steps: int = 40, training: Training | None = None) -> IALS:
    recommender = IALS(5, *setting, sweeps, steps, STD)
    recommender.fit(training or small().training)
    return recommender


def compute_objective(recommender: IALS, x: NDArray) -> float:
    """Compute the objective from its definition over all pairs. The factors are those of `implicit`."""
    alpha, scale = recommender.unobserved_weight, (1 + recommender.unobserved_weight) ** 0.5
    users, items = recommender.users / scale, recommender.items / scale
    total = 0.0
    for u, w in enumerate(users):
        for i, h in enumerate(items):
            total += alpha * (w @ h) ** 2 + x[u, i] * (w @ h - 1) ** 2
    for factors, counts, n in ((users, x.sum(axis=1), len(items)), (items, x.sum(axis=0), len(users))):
        for factor, count in zip(factors, counts, strict=True):
            weight = (count + alpha * n) ** recommender.frequency_exponent
            total += recommender.regularization * weight * (factor @ factor)
    return total


def solve_naively(x: NDArray, others: NDArray, alpha: float, regularization: float, exponent: float) -> NDArray:
    """Solve the system of each row, one after the other."""
    rows = []
    for row in x:
        matrix = alpha * others.T @ others
        matrix += regularization * (row.sum() + alpha * len(others)) ** exponent * np.eye(others.shape[1])
        for factor in others[row > 0]:
            matrix += np.outer(factor, factor)
        rows.append(np.linalg.solve(matrix, others[row > 0].sum(axis=0)))
    return np.array(rows)


class TestIALS(RecommenderBehavior):
    def make(self) -> IALS:
        return IALS(dim=4, sweeps=5)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("training", [small().training, baskets().training])
def test_sweeps_give_the_scores_of_a_naive_solver(training: Training, setting: tuple[float, float, float]) -> None:
    training = replace(training, seed=7)
    x, scale = training.matrix.toarray().astype(np.float64), 1 + setting[0]
    n = training.n_users
    factors = np.random.default_rng(training.seed).normal(0, STD / 5**0.5, (n + training.n_items, 5))
    items = factors[n:]
    for _ in range(3):
        users = solve_naively(x, items, *setting)
        items = solve_naively(x.T, users, *setting)
    recommender = fitted(setting, 3, training=training)
    np.testing.assert_allclose(recommender.users @ recommender.items.T / scale, users @ items.T, atol=1e-4)


@pytest.mark.parametrize("setting", SETTINGS)
def test_sweeps_of_few_steps_lower_the_objective(setting: tuple[float, float, float]) -> None:
    x = small().training.matrix.toarray()
    values = [compute_objective(fitted(setting, sweeps, 3), x) for sweeps in (1, 2, 4, 8)]
    assert all(one > other for one, other in pairwise(values))
    assert compute_objective(fitted(setting, 1, 1), x) > compute_objective(fitted(setting, 1, 3), x)


def test_the_score_is_the_inner_product_of_the_factors() -> None:
    recommender, test = fitted(SETTINGS[0], 2), small().test
    scores = recommender.score(test.users, test.contexts.last_n(0), test.candidates)
    for row, user in enumerate(test.users):
        for column, item in enumerate(test.candidates[row]):
            assert scores[row, column] == pytest.approx(recommender.users[user] @ recommender.items[item], abs=1e-6)
