"""Update parameters by Adam (or plain SGD) with the λ term of Eq. 21."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from sdmr.datasets.bounds import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, check_values
from sdmr.harness.training.adam import adam_step, adam_step_of_row, catch_up
from sdmr.harness.training.layers import Embedding

_MIN_ROWS = 8  # of a table, for each row of a batch; in a smaller table it is as fast to move every row at once
_NEVER = np.iinfo(np.int64).max  # the last step of a row that has no moments


@dataclass(frozen=True)
class OptimizationConfig:
    """Configure how a gradient-trained model is fitted.

    Args:
        learning_rate: Step size of Adam or SGD.
        regularization: λ of Eq. 21, the weight of the squared parameters.
        batch_size: Positives in a batch; windows, if the model reads sequences.
        n_negatives: Negatives of a positive, drawn anew in every epoch.
        negatives: Which of them enter a BPR loss: all, or the hardest, which is the highest-scored one.
        regularization_scope: What λ acts on: the rows of the batch, or all, as Adam's weight decay.
        optimizer: Adam as written, or plain SGD (sgd).
        halve_learning_rate_every: Epochs after which the learning rate is halved, again and again; 0 for never.
        epochs: Epochs at most.
        patience: Epochs without a better one before training stops.
        selection_metric: Validation metric that selects the epoch; after hit@10, NDCG@10 decides ties.
        validation_instances: Validation items that select the epoch: all, or so many fixed random ones.
        device: PyTorch's device, such as cpu; auto takes a GPU if there is one.
    """

    learning_rate: PositiveFloat = 0.001
    regularization: NonNegativeFloat = 0.001
    batch_size: PositiveInt = 256
    n_negatives: PositiveInt = 4
    negatives: Literal["all", "hardest"] = "all"
    regularization_scope: Literal["batch", "all"] = "batch"
    optimizer: Literal["adam", "sgd"] = "adam"
    halve_learning_rate_every: NonNegativeInt = 0
    epochs: PositiveInt = 100
    patience: PositiveInt = 10
    selection_metric: Literal["NDCG@10", "hit@10"] = "NDCG@10"
    validation_instances: PositiveInt | Literal["all"] = "all"
    device: str = "auto"

    def __post_init__(self) -> None:
        check_values(type(self), vars(self), "optimization.")
        if self.regularization_scope == "all" and self.optimizer != "adam":
            raise ValueError("regularization_scope=all is Adam's weight decay: set optimizer=adam, not sgd")

    def validate_for_log_loss(self) -> Self:
        """Return this configuration; raise ValueError for an option that only BPR uses."""
        if self.negatives != "all":
            raise ValueError(f"negatives={self.negatives} has no effect on a log loss: set negatives=all")
        return self


class Optimizer:
    """Update a model's trainable parameters by Adam (Kingma & Ba 2015), or by plain SGD.

    Before each step λ ‖·‖² enters the gradients: of every weight, and of the distinct embedding rows that the batch has
    looked up. Biases (parameters with "bias" in their name) are excluded.

    Adam also moves the rows that a batch leaves alone, since their moments decay. In a table that is large beside the
    batch, on a CPU, a row makes these moves when it is next read: `Embedding` asks for them. So the cost of a step
    hardly depends on the size of a table, and the result is that of Adam as written, but for rounding. Call `catch_up`
    before you read parameters in another way.

    With `regularization_scope: all`, λ is Adam's weight decay instead: λ × the parameter enters every parameter's
    gradient, including biases and rows outside the batch, which are all moved in every step.
    """

    def __init__(self, model: nn.Module, options: OptimizationConfig) -> None:
        tables = {id(m.weight): m for m in model.modules() if isinstance(m, Embedding)}
        trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self._parameters = [_Parameter(name, p, tables.get(id(p)), options) for name, p in trainable]
        self._options, self._steps = options, 0

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate of an epoch, counted from 1."""
        self.catch_up()  # at the rate of the steps that were missed
        period = self._options.halve_learning_rate_every
        halvings = (epoch - 1) // period if period else 0
        for parameter in self._parameters:
            parameter.learning_rate = self._options.learning_rate / 2**halvings

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for parameter in self._parameters:
            parameter.tensor.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters from the gradients that `backward` has left."""
        self._steps += 1
        for parameter in self._parameters:
            parameter.update(parameter.tensor.grad, self._steps)

    def catch_up(self) -> None:
        """Make the moves that are left, in every table."""
        for parameter in self._parameters:
            parameter.catch_up()

    def close(self) -> None:
        """Make the moves that are left; the tables forget this optimizer."""
        self.catch_up()
        for parameter in self._parameters:
            if parameter.table:
                parameter.table.pending_moves = None

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold for the next step to be the same.

        This makes the moves that are left.
        """
        self.catch_up()
        return {"moments": [parameter.moments for parameter in self._parameters], "steps": self._steps}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what `get_state` has returned."""
        for parameter, moments in zip(self._parameters, state["moments"], strict=True):
            parameter.moments, parameter.step = moments, state["steps"]
            parameter.last_steps[:] = state["steps"]
        self._steps = state["steps"]


class _Parameter:
    """A table, or another parameter as a table with one row, and its moments."""

    def __init__(self, name: str, tensor: nn.Parameter, table: Embedding | None, options: OptimizationConfig) -> None:
        self.tensor, self.table, self.optimizer = tensor, table, options.optimizer
        self.learning_rate, self.step, self.has_moves = options.learning_rate, 0, False
        if options.regularization_scope == "all":
            self.l2, self.l2_inactive = options.regularization, options.regularization
        else:
            is_free = "bias" in name or (table is not None and not table.regularized)
            self.l2, self.l2_inactive = 0.0 if is_free else 2 * options.regularization, 0.0
        rows = self._view_rows()
        n_moments = 0 if self.optimizer == "sgd" else 2
        self.moments = [torch.zeros_like(rows) for _ in range(n_moments)]
        self._every_row = torch.arange(len(rows), device=rows.device)
        moves_late = table and n_moments and options.regularization_scope != "all" and rows.device.type == "cpu"
        # A row without moments stays, unless it is to be clipped.
        self.last_steps = np.full(len(rows) if moves_late else 0, 0 if table and table.unit_ball else _NEVER)
        if table:
            table.pending_moves = self.catch_up if moves_late else None

    def _view_rows(self) -> Tensor:
        """Return the rows [n, dim], on the memory of the parameter."""
        return self.tensor.detach() if self.table else self.tensor.detach().view(1, -1)

    def catch_up(self, ids: Tensor | None = None) -> None:
        """Make the moves that are left, of rows with ids [...] or of all."""
        if len(self.last_steps) and self.has_moves:
            rows = None if ids is None else ids.detach().reshape(-1).contiguous().numpy()
            is_clipped = self.table is not None and self.table.unit_ball
            rest = self.learning_rate, self.step, is_clipped
            catch_up(self._view_rows(), self.moments, self.last_steps, rows, *rest)
            self.has_moves = ids is not None

    def update(self, gradient: Tensor | None, step: int) -> None:
        """Move the rows along their gradient, in the step of this number, from 1."""
        if gradient is None:  # no row moves in this step
            self.catch_up()
            self.last_steps[self.last_steps != _NEVER] = step
            return
        weight = self._view_rows()
        if self.table is None and self.moments and weight.device.type == "cpu":
            moments = [moment.numpy() for moment in self.moments]
            adam_step_of_row(weight, moments, gradient, self.l2, self.learning_rate, step)
            return
        if self.table and gradient.is_sparse:
            rows, sums = self.table.sum_gradient_rows(gradient)
        else:
            rows, sums = self._every_row, gradient.reshape(weight.shape)
        if self.optimizer == "sgd":
            weight.index_add_(0, rows, sums + self.l2 * weight[rows], alpha=-self.learning_rate)
        else:
            positions = self._every_row[: len(rows)]
            if len(self.last_steps) > _MIN_ROWS * len(rows):
                self.last_steps[rows.numpy()], self.has_moves = step, True
            elif self.table:
                self.catch_up()
                self.last_steps[:] = step
                positions = torch.full_like(self._every_row, -1).index_copy_(0, rows, positions)
                rows = self._every_row
            first, second = self.moments
            rate = self.learning_rate
            adam_step(weight, first, second, rows, positions, sums, self.l2, self.l2_inactive, rate, step)
        self.step = step
        if self.table:
            self.table.clip_rows(rows)
