"""Update parameters by Adam (or plain SGD) with the λ term of Eq. 21."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numba
import numpy as np
import torch
from torch import Tensor, nn

from sdmr.datasets.bounds import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, check_values
from sdmr.harness.kernels import get_pool
from sdmr.harness.training.layers import Embedding

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # as Kingma & Ba (2015) propose them
_MIN_NUMBERS_TO_SHARE = 1 << 20  # numbers to move


@dataclass(frozen=True)
class OptimizationConfig:
    """Configure how a gradient-trained model is fitted.

    Args:
        learning_rate: Step size of Adam or SGD.
        regularization: λ of Eq. 21, the weight of the squared parameters.
        batch_size: Positives in a batch.
        n_negatives: Negatives of a positive, drawn anew in every epoch.
        negatives: Which of them enter a BPR loss: all, or the hardest, which is the highest-scored one.
        regularization_scope: What λ acts on: the rows of the batch, or all, as Adam's weight decay.
        optimizer: Adam as written (dense), Adam on the batch's rows (rowwise), or plain SGD (sgd).
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
    optimizer: Literal["dense", "rowwise", "sgd"] = "dense"
    halve_learning_rate_every: NonNegativeInt = 0
    epochs: PositiveInt = 100
    patience: PositiveInt = 10
    selection_metric: Literal["NDCG@10", "hit@10"] = "NDCG@10"
    validation_instances: PositiveInt | Literal["all"] = "all"
    device: str = "auto"

    def __post_init__(self) -> None:
        check_values(type(self), vars(self), "optimization.")
        if self.regularization_scope == "all" and self.optimizer != "dense":
            raise ValueError(f"regularization_scope=all moves every row: set optimizer=dense, not {self.optimizer}")

    def validate_for_log_loss(self) -> Self:
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
    """A table, or another parameter as a table with one row, and its moments."""

    def __init__(self, name: str, tensor: nn.Parameter, table: Embedding | None, options: OptimizationConfig) -> None:
        self.tensor, self.table, self.optimizer = tensor, table, options.optimizer
        if options.regularization_scope == "all":
            self.l2, self.l2_inactive = options.regularization, options.regularization
        else:
            self.l2, self.l2_inactive = 0.0 if "bias" in name else 2 * options.regularization, 0.0
        rows = self._view_rows()
        n_moments = 0 if self.optimizer == "sgd" else 2
        self.moments = [torch.zeros_like(rows) for _ in range(n_moments)]
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


def adam_step(
    weight: Tensor,
    first_moment: Tensor,
    second_moment: Tensor,
    rows: Tensor,
    positions: Tensor,
    sums: Tensor,
    l2: float,
    l2_inactive: float,
    learning_rate: float,
    step: int,
) -> None:
    """Update rows of a table and of its two moments.

    Args:
        weight: [N, dim] the table.
        first_moment: [N, dim].
        second_moment: [N, dim].
        rows: [n] the rows to move.
        positions: [n] where `sums` has the gradient of each row; −1 for an inactive row, whose gradient is 0.
        sums: [m, dim] gradients.
        l2: The gradient of an active row gains `l2` × the row.
        l2_inactive: The gradient of an inactive row is `l2_inactive` × the row.
        learning_rate: Adam's α.
        step: The number of this step, from 1.
    """
    rate, scale = learning_rate / (1 - BETA_1**step), 1 / (1 - BETA_2**step) ** 0.5  # correct the moments' bias
    if weight.device.type != "cpu":
        _adam_step_in_torch(weight, first_moment, second_moment, rows, positions, sums, l2, l2_inactive, rate, scale)
        return
    table = weight.numpy(), first_moment.numpy(), second_moment.numpy()
    dtype = table[0].dtype.type
    factors = l2, l2_inactive, rate, scale, BETA_1, 1 - BETA_1, BETA_2, 1 - BETA_2, EPSILON
    indices, gradient = (rows.numpy(), positions.numpy()), (sums.contiguous().numpy(), *map(dtype, factors))
    threads = torch.get_num_threads()
    if threads == 1 or len(rows) * weight.shape[1] < _MIN_NUMBERS_TO_SHARE:
        _adam_step(*table, *indices, *gradient)
        return
    blocks = zip(*(np.array_split(array, threads) for array in indices), strict=True)
    list(get_pool(threads).map(lambda block: _adam_step(*table, block[0], block[1], *gradient), blocks))


def _adam_step_in_torch(weight: Tensor, first_moment: Tensor, second_moment: Tensor, *rest: Any) -> None:
    """Do the work of the loop below in PyTorch's operations, for a GPU."""
    rows, positions, sums, l2, l2_inactive, rate, scale = rest
    values = weight[rows]
    gradient = torch.where((positions >= 0)[:, None], sums[positions] + l2 * values, l2_inactive * values)
    m = first_moment[rows].lerp_(gradient, 1 - BETA_1)
    v = second_moment[rows].mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
    first_moment.index_copy_(0, rows, m)
    second_moment.index_copy_(0, rows, v)
    weight.index_copy_(0, rows, values - rate * m / (v.sqrt() * scale + EPSILON))


@numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy", cache=True)
def _adam_step(  # type: ignore[no-untyped-def]
    weight, first, second, rows, positions, sums, l2, l2_inactive, rate, scale, beta_1, rest_1, beta_2, rest_2, epsilon
):
    """Loop over rows; `rest_1` and `rest_2` are 1 − β₁ and 1 − β₂."""
    zero, tiny = weight.dtype.type(0), weight.dtype.type(1e-30)  # far below what epsilon lets count
    for n in range(len(rows)):
        row, position = rows[n], positions[n]
        for k in range(weight.shape[1]):
            w = weight[row, k]
            g = sums[position, k] + l2 * w if position >= 0 else l2_inactive * w
            m = beta_1 * first[row, k] + rest_1 * g
            v = beta_2 * second[row, k] + rest_2 * g * g
            # The moments of a row that stays inactive decay to subnormal numbers, which take ten times as long.
            m, v = zero if abs(m) < tiny else m, zero if v < tiny else v
            first[row, k], second[row, k] = m, v
            weight[row, k] = w - rate * m / (np.sqrt(v) * scale + epsilon)
