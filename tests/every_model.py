"""Every model that is trained by gradient, made as its own tests make it."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from sdmr.harness.training.base import TorchRecommender
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


BEHAVIORS = list(find_behaviors())
every_model = pytest.mark.parametrize("behavior", BEHAVIORS)
