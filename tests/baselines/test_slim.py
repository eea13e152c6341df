import numpy as np
import pytest
from sklearn.linear_model import ElasticNet

from sdmr.baselines.slim import SLIM
from tests.behavior import RecommenderBehavior, checkerboard, small


class TestSLIM(RecommenderBehavior):
    def make(self) -> SLIM:
        return SLIM(l1=0.1, l2=1.0)


@pytest.mark.parametrize(("l1", "l2"), [(0.5, 1.0), (0.1, 10.0), (2.0, 0.5)])
def test_columns_are_those_of_an_elastic_net(l1: float, l2: float) -> None:
    training = checkerboard().training
    x = training.matrix.toarray().astype(np.float64)
    recommender = SLIM(l1, l2, tolerance=1e-9)
    recommender.fit(training)
    weights = recommender.similarity.toarray().T
    assert (weights.diagonal() == 0).all()
    assert (weights > 0).any()
    n_users, n_items = x.shape
    for j in range(n_items):
        others = x.copy()
        others[:, j] = 0
        alpha, ratio = (l1 + l2) / n_users, l1 / (l1 + l2)
        net = ElasticNet(alpha=alpha, l1_ratio=ratio, positive=True, fit_intercept=False, tol=1e-12, max_iter=100_000)
        np.testing.assert_allclose(weights[:, j], net.fit(others, x[:, j]).coef_, atol=1e-6)


def test_score_is_the_sum_of_the_weights_from_the_history_to_the_candidate() -> None:
    recommender, training, test = SLIM(l1=0.1, l2=1.0), small().training, small().test
    recommender.fit(training)
    weights, taken = recommender.similarity.toarray().T, training.matrix.toarray()
    assert not np.allclose(weights, weights.T)  # or the transpose would pass
    scores = recommender.score(test.users, test.contexts.last_n(0), test.candidates)
    for row, user in enumerate(test.users):
        for column, j in enumerate(test.candidates[row]):
            expected = sum(weights[i, j] for i in range(training.n_items) if taken[user, i])
            assert scores[row, column] == pytest.approx(expected, rel=1e-6)
