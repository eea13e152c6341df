"""Compute the loss of Bayesian Personalized Ranking and its gradient in one loop."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def bpr_loss_and_gradient(scores, only_hardest):  # type: ignore[no-untyped-def]
    """Return the loss and its gradient [B, 1 + n_negatives].

    Args:
        scores: [B, 1 + n_negatives], the positive first.
        only_hardest: Whether only the highest-scored negative of each instance counts (the first of several).
    """
    grad_scores, loss, one = np.zeros_like(scores), 0.0, scores.dtype.type(1)
    for b in range(len(scores)):
        first, last = 1, scores.shape[1]
        if only_hardest:
            for n in range(2, last):
                if scores[b, n] > scores[b, first] or np.isnan(scores[b, n]):
                    first = n
            last = first + 1
        for n in range(first, last):
            difference = scores[b, 0] - scores[b, n]
            small = np.exp(-abs(difference))  # never overflows
            loss += np.log1p(small) - min(difference, 0)
            grad_negative = (one if difference < 0 else small) / (one + small)  # σ(−difference)
            grad_scores[b, 0] -= grad_negative
            grad_scores[b, n] = grad_negative
    return loss, grad_scores
