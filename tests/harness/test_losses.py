"""Compare BPR's loss and gradient with PyTorch's for Eq. 21."""

from typing import Literal

import pytest
import torch
from torch.nn import functional as F

from sdmr.harness.training.losses import _bpr_loss_in_torch, bpr_loss


@pytest.mark.parametrize("n_negatives", [1, 4])
@pytest.mark.parametrize("negatives", ["all", "hardest"])
@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_loss_and_gradient_are_those_of_the_equation(
    negatives: Literal["all", "hardest"], n_negatives: int, scale: float
) -> None:
    torch.manual_seed(1)
    scores = (scale * torch.randn(6, 1 + n_negatives, dtype=torch.float64)).requires_grad_()
    with torch.no_grad():
        scores[2, 1:] = scores[2, 1]  # ties
    compared = scores[:, 1:].max(dim=1, keepdim=True).values if negatives == "hardest" else scores[:, 1:]
    expected = -F.logsigmoid(scores[:, :1] - compared).sum()
    (grad_expected,) = torch.autograd.grad(3 * expected, scores)
    for ours in (bpr_loss, _bpr_loss_in_torch):
        loss = ours(scores, negatives)
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(torch.autograd.grad(3 * loss, scores)[0], grad_expected)


@pytest.mark.parametrize("negatives", ["all", "hardest"])
@pytest.mark.parametrize("column", range(4))
def test_a_nan_score_makes_the_loss_nan(negatives: Literal["all", "hardest"], column: int) -> None:
    scores = torch.zeros(5, 4)
    scores[2, column] = torch.nan
    assert bpr_loss(scores, negatives).isnan()
