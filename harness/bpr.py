"""The loss of Bayesian Personalised Ranking, one operation where PyTorch would keep account of ten."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bpr(scores: Tensor, negatives: Literal["all", "hardest"]) -> Tensor:
    """−Σ ln σ(x_pos − x_neg), Eq. 21 less its λ: scores [B, 1 + n_negatives], the positive first.

    Over every negative, or over the highest-scored one of each instance.
    """
    loss: Tensor = _BPR.apply(scores, negatives)
    return loss


class _BPR(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, negatives: str) -> Tensor:
        negative, ctx.place = scores[:, 1:], None
        if negatives == "hardest":
            negative, ctx.place = negative.max(dim=1, keepdim=True)
        difference = scores[:, :1] - negative
        ctx.save_for_backward(difference)
        ctx.shape = scores.shape
        return -logsigmoid(difference).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        of_negative = gradient * torch.sigmoid(-difference)
        of_scores = difference.new_zeros(ctx.shape)
        of_scores[:, 0] = -of_negative.sum(1)
        if ctx.place is None:
            of_scores[:, 1:] = of_negative
        else:
            of_scores.scatter_(1, ctx.place + 1, of_negative)
        return of_scores, None
