"""Draw four entries of dropout by one random number."""

import pytest
import torch

from sdmr.harness.training.layers import FastDropout


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_fast_dropout_drops_its_share_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    layer, values = FastDropout(p), torch.ones(50, 40, 30, requires_grad=True)
    dropped = layer(values)
    assert (dropped == 0).float().mean() == pytest.approx(p, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=1e-4)
    (gradient,) = torch.autograd.grad(dropped.sum(), values)
    assert torch.equal(gradient, dropped)
    assert not torch.equal(layer(values), dropped)
    torch.manual_seed(0)
    assert torch.equal(layer(values), dropped)
    assert torch.equal(layer.eval()(values), values)
