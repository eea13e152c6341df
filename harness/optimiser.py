"""Adam (or plain SGD) with the λ term of Eq. 21, for tables that are dense or touched by the row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sdmr.harness.adam import adam
from sdmr.harness.embedding import Embedding


@dataclass(frozen=True)
class Optimisation:
    """How a gradient-trained model is fitted."""

    learning_rate: float = 0.001
    regularisation: float = 0.001  # λ of Eq. 21
    batch_size: int = 256  # positives a batch
    n_negatives: int = 4  # drawn anew for every positive in every epoch
    negatives: Literal["all", "hardest"] = "all"  # which of them enter a BPR loss: each, or the highest-scored one
    regularise: Literal["batch", "all"] = "batch"  # what λ acts on; all: every parameter, as Adam's weight decay
    optimizer: Literal["dense", "rowwise", "sgd"] = "dense"  # Adam to the letter, or on the batch's rows; or plain SGD
    halve_every: int = 0  # epochs after which the learning rate is halved, again and again; 0: never
    epochs: int = 100  # at most
    patience: int = 10  # epochs without a better one before stopping
    select_by: Literal["NDCG@10", "hit@10"] = "NDCG@10"  # of development, chooses the epoch; hit@10, then NDCG@10
    development_instances: int | Literal["all"] = "all"  # or at most so many, fixed and random, choose the epoch
    device: str = "auto"  # "auto": a GPU if there is one

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be more than 0, not {self.learning_rate}")
        if not self.regularisation >= 0:
            raise ValueError(f"regularisation must be 0 or more, not {self.regularisation}")
        if self.negatives not in ("all", "hardest"):
            raise ValueError(f'negatives must be "all" or "hardest", not {self.negatives!r}')
        if self.optimizer not in ("dense", "rowwise", "sgd"):
            raise ValueError(f'optimizer must be "dense", "rowwise" or "sgd", not {self.optimizer!r}')
        if self.regularise not in ("batch", "all"):
            raise ValueError(f'regularise must be "batch" or "all", not {self.regularise!r}')
        if self.regularise == "all" and self.optimizer != "dense":
            raise ValueError(f"regularise=all moves every row at every step, which optimizer={self.optimizer} does not")
        if self.select_by not in ("NDCG@10", "hit@10"):
            raise ValueError(f'select_by must be "NDCG@10" or "hit@10", not {self.select_by!r}')
        if isinstance(self.development_instances, str) and self.development_instances != "all":
            raise ValueError(f'development_instances must be a number or "all", not {self.development_instances!r}')
        if self.halve_every < 0:
            raise ValueError(f"halve_every must be a number of epochs, or 0 for never, not {self.halve_every}")
        for name in ("epochs", "patience", "batch_size", "n_negatives", "development_instances"):
            value = getattr(self, name)
            if value != "all" and value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value}")

    def for_log_loss(self) -> Optimisation:
        """The same. Raises ValueError if it makes a choice that only a BPR loss can heed."""
        if self.negatives != "all":
            raise ValueError(f"negatives={self.negatives} has no effect on a log loss, into which all of them enter")
        return self


class Optimiser:
    """Adam (Kingma & Ba 2015) on a model's trainable parameters.

    Before each step λ ‖·‖² enters the gradients: of every weight, and of the distinct embedding rows that the batch
    has looked up; biases (parameters with "bias" in their name) are excluded. `dense` moves every row of every table at
    every step, as Adam is written. `rowwise` moves the rows of the batch only: moments of the others do not decay, and
    a step costs the same whatever the size of the catalogue. `sgd` is no Adam: it subtracts learning rate × gradient.

    With `regularise: all`, λ is Adam's weight decay instead: λ × itself enters every parameter's gradient, biases and
    the rows outside the batch included.
    """

    def __init__(self, model: nn.Module, options: Optimisation) -> None:
        tables = {id(m.weight): m for m in model.modules() if isinstance(m, Embedding)}
        trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self._parameters = [_Parameter(name, p, tables.get(id(p)), options) for name, p in trainable]
        self._learning_rate, self._options, self._steps = options.learning_rate, options, 0

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate of an epoch, counted from 1."""
        halvings = (epoch - 1) // self._options.halve_every if self._options.halve_every else 0
        self._learning_rate = self._options.learning_rate / 2**halvings

    def zero_grad(self) -> None:
        for parameter in self._parameters:
            parameter.whole.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One update from the gradients that `backward` has left."""
        self._steps += 1
        for parameter in self._parameters:
            if parameter.whole.grad is not None:
                parameter.step(parameter.whole.grad, self._learning_rate, self._steps)

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold for the next step to be the same."""
        return {"moments": [parameter.moments for parameter in self._parameters], "steps": self._steps}

    def load(self, state: dict[str, Any]) -> None:
        for parameter, moments in zip(self._parameters, state["moments"], strict=True):
            parameter.moments = moments
        self._steps = state["steps"]


class _Parameter:
    """A table, or a parameter of any other kind, which is taken for a table with one row; and its moments."""

    def __init__(self, name: str, whole: nn.Parameter, table: Embedding | None, options: Optimisation) -> None:
        self.whole, self.table, self.optimizer = whole, table, options.optimizer
        if options.regularise == "all":
            self.pull, self.pull_outside = options.regularisation, options.regularisation
        else:
            self.pull, self.pull_outside = 0.0 if "bias" in name else 2 * options.regularisation, 0.0
        rows = self._rows()
        self.moments: tuple[Tensor, ...] = (
            () if self.optimizer == "sgd" else (torch.zeros_like(rows), torch.zeros_like(rows))
        )
        self._every_row = torch.arange(len(rows), device=rows.device)

    def _rows(self) -> Tensor:
        """[n, dim], on the memory of the parameter."""
        return self.whole.detach() if self.table else self.whole.detach().view(1, -1)

    def step(self, gradient: Tensor, learning_rate: float, number: int) -> None:
        """Move the rows as their gradient asks, in the step of this number, from 1."""
        weight = self._rows()
        rows, sums = self.table.sums(gradient) if self.table else (self._every_row, gradient.reshape(1, -1))
        if self.optimizer == "sgd":
            weight.index_add_(0, rows, sums + self.pull * weight[rows], alpha=-learning_rate)
        else:
            at = self._every_row[: len(rows)]
            if self.table and self.optimizer == "dense":
                rows, at = self._every_row, torch.full_like(self._every_row, -1).index_copy_(0, rows, at)
            first, second = self.moments
            adam(weight, first, second, rows, at, sums, self.pull, self.pull_outside, learning_rate, number)
        if self.table:
            self.table.clip(rows)
