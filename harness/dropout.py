"""Dropout that ends with training, or does not."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Dropout):
    """Zeroes entries with probability `p` in training and, with `at_test: on`, whenever items are scored, too."""

    def __init__(self, p: float, at_test: Literal["off", "on"] = "off") -> None:
        super().__init__(p)
        if at_test not in ("off", "on"):
            raise ValueError(f'dropout_at_test must be "off" or "on", not {at_test!r}')
        if at_test == "on" and p == 0:
            raise ValueError(
                "dropout_at_test=on has no effect with dropout=0: where it is the variant's, say dropout_at_test=off"
            )
        self.at_test = at_test

    @property
    def is_on(self) -> bool:
        return self.p > 0 and (self.training or self.at_test == "on")

    def forward(self, values: Tensor) -> Tensor:
        return F.dropout(values, self.p, self.is_on)
