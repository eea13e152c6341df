"""Hold the compiled Adam to PyTorch's operations."""

import math

import pytest
import torch
from torch import nn

from sdmr.harness.training import adam as adam_module


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_compiled_adam_equals_the_one_in_pytorch(
    dtype: torch.dtype, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare the loop with PyTorch's operations, which a GPU uses; both are tested in test_optimizer."""
    monkeypatch.setattr(adam_module, "_MIN_NUMBERS_TO_SHARE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    torch.manual_seed(0)
    ours = [torch.randn(9, 5, dtype=dtype) for _ in range(3)]
    ours[2].square_()
    reference, sums = [table.clone() for table in ours], torch.randn(4, 5, dtype=dtype)
    rows, positions = torch.tensor([8, 1, 2, 3, 4, 5]), torch.tensor([2, -1, 0, 3, -1, 1])
    for step in (1, 2, 50):
        adam_module.adam_step(*ours, rows, positions, sums, 0.3, 0.1, 0.01, step)
        corrected = 0.01 / (1 - 0.9**step), 1 / math.sqrt(1 - 0.999**step)
        adam_module._adam_step_in_torch(*reference, rows, positions, sums, 0.3, 0.1, *corrected)
    for table, expected in zip(ours, reference, strict=True):
        torch.testing.assert_close(table, expected)


def test_subnormal_moments_become_zero_and_nan_stays_nan() -> None:
    """Keep a row inactive for a thousand steps: subnormal moments would take ten times as long."""
    weight, row, inactive = nn.Parameter(torch.ones(1, 2)), torch.tensor([0]), torch.tensor([-1])
    reference, first, second = torch.optim.Adam([weight], lr=0.01), torch.zeros(1, 2), torch.zeros(1, 2)
    ours, gradient = torch.ones(1, 2), torch.tensor([[0.5, -1e-3]])
    for step in range(1, 1200):
        position, weight.grad = (row, gradient) if step == 1 else (inactive, torch.zeros(1, 2))
        adam_module.adam_step(ours, first, second, row, position, gradient, 0.0, 0.0, 0.01, step)
        reference.step()
    torch.testing.assert_close(ours, weight.detach())
    assert 0 < reference.state[weight]["exp_avg"].abs().max() < torch.finfo(torch.float32).tiny
    assert not first.any()
    adam_module.adam_step(ours, first, second, row, row, torch.tensor([[torch.nan, 1.0]]), 0.0, 0.0, 0.01, 1200)
    assert ours.isnan().tolist() == [[True, False]]
