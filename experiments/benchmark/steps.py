"""Make the models that are measured, and train them step by step."""

import runpy
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from torch import Tensor

from sdmr.datasets.sampling import NegativeSampler
from sdmr.datasets.task import Training
from sdmr.experiments.benchmark.timing import LITERAL, Entry, compare, make_entry
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.paths import CHECKOUT
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.optimizer import OptimizationConfig, Optimizer
from sdmr.harness.training.sequence import SequenceRecommender, cut_windows

ORACLES = CHECKOUT / "tests" / "oracles"  # which a wheel does not have


def shorten_keys(overrides: Sequence[str]) -> dict[str, str]:
    """Return overrides by the last word of their key."""
    return dict(override.rpartition(".")[2].split("=") for override in overrides)


@cache
def load_oracles() -> dict[str, type]:
    """Return the literal oracles by model, which only a checkout has."""
    classes = load_reference("batched.py")
    return {"sdp": classes["LiteralSDP"], "sdm": classes["LiteralSDM"]} if classes else {}


def load_reference(name: str) -> dict[str, Any]:
    """Return what a file of the tests' oracles defines; nothing without a checkout."""
    return runpy.run_path(str(ORACLES / name)) if ORACLES.is_dir() else {}


def make_with_oracle(name: str, *overrides: str) -> list[Any]:
    """Make a model of one epoch as `sdmr run` does, and its oracle, if any."""
    config = compose_config([f"model={name}", "epochs=1", *overrides]).settings["model"]
    constructor = instantiate(config | {"_partial_": True})
    classes = (constructor.func, load_oracles().get(name))
    return [cls(**constructor.keywords) for cls in classes if cls is not None]


def make_model(name: str, *overrides: str) -> Any:
    """Make a model alone."""
    return make_with_oracle(name, *overrides)[0]


def draw_batches(training: Training, context_length: int, options: OptimizationConfig) -> Iterator[list[Tensor]]:
    """Return users, contexts and candidates of one training batch after another, without end.

    Training draws the negatives of an epoch at once. Here each batch draws its own, so that a few steps bear their
    share of that time.
    """
    instances, negatives, rng = training.instances, NegativeSampler(training.matrix), np.random.default_rng(0)
    while True:
        order = rng.permutation(len(instances))
        for start in range(0, len(order), options.batch_size):
            rows = order[start : start + options.batch_size]
            users, contexts = instances.users[rows], instances.contexts.last_n(context_length, rows)
            candidates = [instances.targets[rows], negatives.sample(users, options.n_negatives, rng)]
            yield [torch.from_numpy(ids) for ids in (users, contexts, np.column_stack(candidates))]


def draw_windows(model: SequenceRecommender, training: Training) -> Iterator[tuple[Tensor, ...]]:
    """Return one training batch of a model of sequences after another, without end."""
    negatives, rng = NegativeSampler(training.matrix), np.random.default_rng(0)
    while True:
        for _, batch in model.draw_batches(training, negatives, rng)[1]:
            yield batch


class Steps:
    """Train a model further, after a first epoch that touches its memory."""

    def __init__(self, model: TorchRecommender, training: Training) -> None:
        model.fit(training)
        model.train()
        self.model, self._optimizer = model, Optimizer(model, model.optimization)
        self._optimizer.start_epoch(1)
        self._batches: Iterator[Sequence[Tensor]]
        if isinstance(model, SequenceRecommender):
            _, _, sizes = cut_windows(training.instances, model.context_length)
            self.n_batches = -(-len(sizes) // model.optimization.batch_size)
            # Positions, not targets: BERT4Rec masks only some of them, and an epoch reads all.
            self.count = round((sizes - 1).sum() / self.n_batches)
            self._batches = draw_windows(model, training)
        else:
            self.count = min(model.optimization.batch_size, len(training.instances))  # positives of a step
            self._batches = draw_batches(training, model.context_length, model.optimization)

    def run(self, n_steps: int) -> None:
        """Draw batches, go forward and backward, and update the parameters."""
        for batch in islice(self._batches, n_steps):
            self._optimizer.zero_grad()
            self.model.compute_gradients(*(ids.to(self.model.device) for ids in batch))
            self._optimizer.step()
        if self.model.device.type == "cuda":
            torch.cuda.synchronize()


def measure_steps(
    name: str,
    setting: dict[str, Any],
    training: Training,
    models: Sequence[Any],
    n_steps: int,
    turns: int,
    reference: str = LITERAL,
) -> Entry:
    """Measure a training step of a model and, if there are two, of its reference."""
    steps = [Steps(model, training) for model in models]
    calls = [partial(one.run, n_steps) for one in steps]
    count = {"count": steps[0].count, "of": "interactions"}
    return make_entry(name, count | setting, compare(turns, *calls, count=n_steps), reference)


def measure_calls(
    name: str, count: int, unit: str, calls: Sequence[Callable[[], object]], turns: int, **setting: Any
) -> Entry:
    """Measure a call that does `count` units of work and, if any, the oracle's."""
    return make_entry(name, {"count": count, "of": unit, **setting}, compare(turns, *calls))
