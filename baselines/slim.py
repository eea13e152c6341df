"""SLIM: sparse linear methods (Ning and Karypis, ICDM 2011)."""

from __future__ import annotations

import fastslim
import numpy as np
from numpy.typing import NDArray

from sdmr.baselines.item_item import sums_over_history
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training


class SLIM:
    """score_j = Σ W[i, j] over the user's training items i. Each column w of W, that of item j, has its own problem,

        ½ ‖x_j − X w‖² + λ Σ_i w_i + (β/2) ‖w‖²,  w ≥ 0, w_j = 0,

    with X the training matrix (users × items) and x_j its column j: a convex one, solved by coordinate descent until
    no weight moves by `tolerance`.

    Departures from the source: none in the objective, but the default `tolerance` stops at weights some 0.002 from the
    optimum, which ranks the same in half the time. All items may be neighbours of one; the source's faster variant
    (fsSLIM) looks at the nearest only.
    """

    context_length = 0

    def __init__(self, l1: float = 1.0, l2: float = 100.0, tolerance: float = 1e-3) -> None:
        """`l1`: λ > 0. `l2`: β ≥ 0. `tolerance`: of a weight, which is of the order of 0.01 to 1."""
        self.l1, self.l2, self.tolerance = l1, l2, tolerance

    def fit(self, training: Training) -> None:
        self.matrix = training.matrix
        weights = fastslim.fit(self.matrix, self.l1, self.l2, tol=self.tolerance)  # W, [n_items, n_items], sparse
        self.similarity = weights.T.tocsr()  # a row for each candidate

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.float64]:
        return sums_over_history(self.matrix[users], self.similarity, candidates)
