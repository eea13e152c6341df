import tracemalloc

import numpy as np
import pytest

from sdmr.baselines import ease
from sdmr.baselines.ease import EASE
from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.split import split
from sdmr.datasets.task import Training
from tests.behavior import RecommenderBehavior, baskets, checkerboard, small


def fitted(training: Training, l2: float = 2.0, precision: str = "double") -> EASE:
    recommender = EASE(l2, precision)  # type: ignore[arg-type]
    recommender.fit(training)
    return recommender


class TestEASE(RecommenderBehavior):
    def make(self) -> EASE:
        return EASE(l2=1.0)


class TestSinglePrecision(RecommenderBehavior):
    def make(self) -> EASE:
        return EASE(l2=1.0, precision="single")


@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("l2", [0.5, 20.0])
@pytest.mark.parametrize("training", [small().training, checkerboard().training, baskets().training])
def test_columns_are_those_of_a_ridge_regression_on_the_other_items(
    training: Training, l2: float, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease, "_BLOCK", 7)
    x = training.matrix.toarray().astype(np.float64)
    weights = fitted(training, l2, precision).weights
    assert weights.dtype == (np.float64 if precision == "double" else np.float32)
    for j in range(training.n_items):
        others = x.copy()
        others[:, j] = 0
        expected = np.linalg.solve(others.T @ others + l2 * np.eye(len(weights)), others.T @ x[:, j])
        np.testing.assert_allclose(weights[:, j], expected, atol=1e-12 if precision == "double" else 1e-5)


def test_score_is_the_sum_of_the_weights_from_the_history_to_the_candidate() -> None:
    training, test = small().training, small().test
    recommender = fitted(training)
    weights, taken = recommender.weights, training.matrix.toarray()
    assert not np.allclose(weights, weights.T)  # or the transpose would pass
    scores = recommender.score(test.users, test.contexts.last_n(0), test.candidates)
    for row, user in enumerate(test.users):
        for column, j in enumerate(test.candidates[row]):
            expected = sum(weights[i, j] for i in range(training.n_items) if taken[user, i])
            assert scores[row, column] == pytest.approx(expected, rel=1e-6)


def test_fit_needs_the_memory_of_one_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "_BLOCK", 16)
    users, items = np.repeat(np.arange(60), 20), np.concatenate([np.arange(1000), np.arange(200) * 5])
    training = split(Interactions.from_raw(users, items), n_candidates=5).training
    recommender, size = EASE(), training.n_items**2 * 8
    assert training.matrix.nnz  # which it does not own
    tracemalloc.start()
    recommender.fit(training)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size <= peak < 1.2 * size


@pytest.mark.parametrize(("precision", "hint"), [("single", "larger l2, or precision=double"), ("double", "larger l2")])
def test_a_system_that_is_singular_in_its_precision_is_an_error_that_names_what_helps(
    precision: str, hint: str
) -> None:
    users, items = np.repeat(np.arange(6), 6), np.tile(np.arange(6), 6)  # all columns are much alike
    training = split(Interactions.from_raw(users, items + 6 * (users > 2)), n_candidates=2).training
    with pytest.raises(DataError, match=f"^EASE: l2=1e-30 is too small for {precision} precision .*{hint}$"):
        fitted(training, 1e-30, precision)
