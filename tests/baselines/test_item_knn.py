from math import log, sqrt

import numpy as np
import pytest

from sdmr.baselines.item_knn import ItemKNN
from tests.behavior import RecommenderBehavior, small

WEIGHTINGS = ["cosine", "bm25"]
NEIGHBORS = 5


def fitted(weighting: str, neighbors: int = NEIGHBORS) -> ItemKNN:
    recommender = ItemKNN(neighbors, weighting)  # type: ignore[arg-type]
    recommender.fit(small().training)
    return recommender


def every_similarity(weighting: str) -> np.ndarray:
    """Compute [n_items, n_items] from the equations with loops, the diagonal zero."""
    taken = small().training.matrix.toarray()
    n_users, n_items = taken.shape
    weight = np.zeros_like(taken, dtype=np.float64)
    for u, j in zip(*np.nonzero(taken), strict=True):
        n_j, n_u = taken[:, j].sum(), taken[u].sum()
        if weighting == "cosine":
            weight[u, j] = 1 / sqrt(n_j)
        else:
            k1, b, mean = 1.2, 0.75, taken.sum() / n_items
            weight[u, j] = log(n_items / (1 + n_u)) * (k1 + 1) / (k1 * (1 - b + b * n_j / mean) + 1)
    similarity = np.zeros((n_items, n_items))
    for j in range(n_items):
        for i in range(n_items):
            if i != j:
                similarity[j, i] = sum(weight[u, j] * weight[u, i] for u in range(n_users))
    return similarity


class TestCosine(RecommenderBehavior):
    def make(self) -> ItemKNN:
        return ItemKNN(NEIGHBORS, "cosine")


class TestBM25(RecommenderBehavior):
    def make(self) -> ItemKNN:
        return ItemKNN(NEIGHBORS, "bm25")


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_each_candidate_keeps_its_nearest_neighbors(weighting: str) -> None:
    kept, every = fitted(weighting).similarity.toarray(), every_similarity(weighting)
    for j in range(len(every)):
        # Which of several equally near neighbors is kept is arbitrary, so that rows are compared by value.
        np.testing.assert_allclose(np.sort(kept[j])[-NEIGHBORS:], np.sort(every[j])[-NEIGHBORS:], rtol=1e-6)
        np.testing.assert_allclose(kept[j][kept[j] > 0], every[j][kept[j] > 0], rtol=1e-6)
        assert (kept[j] > 0).sum() <= NEIGHBORS


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_no_item_is_its_neighbor(weighting: str) -> None:
    similarity = fitted(weighting).similarity
    assert (similarity.diagonal() == 0).all()
    assert (np.diff(similarity.indptr) == NEIGHBORS).any()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_score_is_the_sum_over_the_history_of_the_candidates_similarities(weighting: str) -> None:
    recommender, training, test = fitted(weighting), small().training, small().test
    similarity, taken = recommender.similarity.toarray(), training.matrix.toarray()
    assert not np.allclose(similarity, similarity.T)  # or the transpose would pass
    scores = recommender.score(test.users, test.contexts.last_n(0), test.candidates)
    for row, user in enumerate(test.users):
        for column, j in enumerate(test.candidates[row]):
            expected = sum(similarity[j, i] for i in range(training.n_items) if taken[user, i])
            assert scores[row, column] == pytest.approx(expected, rel=1e-6)


def test_items_that_tie_with_themselves_still_have_exactly_k_neighbors() -> None:
    # Items of one and the same single user all have cosine 1, an item with itself included.
    similarity = fitted("cosine", 1).similarity
    assert np.diff(similarity.indptr).max() == 1


@pytest.mark.parametrize(
    ("neighbors", "weighting", "message"),
    [
        (0, "cosine", "ItemKNN: neighbors must be ≥ 1, not 0"),
        (5, "tfidf", "ItemKNN: weighting must be 'cosine' or 'bm25', not 'tfidf'"),
    ],
)
def test_unknown_settings_are_an_error(neighbors: int, weighting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ItemKNN(neighbors, weighting)  # type: ignore[arg-type]
