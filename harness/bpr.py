"""The loss of Bayesian Personalised Ranking; on a CPU one operation, where PyTorch would keep account of ten."""

from __future__ import annotations

from typing import Any, Literal

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bpr(scores: Tensor, negatives: Literal["all", "hardest"]) -> Tensor:
    """−Σ ln σ(x_pos − x_neg), Eq. 21 less its λ: scores [B, 1 + n_negatives], the positive first.

    Over every negative, or over the highest-scored one of each instance (the first of several).
    """
    if scores.device.type != "cpu":
        return _bpr_in_torch(scores, negatives)
    loss: Tensor = _BPR.apply(scores, negatives == "hardest")
    return loss


def _bpr_in_torch(scores: Tensor, negatives: str) -> Tensor:
    """The loop below, in PyTorch's operations, for a GPU."""
    negative = scores[:, 1:] if negatives == "all" else scores[:, 1:].max(dim=1, keepdim=True).values
    return -logsigmoid(scores[:, :1] - negative).sum()


class _BPR(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, only_hardest: bool) -> Tensor:
        loss, of_scores = _loss_and_gradient(scores.detach().contiguous().numpy(), only_hardest)
        ctx.save_for_backward(torch.from_numpy(of_scores))
        return scores.new_tensor(loss)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (of_scores,) = ctx.saved_tensors
        return of_scores * gradient, None


@numba.njit(nogil=True, cache=True)
def _loss_and_gradient(scores, only_hardest):  # type: ignore[no-untyped-def]
    """The loss, and its gradient [B, 1 + n_negatives]."""
    of_scores, loss, one = np.zeros_like(scores), 0.0, scores.dtype.type(1)
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
            of_negative = (one if difference < 0 else small) / (one + small)  # σ(−difference)
            of_scores[b, 0] -= of_negative
            of_scores[b, n] = of_negative
    return loss, of_scores
