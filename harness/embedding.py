"""Embedding tables whose gradient names the rows that a batch has touched."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdmr.harness.rows import Distinct, sum_at


class Embedding(nn.Embedding):
    """A table [number (+ 1 padding row), dim], normal with standard deviation `std`.

    Its gradient is sparse, so that the optimiser knows the distinct rows of the batch: λ applies to those, and with
    `optimizer: rowwise` only those are updated. The padding row is zero, stays zero, and lies outside λ.
    """

    def __init__(self, number: int, dim: int, std: float, *, padding: bool = False, unit_ball: bool = False) -> None:
        """`padding` appends the row `number` for "no item"; `unit_ball` clips every row to length 1 after a step."""
        super().__init__(number + padding, dim, padding_idx=number if padding else None, sparse=True)
        self.unit_ball = unit_ball
        self._distinct = Distinct(len(self.weight))
        self._evaluated: dict[int, Any] = {}  # see `through`
        with torch.no_grad():
            self.weight.normal_(std=std)
            if padding:
                self.weight[number] = 0

    def forward(self, ids: Tensor) -> Tensor:
        """Rows [..., dim] of `ids` [...]."""
        return self.each(ids)[0]

    def each(self, *ids: Tensor) -> tuple[Tensor, ...]:
        """The rows of several tensors of ids, with one gradient for them all, which is faster than to add several."""
        rows: tuple[Tensor, ...] = _LookUp.apply(self.weight, self.padding_idx, *ids)
        return rows

    def through(self, *layers_and_ids: tuple[nn.Linear, Tensor]) -> tuple[tuple[Tensor, Tensor], ...]:
        """For each layer and ids [...], the layer's outputs [n, out] for the distinct rows of these ids, and the place
        [...] of each id among them: `gather(outputs, place)` is [..., out].

        A layer's work, and that of its gradient, is thus done once a row. In evaluations it is done once for all of
        them: the output of the whole table is kept until training goes on.
        """
        distinct = [self._distinct(ids) for _, ids in layers_and_ids]
        layers, places = [layer for layer, _ in layers_and_ids], [place for _, place in distinct]
        if self.training or torch.is_grad_enabled():
            each = self.each(*(rows for rows, _ in distinct))
            outputs = [layer(rows) for layer, rows in zip(layers, each, strict=True)]
        else:
            outputs = [self._evaluate(layer)[rows] for layer, (rows, _) in zip(layers, distinct, strict=True)]
        return tuple(zip(outputs, places, strict=True))

    def _evaluate(self, layer: nn.Linear) -> Tensor:
        state = [(id(parameter), parameter._version) for parameter in (self.weight, *layer.parameters())]
        if self._evaluated.get(id(layer), (None,))[0] != state:
            self._evaluated[id(layer)] = state, layer(self.weight)
        output: Tensor = self._evaluated[id(layer)][1]
        return output

    def train(self, mode: bool = True) -> Self:
        """As in PyTorch. Training ends what `through` remembers: PyTorch's versions do not count the fused Adam."""
        if mode:
            self._evaluated.clear()
        return super().train(mode)

    def sums(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The distinct rows [n] of its gradient, and what the gradient sums up to in each of them, [n, dim]."""
        rows, place = self._distinct(gradient._indices()[0])
        return rows, sum_at(place, gradient._values(), len(rows))

    @torch.no_grad()
    def clip(self, rows: Tensor) -> None:
        """Bring the given rows ([n] distinct ids) back into the unit ball."""
        if self.unit_ball:
            values = self.weight[rows]
            self.weight[rows] = values / values.norm(dim=1, keepdim=True).clamp(min=1)


class _LookUp(torch.autograd.Function):
    """As PyTorch's sparse embedding; padding gets a zero as its gradient, where PyTorch selects what is no padding."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, padding: int | None, *ids: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*ids)
        ctx.shape, ctx.padding = weight.shape, padding
        return tuple(F.embedding(each, weight) for each in ids)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        rows = torch.cat([ids.reshape(-1) for ids in ctx.saved_tensors])
        if len(gradients) == 1 and ctx.padding is None:
            values = gradients[0].reshape(-1, ctx.shape[1])
        else:
            values = torch.cat([gradient.reshape(-1, ctx.shape[1]) for gradient in gradients])
        if ctx.padding is not None:
            values[rows == ctx.padding] = 0
        gradient = torch.sparse_coo_tensor(rows[None], values, ctx.shape, check_invariants=False)
        return gradient, None, *(None for _ in gradients)
