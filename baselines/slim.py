"""SLIM: sparse linear methods (Ning and Karypis, ICDM 2011)."""

import fastslim
import numpy as np
from numpy.typing import NDArray

from sdmr.baselines._neighbors import sum_over_history, sum_over_history_for_all
from sdmr.datasets.bounds import NonNegativeFloat, PositiveFloat, check_arguments
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training


class SLIM:
    """Score an item by learned sparse weights from the user's training items.

    score_j = Σ W[i, j] over the user's training items i. Each column w of W, that of item j, solves its own problem,

        ½ ‖x_j − X w‖² + λ Σ_i w_i + (β/2) ‖w‖²,  w ≥ 0, w_j = 0,

    with X the training matrix (users × items) and x_j its column j. The problem is convex; coordinate descent solves
    it until no weight moves by `tolerance`.

    Departures from the source: none in the objective. The default `tolerance` stops at weights some 0.002 from the
    optimum, which ranks the same in half the time. Any item may get a weight; the source's faster variant (fsSLIM)
    considers the nearest only.
    """

    context_length = 0

    @check_arguments
    def __init__(self, l1: PositiveFloat = 1.0, l2: NonNegativeFloat = 100.0, tolerance: PositiveFloat = 1e-3) -> None:
        """Set the options.

        Args:
            l1: λ, the weight of the absolute values of W.
            l2: β, the weight of the squares of W.
            tolerance: The largest move of a weight at the end; weights are of the order of 0.01 to 1.
        """
        self.l1, self.l2, self.tolerance = l1, l2, tolerance

    def fit(self, training: Training) -> None:
        self.matrix = training.matrix
        weights = fastslim.fit(self.matrix, self.l1, self.l2, tol=self.tolerance)  # W, [n_items, n_items], sparse
        self.similarity = weights.T.tocsr()  # a row for each candidate

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.float64]:
        return sum_over_history(self.matrix[users], self.similarity, candidates)

    def score_all(self, users: IntArray, contexts: IntArray) -> NDArray[np.float64]:
        return sum_over_history_for_all(self.matrix[users], self.similarity)
