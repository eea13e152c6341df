from math import log, sqrt

import numpy as np
import pytest

from sdmr.baselines import item_knn
from sdmr.baselines.item_knn import ItemKNN
from tests.behavior import RecommenderBehavior, small

WEIGHTINGS = ["cosine", "bm25"]
NEIGHBORS = 5


def fitted(weighting: str, neighbors: int = NEIGHBORS) -> ItemKNN:
    recommender = ItemKNN(neighbors, weighting)  # type: ignore[arg-type]
    recommender.fit(small().training)
    return recommender


def every_similarity(weighting: str, a: float = 0.5, b: float = 0.5, shrinkage: float = 0.0) -> np.ndarray:
    """Compute [n_items, n_items] from the equations with loops, the diagonal zero."""
    taken = small().training.matrix.toarray()
    n_users, n_items = taken.shape
    weight = np.zeros_like(taken, dtype=np.float64)
    for u, j in zip(*np.nonzero(taken), strict=True):
        n_j, n_u = taken[:, j].sum(), taken[u].sum()
        if weighting == "cosine":
            weight[u, j] = 1 / sqrt(n_j)
        else:
            k1, length, mean = 1.2, 0.75, taken.sum() / n_items
            weight[u, j] = log(n_items / (1 + n_u)) * (k1 + 1) / (k1 * (1 - length + length * n_j / mean) + 1)
    similarity = np.zeros((n_items, n_items))
    for j in range(n_items):
        for i in range(n_items):
            n_ij = sum(taken[:, j] * taken[:, i])
            if i != j and n_ij:
                similarity[j, i] = sum(weight[u, j] * weight[u, i] for u in range(n_users))
                similarity[j, i] *= sum(taken[:, i]) ** (0.5 - a) * sum(taken[:, j]) ** (0.5 - b)
                similarity[j, i] *= n_ij / (n_ij + shrinkage)
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
@pytest.mark.parametrize(("a", "b", "shrinkage"), [(0.5, 0.5, 0.0), (0.5, 0.25, 0.0), (0.3, 0.8, 4.0)])
def test_all_neighbors_have_the_similarity_of_the_equations(
    weighting: str, a: float, b: float, shrinkage: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_knn, "_BLOCK", 7)
    every = every_similarity(weighting, a, b, shrinkage)
    recommender = ItemKNN("all", weighting, a, b, shrinkage)  # type: ignore[arg-type]
    recommender.fit(small().training)
    np.testing.assert_allclose(recommender.similarity.toarray(), every, rtol=1e-6)
    truncated = ItemKNN(NEIGHBORS, weighting, a, b, shrinkage)  # type: ignore[arg-type]
    truncated.fit(small().training)
    nearest = [np.sort(matrix)[:, -NEIGHBORS:] for matrix in (truncated.similarity.toarray(), every)]
    np.testing.assert_allclose(*nearest, rtol=1e-6)


def test_cosine_divides_common_users_by_powers_of_the_users_of_each() -> None:
    taken = small().training.matrix.toarray()
    n_ij, n = taken.T @ taken, taken.sum(axis=0)
    i, j = np.argwhere(np.triu(n_ij, 1) * (n[:, None] != n))[0]
    assert every_similarity("cosine", 0.5, 0.25)[j, i] == pytest.approx(n_ij[i, j] / (n[i] ** 0.5 * n[j] ** 0.25))


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
        (0, "cosine", "ItemKNN: neighbors must be ≥ 1 or 'all', not 0"),
        (5, "tfidf", "ItemKNN: weighting must be 'cosine' or 'bm25', not 'tfidf'"),
    ],
)
def test_unknown_settings_are_an_error(neighbors: int, weighting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ItemKNN(neighbors, weighting)  # type: ignore[arg-type]
