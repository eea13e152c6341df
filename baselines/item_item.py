"""What the neighbourhood models share: scores from a history and a similarity of items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import IntArray


def sums_over_history(histories: csr_matrix, similarity: csr_matrix, candidates: IntArray) -> NDArray[np.float64]:
    """[B, C] Σ S[j, i] over the items i of each history, of its candidates j.

    `histories` [B, n_items], binary; `similarity` S [n_items, n_items], a row for each candidate; `candidates` [B, C].
    Only the rows of these candidates are read: few of a large catalogue, or of a block of a full ranking.
    """
    distinct, place = np.unique(candidates, return_inverse=True)
    of_distinct = (histories @ similarity[distinct].T).toarray()
    return np.take_along_axis(of_distinct, place.reshape(candidates.shape), axis=1)
