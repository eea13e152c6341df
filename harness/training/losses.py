"""Compute losses; on a CPU one operation, where PyTorch's account would have ten."""

from typing import Any, Literal

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bpr_loss(scores: Tensor, negatives: Literal["all", "hardest"]) -> Tensor:
    """Return −Σ ln σ(x_pos − x_neg), Eq. 21 without its λ term.

    Args:
        scores: [B, 1 + n_negatives], the positive first.
        negatives: Sum over every negative, or over the highest-scored one of each instance (the first of several).
    """
    if scores.device.type != "cpu":
        return _bpr_loss_in_torch(scores, negatives)
    return _BPR.apply(scores, negatives == "hardest")


def _bpr_loss_in_torch(scores: Tensor, negatives: str) -> Tensor:
    """Do the work of the compiled loop in PyTorch's operations, for a GPU."""
    negative = scores[:, 1:] if negatives == "all" else scores[:, 1:].max(dim=1, keepdim=True).values
    return -logsigmoid(scores[:, :1] - negative).sum()


class _BPR(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, only_hardest: bool) -> Tensor:
        loss, grad_scores = compute_bpr(scores.detach().contiguous().numpy(), only_hardest)
        ctx.save_for_backward(torch.from_numpy(grad_scores))
        return scores.new_tensor(loss)

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, None]:
        (grad_scores,) = ctx.saved_tensors
        return grad_scores * grad_loss, None


@numba.njit(nogil=True, cache=True)
def compute_bpr(scores, only_hardest):  # type: ignore[no-untyped-def]
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
