"""Adam (or plain SGD) with the λ term of Eq. 21, for tables that are dense or touched by the row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from harness.embedding import Embedding, RowSums


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
        if self.epochs < 1 or self.patience < 1:
            raise ValueError(f"epochs and patience must be 1 or more, not {self.epochs} and {self.patience}")

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
        is_decay = options.regularise == "all"
        self._regularisation = 0.0 if is_decay else options.regularisation
        self._rowwise = options.optimizer == "rowwise"
        self._learning_rate, self._options = options.learning_rate, options
        of_table = {id(m.weight): m for m in model.modules() if isinstance(m, Embedding)}
        trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self._tables = [(of_table[id(p)], "bias" not in name) for name, p in trainable if id(p) in of_table]
        self._sums = [RowSums(len(table.weight)) for table, _ in self._tables]
        self._weights = [p for name, p in trainable if id(p) not in of_table and "bias" not in name]
        method = torch.optim.SGD if options.optimizer == "sgd" else torch.optim.Adam
        by_method = [p for _, p in trainable if not (self._rowwise and id(p) in of_table)]
        decay = options.regularisation if is_decay else 0.0
        self._method = (
            method(by_method, lr=options.learning_rate, weight_decay=decay, fused=True) if by_method else None
        )
        self._moments = (
            [(torch.zeros_like(t.weight), torch.zeros_like(t.weight)) for t, _ in self._tables] if self._rowwise else []
        )
        self._steps = 0

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate of an epoch, counted from 1."""
        halvings = (epoch - 1) // self._options.halve_every if self._options.halve_every else 0
        self._learning_rate = self._options.learning_rate / 2**halvings
        for group in self._method.param_groups if self._method else ():
            group["lr"] = self._learning_rate

    def zero_grad(self) -> None:
        for table, _ in self._tables:
            table.weight.grad = None
        if self._method:
            self._method.zero_grad(set_to_none=True)

    @torch.no_grad()
    def step(self) -> None:
        """One update from the gradients that `backward` has left."""
        self._steps += 1
        for parameter in self._weights:
            if parameter.grad is not None:
                parameter.grad.add_(parameter, alpha=2 * self._regularisation)
        touched = []
        for number, (table, is_regularised) in enumerate(self._tables):
            weight: Tensor = table.weight
            if weight.grad is None:
                continue
            rows, values = self._sums[number](weight.grad)
            if is_regularised:
                values.add_(weight.index_select(0, rows), alpha=2 * self._regularisation)
            if self._rowwise:
                self._step_rows(weight, rows, values, *self._moments[number])
                touched.append((table, rows))
            else:
                weight.grad = torch.zeros_like(weight).index_copy_(0, rows, values)
                touched.append((table, torch.arange(len(weight), device=weight.device)))
        if self._method:
            self._method.step()
        for table, rows in touched:
            table.clip(rows)

    def _step_rows(self, weight: Tensor, rows: Tensor, gradient: Tensor, first: Tensor, second: Tensor) -> None:
        """Adam's update of some rows [n] of a table, gradient [n, dim]; moments are those of the whole table."""
        beta1, beta2, epsilon = 0.9, 0.999, 1e-8
        m = first[rows].lerp_(gradient, 1 - beta1)
        v = second[rows].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        first.index_copy_(0, rows, m)
        second.index_copy_(0, rows, v)
        rate = self._learning_rate / (1 - beta1**self._steps)
        scale = (v / (1 - beta2**self._steps)).sqrt_().add_(epsilon)
        weight.index_add_(0, rows, m.div_(scale), alpha=-rate)

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold for the next step to be the same."""
        return {"method": self._method and self._method.state_dict(), "moments": self._moments, "steps": self._steps}

    def load(self, state: dict[str, Any]) -> None:
        if self._method:
            self._method.load_state_dict(state["method"])
        self._moments, self._steps = state["moments"], state["steps"]
