"""Every model that is trained by gradient does on a GPU what it does on a processor: `pytest -m gpu`."""

import os
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.optimizer import Optimizer
from tests.behavior import RecommenderBehavior, small

DEVICE = "cuda"
pytestmark = pytest.mark.gpu
if not torch.cuda.is_available():
    pytest.skip("PyTorch finds no CUDA device", allow_module_level=True)


def find_behaviors() -> Iterator[type[RecommenderBehavior]]:
    """Return the classes that test what a model trained by gradient must do."""
    for path in sorted(Path(__file__).parent.glob("*/test_*.py")):
        if path.parent.name in ("baselines", "models"):
            for value in vars(import_module(f"tests.{path.parent.name}.{path.stem}")).values():
                is_behavior = isinstance(value, type) and issubclass(value, RecommenderBehavior)
                if is_behavior and value is not RecommenderBehavior and isinstance(value().make(), TorchRecommender):
                    yield value


def make_on(device: str, behavior: type[RecommenderBehavior], **options: int) -> TorchRecommender:
    """Make the model of such a class for a device, with other options of its optimization."""
    model = behavior().make()
    assert isinstance(model, TorchRecommender)
    for module in model.modules():
        if isinstance(module, TorchRecommender):
            module.optimization = replace(module.optimization, device=device)
    model.optimization = replace(model.optimization, **options)
    return model


BEHAVIORS = list(find_behaviors())
for behavior in BEHAVIORS:
    methods = {"make": lambda self, behavior=behavior: make_on(DEVICE, behavior)}
    globals()[f"{behavior.__name__}OnGPU"] = type(f"{behavior.__name__}OnGPU", (behavior,), methods)
every_model = pytest.mark.parametrize("behavior", BEHAVIORS)


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
    complete = make_on(DEVICE, behavior, epochs=4)
    complete.fit(small().training)
    training = replace(small().training, checkpoint=tmp_path / "fit.pt")
    make_on(DEVICE, behavior, epochs=2).fit(training)
    resumed = make_on(DEVICE, behavior, epochs=4)
    resumed.fit(training)
    assert [entry.get("loss") for entry in resumed.history] == [entry.get("loss") for entry in complete.history]
    for name, value in complete.named_parameters():
        assert torch.equal(resumed.get_parameter(name), value), name
