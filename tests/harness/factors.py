"""Provide small recommenders for tests of the training loop, and ways to watch and kill them."""

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sdmr.baselines.mf_bpr import MFBPR
from sdmr.datasets.task import Training
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.layers import Embedding
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.harness.training.sequence import SequenceRecommender

CONFIG = OptimizationConfig(learning_rate=0.02, regularization=0.001, batch_size=48, epochs=4, patience=4, device="cpu")


class Killed(Exception):
    """Stand for whatever ends a process."""


class Factors(TorchRecommender):
    """Hold all that a model may: two tables, padding, a layer with a bias, dropout."""

    context_length = 3

    def __init__(self, dropout: float = 0.0, optimization: OptimizationConfig = CONFIG) -> None:
        super().__init__(optimization)
        self.rate = dropout

    def build(self, n_users: int, n_items: int) -> None:
        self.users = Embedding(n_users, 4, std=0.3)
        self.items = Embedding(n_items, 4, std=0.3, padding=True)
        self.layer = nn.Linear(4, 4)
        self.dropout = nn.Dropout(self.rate)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        query = self.dropout(torch.tanh(self.layer(self.users(users)))) + self.items(contexts).mean(1)
        return (query[:, None] * self.items(candidates)).sum(-1)


class Normalized(Factors):
    """Normalize the layer's output over the batch, with running averages in evaluation."""

    def build(self, n_users: int, n_items: int) -> None:
        super().build(n_users, n_items)
        self.layer = nn.Sequential(self.layer, nn.BatchNorm1d(4))  # type: ignore[assignment]


class Parent(TorchRecommender):
    """Add a bias to a part's scores, and record the part's mode at every use."""

    context_length = Factors.context_length

    def __init__(self, part: "Factors | Parent", optimization: OptimizationConfig = CONFIG) -> None:
        super().__init__(optimization)
        self.part = part
        self.part_was_fitted_at_build = False
        self.modes: set[tuple[bool, bool, bool]] = set()  # training: this model's dropout, the part, the part's dropout

    def build(self, n_users: int, n_items: int) -> None:
        self.part_was_fitted_at_build = self.part.is_fitted
        self.items = Embedding(n_items, 1, std=0.3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        self.modes.add((self.dropout.training, self.part.training, self.part.dropout.training))
        return self.dropout(self.items(candidates).squeeze(-1)) + self.part(users, contexts, candidates)


class Walk(SequenceRecommender):
    """Hold all that a model of sequences may: a table, a recurrent layer, dropout."""

    context_length = 5

    def __init__(self, optimization: OptimizationConfig = replace(CONFIG, batch_size=12)) -> None:
        super().__init__(optimization)

    def build(self, n_users: int, n_items: int) -> None:
        self.items = Embedding(n_items, 4, std=0.3, padding=True)
        self.layer = nn.GRU(4, 4, batch_first=True)
        self.dropout = nn.Dropout(0.3)

    def encode(self, items: Tensor) -> Tensor:
        return self.dropout(self.layer(self.items(items))[0])


MAKERS: dict[str, Callable[[], TorchRecommender]] = {
    "adam": lambda: MFBPR(dim=4, item_bias=True, optimization=CONFIG),
    "sgd": lambda: MFBPR(dim=4, item_bias=True, optimization=replace(CONFIG, optimizer="sgd")),
    "dropout": lambda: Factors(dropout=0.3),
    "of sequences": Walk,
    "buffers": Normalized,
    "with a part": lambda: Parent(Factors(dropout=0.3)),
    "with a part of a part": lambda: Parent(Parent(Factors(dropout=0.3))),
}
every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def get_bits(model: TorchRecommender) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Return what a fit leaves: parameters, and the history without its seconds."""
    history = [{key: value for key, value in entry.items() if "seconds" not in key} for entry in model.history]
    return {name: value.clone() for name, value in model.state_dict().items()}, history


def assert_same_bits(model: TorchRecommender, other: TorchRecommender) -> None:
    (parameters, history), (others, other_history) = get_bits(model), get_bits(other)
    assert history == other_history
    assert parameters.keys() == others.keys()
    for name, value in parameters.items():
        assert torch.equal(value, others[name]), name


def fit(model: TorchRecommender, training: Training) -> TorchRecommender:
    model.fit(training)
    return model


def watch(model: TorchRecommender, observer: Callable[[int, tuple[Tensor, ...]], None]) -> None:
    """Call `observer(number from 1, inputs)` before every forward pass of the model itself.

    A model of sequences has none in training; its batches are watched instead.
    """
    calls = count(1)

    def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*inputs: Tensor) -> Any:
            observer(next(calls), inputs)
            return method(*inputs)

        return watched

    model.forward = wrap(model.forward)  # type: ignore[method-assign]
    if isinstance(model, SequenceRecommender):
        model.compute_gradients = wrap(model.compute_gradients)  # type: ignore[method-assign]


def kill_at(model: TorchRecommender, moment: int) -> None:
    def kill(call: int, inputs: tuple[Tensor, ...]) -> None:
        if call == moment:
            raise Killed

    watch(model, kill)


def kill_while_writing(patch: pytest.MonkeyPatch, after: int) -> None:
    """Allow `after` files, and kill when half of the next is on the disk."""
    number = count()

    def sync_or_die(descriptor: int) -> None:
        if next(number) >= after:
            os.truncate(descriptor, os.fstat(descriptor).st_size // 2)
            raise Killed

    patch.setattr(os, "fsync", sync_or_die)


def count_calls(model: TorchRecommender, training: Training) -> int:
    """Fit, and count the forward passes: batches, and blocks of the validation instances."""
    calls = [0]
    watch(model, lambda call, inputs: calls.append(call))
    model.fit(training)
    return calls[-1]
