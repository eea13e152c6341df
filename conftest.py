"""Run every test on one thread: runs are repeatable, and two test processes do not fight for cores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from sdmr.harness.kernels import threads as threads_module

torch.set_num_threads(1)


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Set PyTorch's number of threads; compiled loops share even the least work among them."""
    before = torch.get_num_threads()
    monkeypatch.setattr(threads_module, "_MIN_WORK_TO_SHARE", 1)
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
