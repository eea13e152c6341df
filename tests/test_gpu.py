"""Every model that is trained by gradient does on a GPU what it does on a processor: `pytest -m gpu`."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sdmr.harness.training.optimizer import Optimizer
from tests.behavior import RecommenderBehavior, small
from tests.every_model import BEHAVIORS, check_resumed, every_model, make_on

DEVICE = "cuda"
pytestmark = pytest.mark.gpu
if not torch.cuda.is_available():
    pytest.skip("PyTorch finds no CUDA device", allow_module_level=True)


for behavior in BEHAVIORS:
    methods = {"make": lambda self, behavior=behavior: make_on(DEVICE, behavior)}
    globals()[f"{behavior.__name__}OnGPU"] = type(f"{behavior.__name__}OnGPU", (behavior,), methods)


@pytest.fixture(autouse=True, scope="module")
def deterministic() -> Iterator[None]:
    """Let PyTorch choose the operations that give the same bits each time."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which they need
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@every_model
def test_scores_gradients_and_steps_are_those_of_the_processor(
    behavior: type[RecommenderBehavior], tmp_path: Path
) -> None:
    training, test = small().training, small().test
    ours, theirs = (make_on(device, behavior, epochs=2) for device in ("cpu", DEVICE))
    ours.fit(training)
    ours.save(tmp_path / "model.pt")
    theirs.load(tmp_path / "model.pt", training.n_users, training.n_items)
    assert (ours.device.type, theirs.device.type) == ("cpu", DEVICE)
    inputs = test.users, test.contexts.last_n(ours.context_length), test.candidates
    np.testing.assert_allclose(theirs.score(*inputs), ours.score(*inputs), rtol=1e-4, atol=1e-4)
    optimizers = [Optimizer(model, model.optimization) for model in (ours, theirs)]
    for _ in range(3):
        losses = []
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            losses.append(model.compute_gradients(*(torch.from_numpy(ids).to(model.device) for ids in inputs)))
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        for (name, one), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            if one.requires_grad:
                assert (one.grad is None) == (other.grad is None), name
            if one.requires_grad and one.grad is not None and other.grad is not None:
                gradients = one.grad.to_dense(), other.grad.cpu().to_dense()
                torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-4, msg=name)
                other.grad = one.grad.to(DEVICE)  # Adam's first steps are large however small a difference is
        for optimizer in optimizers:
            optimizer.step()
        for (name, one), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            torch.testing.assert_close(other.detach().cpu(), one.detach(), rtol=1e-4, atol=1e-4, msg=name)


@every_model
def test_an_interrupted_fit_resumes_to_the_same_bits(behavior: type[RecommenderBehavior], tmp_path: Path) -> None:
    check_resumed(DEVICE, behavior, tmp_path)
