"""Item-KNN: item-based collaborative filtering (Sarwar et al., WWW 2001)."""

from typing import Literal

import numpy as np
from implicit.nearest_neighbours import all_pairs_knn, bm25_weight, normalize
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, spmatrix, vstack

from sdmr.baselines._neighbors import sum_over_history, sum_over_history_for_all
from sdmr.datasets.bounds import NonNegativeFloat, PositiveInt, check_arguments
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training

_BLOCK = 1024  # candidates whose similarities are computed at a time


class ItemKNN:
    """Score an item by its similarity to the user's training items.

    score_j = Σ S[j, i] over the user's training items i. With n_i users of item i and n_ij users of both:

    `weighting: cosine`  S[j, i] = n_ij / (n_i^a n_j^b); a = b = ½ is the cosine of two columns of the training matrix
    `weighting: bm25`    S[j, i] = n_i^(½ − a) n_j^(½ − b) Σ over users w_uj w_ui,
                         w_uj = idf_u (k1 + 1) / (k1 (1 − b' + b' n_j / mean n) + 1),
                         idf_u = log(N / (1 + n_u)), N items in all, n_u of them of user u: users with few items
                         weigh more; k1 = 1.2, b' = 0.75

    With shrinkage h, S[j, i] is multiplied by n_ij / (n_ij + h).

    Each row of S keeps the K nearest neighbors of the *candidate* j, or all of them, but never j itself. A recommender
    that fetches neighbors at serving time keeps those of each history item i instead. That ranks worse: cosine on
    ML-100k has hit@10/NDCG@10 .58/.32, not .61/.35.

    Departures from the source: interactions are binary. Its adjusted cosine and its division by Σ |S[j, i]| predict a
    rating, so they do not apply. Exponents, shrinkage and BM25 (Robertson and Walker 1994) are not in it.
    """

    context_length = 0

    @check_arguments
    def __init__(
        self,
        neighbors: PositiveInt | Literal["all"] = 50,
        weighting: Literal["cosine", "bm25"] = "bm25",
        history_exponent: NonNegativeFloat = 0.5,
        candidate_exponent: NonNegativeFloat = 0.5,
        shrinkage: NonNegativeFloat = 0.0,
    ) -> None:
        """Set the options.

        Args:
            neighbors: K, the number of neighbors kept for each candidate, or all.
            weighting: The weights of the training matrix before the inner product.
            history_exponent: a, how much less a popular item of the history counts.
            candidate_exponent: b, how much less a popular candidate counts.
            shrinkage: h, which lowers the similarity of items with few users in common.
        """
        self.neighbors, self.weighting, self.shrinkage = neighbors, weighting, shrinkage
        self.history_exponent, self.candidate_exponent = history_exponent, candidate_exponent

    def fit(self, training: Training) -> None:
        self.matrix = training.matrix
        item_users = self.matrix.T.tocsr()
        weighted = normalize(item_users) if self.weighting == "cosine" else bm25_weight(item_users, K1=1.2, B=0.75)
        exponents = self.history_exponent, self.candidate_exponent
        if self.neighbors != "all" and exponents == (0.5, 0.5) and self.shrinkage == 0:
            # implicit counts an item as its own neighbor, often but not always the nearest: fetch one more.
            nearest = all_pairs_knn(weighted.T.tocsr(), self.neighbors + 1, show_progress=False)
            self.similarity = self._select_neighbors(nearest, 0)  # [n_items, n_items]
            return
        counts = np.maximum(item_users.getnnz(axis=1), 1.0)
        history = (diags(counts ** (0.5 - exponents[0])) @ weighted).T.tocsr()  # [n_users, n_items]
        candidates = diags(counts ** (0.5 - exponents[1])) @ weighted  # [n_items, n_users]
        blocks = []
        for start in range(0, len(counts), _BLOCK):
            rows = slice(start, start + _BLOCK)
            similarity = candidates[rows] @ history
            if self.shrinkage:
                common = item_users[rows] @ self.matrix  # n_ij
                common.data = common.data / (common.data + self.shrinkage)
                similarity = similarity.multiply(common)
            blocks.append(self._select_neighbors(similarity, start))
        self.similarity = vstack(blocks, format="csr")

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.float64]:
        return sum_over_history(self.matrix[users], self.similarity, candidates)

    def score_all(self, users: IntArray, contexts: IntArray) -> NDArray[np.float64]:
        return sum_over_history_for_all(self.matrix[users], self.similarity)

    def _select_neighbors(self, similarity: spmatrix, start: int) -> csr_matrix:
        """Keep the K nearest neighbors of each candidate, without itself.

        Row 0 of `similarity` [n, n_items] is that of candidate `start`.
        """
        entries = similarity.tocoo()
        others = (entries.row + start != entries.col) & (entries.data != 0)
        rows, columns, values = entries.row[others], entries.col[others], entries.data[others]
        if self.neighbors != "all":
            order = np.lexsort((columns, -values, rows))
            rows, columns, values = rows[order], columns[order], values[order]
            position = np.arange(len(rows)) - np.searchsorted(rows, rows)  # within its row
            kept = position < self.neighbors
            rows, columns, values = rows[kept], columns[kept], values[kept]
        return csr_matrix((values, (rows, columns)), shape=entries.shape)
