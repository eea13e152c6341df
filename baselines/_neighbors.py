"""Score candidates by their similarity to the items of a history."""

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from sdmr.datasets.interactions import IntArray

_SHARING = 8  # scores of a distinct candidate, from which a product of matrices is faster than a loop


def sum_over_history(histories: csr_matrix, similarity: csr_matrix, candidates: IntArray) -> NDArray[np.float64]:
    """Sum S[j, i] over the weighted items i of each history.

    Only the candidates' rows are read: these are few of a large catalog, or of a block of a full ranking. Terms are
    added by ascending i, so that the bits of a sum do not depend on the other candidates.

    Args:
        histories: [B, n_items], the weights; 1 for each item of a plain history.
        similarity: S [n_items, n_items], with a row for each candidate.
        candidates: [B, C].

    Returns:
        [B, C].
    """
    distinct, index = np.unique(candidates, return_inverse=True)
    if candidates.size < _SHARING * len(distinct):
        weights = histories.indptr, histories.indices, histories.data.astype(similarity.dtype)
        rows = similarity.indptr, similarity.indices, similarity.data
        return _sum_by_candidate(*weights, *rows, candidates)
    sums = (histories @ similarity[distinct].T).toarray()  # [B, n_distinct]
    return np.take_along_axis(sums, index.reshape(candidates.shape), axis=1)


def sum_over_history_for_all(histories: csr_matrix, similarity: csr_matrix) -> NDArray[np.float64]:
    """Return the sums of `sum_over_history` for all items, to the bit: [B, n_items]."""
    sums: NDArray[np.float64] = (similarity @ histories.T.tocsr()).toarray().T  # terms by ascending i, here too
    return sums


@numba.njit(nogil=True, cache=True)  # without the reordering of sums that `kernels.compiled` allows
def _sum_by_candidate(offsets, items, weights, row_offsets, columns, values, candidates):  # type: ignore[no-untyped-def]
    sums, weight_of = np.zeros(candidates.shape, values.dtype), np.zeros(len(row_offsets) - 1, weights.dtype)
    for b in range(len(candidates)):
        for k in range(offsets[b], offsets[b + 1]):
            weight_of[items[k]] = weights[k]
        for c in range(candidates.shape[1]):
            for k in range(row_offsets[candidates[b, c]], row_offsets[candidates[b, c] + 1]):
                if weight_of[columns[k]]:
                    sums[b, c] += weight_of[columns[k]] * values[k]
        weight_of[items[offsets[b] : offsets[b + 1]]] = 0
    return sums
