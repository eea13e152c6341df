"""Item-KNN: item-based collaborative filtering (Sarwar et al., WWW 2001)."""

from typing import Literal

import numpy as np
from implicit.nearest_neighbours import all_pairs_knn, bm25_weight, normalize
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.baselines._neighbors import sum_over_history
from sdmr.datasets.bounds import PositiveInt, check_arguments
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training


class ItemKNN:
    """Score an item by its similarity to the user's training items.

    score_j = Σ S[j, i] over the user's training items i; S is the similarity of the columns of the training matrix.

    Each row of S keeps the K nearest neighbors of the *candidate* j, never j itself. A recommender that fetches
    neighbors at serving time keeps those of each history item i instead. That ranks worse: cosine on ML-100k has
    hit@10/NDCG@10 .58/.32, not .61/.35.

    `weighting: cosine`  S[j, i] = n_ij / √(n_i n_j), n_i users of item i, n_ij users of both
    `weighting: bm25`    S[j, i] = Σ over users w_uj w_ui, w_uj = idf_u (k1 + 1) / (k1 (1 − b + b n_j / mean n) + 1),
                         idf_u = log(N / (1 + n_u)), N items in all, n_u of them of user u: users with few items
                         weigh more; k1 = 1.2, b = 0.75

    Departures from the source: interactions are binary. Its adjusted cosine and its division by Σ |S[j, i]| predict a
    rating, so they do not apply. BM25 (Robertson and Walker 1994) is not in it.
    """

    context_length = 0

    @check_arguments
    def __init__(self, neighbors: PositiveInt = 50, weighting: Literal["cosine", "bm25"] = "bm25") -> None:
        """Set the options.

        Args:
            neighbors: K, the number of neighbors kept for each candidate.
            weighting: The weights of the training matrix before the inner product.
        """
        self.neighbors, self.weighting = neighbors, weighting

    def fit(self, training: Training) -> None:
        self.matrix = training.matrix
        item_users = self.matrix.T
        weighted = normalize(item_users) if self.weighting == "cosine" else bm25_weight(item_users, K1=1.2, B=0.75)
        # implicit counts an item as its own neighbor, often but not always the nearest: fetch one more, then drop it.
        similarity = all_pairs_knn(weighted.T.tocsr(), self.neighbors + 1, show_progress=False).tocoo()
        others = (similarity.row != similarity.col) & (similarity.data != 0)
        self.similarity = _keep_largest_in_row(
            similarity.row[others], similarity.col[others], similarity.data[others], self.neighbors, similarity.shape
        )  # [n_items, n_items]

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.float64]:
        return sum_over_history(self.matrix[users], self.similarity, candidates)


def _keep_largest_in_row(
    rows: IntArray, columns: IntArray, values: NDArray[np.float64], n_kept: int, shape: tuple[int, int]
) -> csr_matrix:
    """Create a matrix from the `n_kept` largest entries of each row.

    `rows`, `columns` and `values` [n] are the entries.
    """
    order = np.lexsort((columns, -values, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    position = np.arange(len(rows)) - np.searchsorted(rows, rows)  # within its row
    kept = position < n_kept
    return csr_matrix((values[kept], (rows[kept], columns[kept])), shape=shape)
