"""What holds for every test: one thread, so that runs are repeatable and two test processes do not fight for cores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from sdmr.harness import loops

torch.set_num_threads(1)


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """PyTorch's number of threads, among which compiled loops share even the least work."""
    before = torch.get_num_threads()
    monkeypatch.setattr(loops, "_WORTH_A_THREAD", 1)
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
