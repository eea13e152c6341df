"""BPR's loss and gradient against PyTorch's own account of Eq. 21."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch.nn import functional as F

from sdmr.harness.bpr import _bpr_in_torch, bpr


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
    against = scores[:, 1:].max(dim=1, keepdim=True).values if negatives == "hardest" else scores[:, 1:]
    plain = -F.logsigmoid(scores[:, :1] - against).sum()
    (of_plain,) = torch.autograd.grad(3 * plain, scores)
    for ours in (bpr, _bpr_in_torch):
        loss = ours(scores, negatives)
        torch.testing.assert_close(loss, plain)
        torch.testing.assert_close(torch.autograd.grad(3 * loss, scores)[0], of_plain)


@pytest.mark.parametrize("negatives", ["all", "hardest"])
@pytest.mark.parametrize("place", range(4))
def test_a_score_that_is_no_number_is_not_passed_over(negatives: Literal["all", "hardest"], place: int) -> None:
    scores = torch.zeros(5, 4)
    scores[2, place] = torch.nan
    assert bpr(scores, negatives).isnan()
