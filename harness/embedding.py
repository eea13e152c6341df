"""Embedding tables whose gradient names the rows that a batch has touched."""

from __future__ import annotations

import torch
from torch import nn


class Embedding(nn.Embedding):
    """A table [number (+ 1 padding row), dim], normal with standard deviation `std`.

    Its gradient is sparse, so that the optimiser knows the distinct rows of the batch: λ applies to those, and with
    `optimizer: rowwise` only those are updated. The padding row is zero, stays zero, and lies outside λ.
    """

    def __init__(self, number: int, dim: int, std: float, *, padding: bool = False, unit_ball: bool = False) -> None:
        """`padding` appends the row `number` for "no item"; `unit_ball` clips every row to length 1 after a step."""
        super().__init__(number + padding, dim, padding_idx=number if padding else None, sparse=True)
        self.unit_ball = unit_ball
        with torch.no_grad():
            self.weight.normal_(std=std)
            if padding:
                self.weight[number] = 0

    @torch.no_grad()
    def clip(self, rows: torch.Tensor) -> None:
        """Bring the given rows ([n] distinct ids) back into the unit ball."""
        if self.unit_ball:
            values = self.weight[rows]
            self.weight[rows] = values / values.norm(dim=1, keepdim=True).clamp(min=1)
