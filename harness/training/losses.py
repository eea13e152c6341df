"""Compute losses; on a CPU one operation, where PyTorch's account would have ten."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from sdmr.harness.kernels.bpr import bpr_loss_and_gradient


def bpr_loss(scores: Tensor, negatives: Literal["all", "hardest"]) -> Tensor:
    """Return −Σ ln σ(x_pos − x_neg), Eq. 21 without its λ term.

    Args:
        scores: [B, 1 + n_negatives], the positive first.
        negatives: Sum over every negative, or over the highest-scored one of each instance (the first of several).
    """
    if scores.device.type != "cpu":
        return _bpr_loss_in_torch(scores, negatives)
    loss: Tensor = _BPR.apply(scores, negatives == "hardest")
    return loss


def _bpr_loss_in_torch(scores: Tensor, negatives: str) -> Tensor:
    """Do the work of the compiled loop in PyTorch's operations, for a GPU."""
    negative = scores[:, 1:] if negatives == "all" else scores[:, 1:].max(dim=1, keepdim=True).values
    return -logsigmoid(scores[:, :1] - negative).sum()


class _BPR(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, only_hardest: bool) -> Tensor:
        loss, grad_scores = bpr_loss_and_gradient(scores.detach().contiguous().numpy(), only_hardest)
        ctx.save_for_backward(torch.from_numpy(grad_scores))
        return scores.new_tensor(loss)

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, None]:
        (grad_scores,) = ctx.saved_tensors
        return grad_scores * grad_loss, None
