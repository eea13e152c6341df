"""EASE: embarrassingly shallow autoencoder (Steck, WWW 2019)."""

from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs

from sdmr.datasets.bounds import PositiveFloat, check_arguments
from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training

_BLOCK = 1024  # rows of a matrix that are copied at a time


class EASE:
    """Score an item by learned weights from the user's training items.

    score_j = Σ B[i, j] over the user's training items i. B [n_items, n_items] minimizes

        ‖X − X B‖² + λ ‖B‖²,  B_jj = 0,

    with X the training matrix (users × items). The solution is closed: with P = (XᵀX + λI)⁻¹,

        B[i, j] = −P[i, j] / P[j, j] for i ≠ j.

    With baskets, as for SLIM and Item-KNN, X and a user's items are those of all baskets of the user.

    Departures from the source: none. P is computed in place, by Cholesky's factorization. The memory is that of one
    matrix [n_items, n_items]: for 25,000 items 4.7 GiB, and half of it in single precision.
    """

    context_length = 0

    @check_arguments
    def __init__(self, l2: PositiveFloat = 300.0, precision: Literal["double", "single"] = "double") -> None:
        """Set the options.

        Args:
            l2: λ, the weight of the squares of B.
            precision: That of B. Single precision takes half the memory and time; a small λ needs double.
        """
        self.l2, self.precision = l2, precision

    def fit(self, training: Training) -> None:
        n, self.matrix, item_users = training.n_items, training.matrix, training.matrix.T.tocsr()
        weights = np.empty((n, n), np.float64 if self.precision == "double" else np.float32)
        for start in range(0, n, _BLOCK):
            weights[start : start + _BLOCK] = (item_users[start : start + _BLOCK] @ self.matrix).toarray()
        np.einsum("ii->i", weights)[:] += self.l2
        self._invert(weights)
        weights /= -weights.diagonal()
        np.fill_diagonal(weights, 0)
        self.weights = weights  # B

    def score(self, users: IntArray, contexts: IntArray, candidates: IntArray) -> NDArray[np.floating]:
        histories = self.matrix[users]
        return _sum_rows(histories.indptr, histories.indices, self.weights, candidates)

    def score_all(self, users: IntArray, contexts: IntArray) -> NDArray[np.floating]:
        return self.matrix[users] @ self.weights

    def _invert(self, matrix: NDArray[np.floating]) -> None:
        """Invert a symmetric positive matrix in its memory."""
        factorize, invert = get_lapack_funcs(("potrf", "potri"), (matrix,))
        factor, is_not_positive = factorize(matrix.T, lower=True, overwrite_a=True)  # .T: in the order of LAPACK
        if is_not_positive:
            raise DataError(
                f"EASE: l2={self.l2:g} is too small for {self.precision} precision on these data; expected a larger l2"
                f"{'' if self.precision == 'double' else ', or precision=double'}"
            )
        invert(factor, lower=True, overwrite_c=True)  # the upper triangle of `matrix`; below it are zeros
        for start in range(0, len(matrix), _BLOCK):
            rows = slice(start, start + _BLOCK)
            matrix[start:, rows] += np.triu(matrix[rows, start:], 1).T


@numba.njit(nogil=True, cache=True)  # terms by ascending i, so that other candidates do not change the bits of a sum
def _sum_rows(offsets, items, weights, candidates):  # type: ignore[no-untyped-def]
    sums = np.zeros(candidates.shape, weights.dtype)
    for b in range(len(candidates)):
        for k in range(offsets[b], offsets[b + 1]):
            row = weights[items[k]]
            for c in range(candidates.shape[1]):
                sums[b, c] += row[candidates[b, c]]
    return sums
