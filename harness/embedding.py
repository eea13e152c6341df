"""Embedding tables whose gradient names the rows that a batch has touched."""

from __future__ import annotations

from typing import Any, Self

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Embedding(nn.Embedding):
    """A table [number (+ 1 padding row), dim], normal with standard deviation `std`.

    Its gradient is sparse, so that the optimiser knows the distinct rows of the batch: λ applies to those, and with
    `optimizer: rowwise` only those are updated. The padding row is zero, stays zero, and lies outside λ.
    """

    def __init__(self, number: int, dim: int, std: float, *, padding: bool = False, unit_ball: bool = False) -> None:
        """`padding` appends the row `number` for "no item"; `unit_ball` clips every row to length 1 after a step."""
        super().__init__(number + padding, dim, padding_idx=number if padding else None, sparse=True)
        self.unit_ball = unit_ball
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

    def through(self, layer: nn.Linear, ids: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """`layer`'s output [..., out] for the rows of `ids` [...]; and the rows [..., dim] of `others`, without layer.

        In an evaluation, whose candidates are many times more than items, all rows go through the layer once; the
        output [n, out] is kept until training goes on.
        """
        if self.training or torch.is_grad_enabled():
            rows, *rest = self.each(ids, *others)
            return layer(rows), *rest
        state = [(id(parameter), parameter._version) for parameter in (self.weight, *layer.parameters())]
        if self._evaluated.get(id(layer), (None,))[0] != state:
            self._evaluated[id(layer)] = state, layer(self.weight)
        return F.embedding(ids, self._evaluated[id(layer)][1]), *(F.embedding(each, self.weight) for each in others)

    def train(self, mode: bool = True) -> Self:
        """As in PyTorch. Training ends what `through` remembers: PyTorch's versions do not count the fused Adam."""
        if mode:
            self._evaluated.clear()
        return super().train(mode)

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
            values.masked_fill_(rows.eq(ctx.padding)[:, None], 0)
        gradient = torch.sparse_coo_tensor(rows[None], values, ctx.shape, check_invariants=False)
        return gradient, None, *(None for _ in gradients)


class RowSums:
    """Sums a sparse gradient by row, in time that depends on the batch alone; PyTorch's `coalesce` sorts the ids."""

    def __init__(self, n_rows: int) -> None:
        self._place = np.full(n_rows, -1)

    def __call__(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The distinct rows [n] of a sparse gradient, in the order of the batch, and their sums [n, dim]."""
        if gradient.device.type != "cpu":
            gradient = gradient.coalesce()
            return gradient.indices()[0], gradient.values()
        ids, values = gradient._indices()[0].numpy(), gradient._values().numpy()
        rows, sums = _sum_by_row(ids, np.ascontiguousarray(values), self._place)
        return torch.from_numpy(rows), torch.from_numpy(sums)


@numba.njit(nogil=True, cache=True)
def _sum_by_row(ids, values, place):  # type: ignore[no-untyped-def]
    """`place` [n_rows] is −1 everywhere, before and after: what stands where is written while the ids are read."""
    most = min(len(ids), len(place))  # memory that is not asked for need not be found
    rows, sums, n = np.empty(most, ids.dtype), np.empty((most, values.shape[1]), values.dtype), 0
    for i in range(len(ids)):
        at = place[ids[i]]
        if at < 0:
            place[ids[i]] = n
            rows[n] = ids[i]
            for k in range(values.shape[1]):
                sums[n, k] = values[i, k]
            n += 1
        else:
            for k in range(values.shape[1]):
                sums[at, k] += values[i, k]
    for i in range(n):
        place[rows[i]] = -1
    return rows[:n], sums[:n]
