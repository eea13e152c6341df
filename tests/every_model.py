"""Every model that is trained by gradient, made as its own tests make it."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sdmr.datasets.sampling import NegativeSampler
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.optimizer import Optimizer
from tests.behavior import RecommenderBehavior, small


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


def check_resumed(device: str, behavior: type[RecommenderBehavior], folder: Path) -> None:
    """Fit for two epochs, then on to four, and compare with four at once."""
    complete = make_on(device, behavior, epochs=4)
    complete.fit(small().training)
    training = replace(small().training, checkpoint=folder / "fit.pt")
    make_on(device, behavior, epochs=2).fit(training)
    resumed = make_on(device, behavior, epochs=4)
    resumed.fit(training)
    assert [entry.get("loss") for entry in resumed.history] == [entry.get("loss") for entry in complete.history]
    for name, value in complete.named_parameters():
        assert torch.equal(resumed.get_parameter(name), value), name


def check_steps(device: str, behavior: type[RecommenderBehavior], folder: Path) -> None:
    """Compare scores, gradients and steps of the same fitted model on the processor and on the device."""
    training, test = small().training, small().test
    ours, theirs = (make_on(one, behavior, epochs=2) for one in ("cpu", device))
    ours.fit(training)
    ours.save(folder / "model.pt")
    theirs.load(folder / "model.pt", training.n_users, training.n_items)
    assert (ours.device.type, theirs.device.type) == ("cpu", device)
    inputs = test.users, test.contexts.last_n(ours.context_length), test.candidates
    np.testing.assert_allclose(theirs.score(*inputs), ours.score(*inputs), rtol=1e-4, atol=1e-4)
    optimizers = [Optimizer(model, model.optimization) for model in (ours, theirs)]
    batches = ours.draw_batches(training, NegativeSampler(training.matrix), np.random.default_rng(0))[1]
    for module in (*ours.modules(), *theirs.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # devices draw differently
    for _, batch in islice(batches, 3):
        losses = []
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            losses.append(model.compute_gradients(*(one.to(model.device) for one in batch)))
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        for (name, one), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            if one.requires_grad:
                assert (one.grad is None) == (other.grad is None), name
            if one.requires_grad and one.grad is not None and other.grad is not None:
                gradients = one.grad.to_dense(), other.grad.cpu().to_dense()
                torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-4, msg=name)
                other.grad = one.grad.to(device)  # Adam's first steps are large however small a difference is
        for optimizer in optimizers:
            optimizer.step()
        for (name, one), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            torch.testing.assert_close(other.detach().cpu(), one.detach(), rtol=1e-4, atol=1e-4, msg=name)


BEHAVIORS = list(find_behaviors())
every_model = pytest.mark.parametrize("behavior", BEHAVIORS)
