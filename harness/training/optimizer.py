"""Update parameters by Adam (or plain SGD) with the λ term of Eq. 21."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sdmr.harness.bounds import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, check_values
from sdmr.harness.kernels.adam import adam_step
from sdmr.harness.training.embedding import Embedding


@dataclass(frozen=True)
class OptimizationConfig:
    """Configure how a gradient-trained model is fitted."""

    learning_rate: PositiveFloat = 0.001
    regularization: NonNegativeFloat = 0.001  # λ of Eq. 21
    batch_size: PositiveInt = 256  # positives a batch
    n_negatives: PositiveInt = 4  # drawn anew for every positive in every epoch
    negatives: Literal["all", "hardest"] = "all"  # which of them enter a BPR loss: each, or the highest-scored one
    regularization_scope: Literal["batch", "all"] = "batch"  # what λ acts on; all: as Adam's weight decay
    optimizer: Literal["dense", "rowwise", "sgd"] = "dense"  # Adam as written, or on the batch's rows; or plain SGD
    halve_learning_rate_every: NonNegativeInt = 0  # epochs, again and again; 0: never
    epochs: PositiveInt = 100  # at most
    patience: PositiveInt = 10  # epochs without a better one before stopping
    selection_metric: Literal["NDCG@10", "hit@10"] = "NDCG@10"  # of validation; with hit@10, NDCG@10 decides ties
    validation_instances: PositiveInt | Literal["all"] = "all"  # or at most so many, fixed and random, choose the epoch
    device: str = "auto"  # "auto": a GPU if there is one

    def __post_init__(self) -> None:
        check_values(type(self), vars(self), "optimization.")
        if self.regularization_scope == "all" and self.optimizer != "dense":
            raise ValueError(f"regularization_scope=all moves every row: set optimizer=dense, not {self.optimizer}")

    def validate_for_log_loss(self) -> OptimizationConfig:
        """Return this configuration; raise ValueError for an option that only BPR uses."""
        if self.negatives != "all":
            raise ValueError(f"negatives={self.negatives} has no effect on a log loss: set negatives=all")
        return self


class Optimizer:
    """Update a model's trainable parameters by Adam (Kingma & Ba 2015).

    Before each step λ ‖·‖² enters the gradients: of every weight, and of the distinct embedding rows that the batch has
    looked up. Biases (parameters with "bias" in their name) are excluded.

    - `optimizer: dense` moves every row of every table at every step, as Adam is written.
    - `optimizer: rowwise` moves only the rows of the batch. The moments of other rows do not decay, and the cost of a
      step does not depend on the size of the catalog.
    - `optimizer: sgd` subtracts learning rate × gradient.

    With `regularization_scope: all`, λ is Adam's weight decay instead: λ × the parameter enters every parameter's
    gradient, including biases and rows outside the batch.
    """

    def __init__(self, model: nn.Module, options: OptimizationConfig) -> None:
        tables = {id(m.weight): m for m in model.modules() if isinstance(m, Embedding)}
        trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self._parameters = [_Parameter(name, p, tables.get(id(p)), options) for name, p in trainable]
        self._learning_rate, self._options, self._steps = options.learning_rate, options, 0

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate of an epoch, counted from 1."""
        period = self._options.halve_learning_rate_every
        halvings = (epoch - 1) // period if period else 0
        self._learning_rate = self._options.learning_rate / 2**halvings

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for parameter in self._parameters:
            parameter.tensor.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters from the gradients that `backward` has left."""
        self._steps += 1
        for parameter in self._parameters:
            if parameter.tensor.grad is not None:
                parameter.update(parameter.tensor.grad, self._learning_rate, self._steps)

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold for the next step to be the same."""
        return {"moments": [parameter.moments for parameter in self._parameters], "steps": self._steps}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `get_state` has returned."""
        for parameter, moments in zip(self._parameters, state["moments"], strict=True):
            parameter.moments = moments
        self._steps = state["steps"]


class _Parameter:
    """Hold a table, or another parameter as a table with one row, with its moments."""

    def __init__(self, name: str, tensor: nn.Parameter, table: Embedding | None, options: OptimizationConfig) -> None:
        self.tensor, self.table, self.optimizer = tensor, table, options.optimizer
        if options.regularization_scope == "all":
            self.l2, self.l2_inactive = options.regularization, options.regularization
        else:
            self.l2, self.l2_inactive = 0.0 if "bias" in name else 2 * options.regularization, 0.0
        rows = self._view_rows()
        self.moments: tuple[Tensor, ...] = (
            () if self.optimizer == "sgd" else (torch.zeros_like(rows), torch.zeros_like(rows))
        )
        self._every_row = torch.arange(len(rows), device=rows.device)

    def _view_rows(self) -> Tensor:
        """Return the rows [n, dim], on the memory of the parameter."""
        return self.tensor.detach() if self.table else self.tensor.detach().view(1, -1)

    def update(self, gradient: Tensor, learning_rate: float, step: int) -> None:
        """Move the rows along their gradient, in the step of this number, from 1."""
        weight = self._view_rows()
        if self.table:
            rows, sums = self.table.sum_gradient_rows(gradient)
        else:
            rows, sums = self._every_row, gradient.reshape(1, -1)
        if self.optimizer == "sgd":
            weight.index_add_(0, rows, sums + self.l2 * weight[rows], alpha=-learning_rate)
        else:
            positions = self._every_row[: len(rows)]
            if self.table and self.optimizer == "dense":
                positions = torch.full_like(self._every_row, -1).index_copy_(0, rows, positions)
                rows = self._every_row
            first, second = self.moments
            adam_step(weight, first, second, rows, positions, sums, self.l2, self.l2_inactive, learning_rate, step)
        if self.table:
            self.table.clip_rows(rows)
