"""Score candidates by their similarity to the items of a history, for Item-KNN and SLIM."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import IntArray


def sum_over_history(histories: csr_matrix, similarity: csr_matrix, candidates: IntArray) -> NDArray[np.float64]:
    """Sum S[j, i] over the items i of each history, for its candidates j.

    Only the candidates' rows are read: these are few of a large catalog, or of a block of a full ranking.

    Args:
        histories: [B, n_items], binary.
        similarity: S [n_items, n_items], with a row for each candidate.
        candidates: [B, C].

    Returns:
        [B, C].
    """
    distinct, index = np.unique(candidates, return_inverse=True)
    sums = (histories @ similarity[distinct].T).toarray()  # [B, n_distinct]
    return np.take_along_axis(sums, index.reshape(candidates.shape), axis=1)
