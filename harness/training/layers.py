"""Provide dropout that may stay on at test, and initializations that the models share."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Dropout):
    """Zero entries with probability `p` in training, and in every scoring if `test_mode` is "on"."""

    def __init__(self, p: float, test_mode: Literal["off", "on"] = "off") -> None:
        super().__init__(p)
        if test_mode == "on" and p == 0:
            raise ValueError("dropout_at_test=on has no effect with dropout=0: set dropout, or dropout_at_test=off")
        self.test_mode = test_mode

    @property
    def is_on(self) -> bool:
        """Tell whether a forward pass drops entries now."""
        return self.p > 0 and (self.training or self.test_mode == "on")

    def forward(self, values: Tensor) -> Tensor:
        return F.dropout(values, self.p, self.is_on)


@torch.no_grad()
def init_he_normal(layer: nn.Linear, fan_in: int | None = None) -> None:
    """Draw weights with standard deviation √(2 / fan-in) (He et al. 2015); zero the bias.

    Args:
        layer: The layer to initialize.
        fan_in: The number of inputs, where `layer` is only a piece of a layer and sees a part of them.
    """
    layer.weight.normal_(std=math.sqrt(2 / (fan_in or layer.in_features)))
    if layer.bias is not None:
        layer.bias.zero_()


@torch.no_grad()
def init_lecun_uniform(layer: nn.Linear) -> None:
    """Draw weights uniformly within ± √(3 / fan-in) (LeCun et al. 1998); zero the bias."""
    bound = math.sqrt(3 / layer.in_features)
    layer.weight.uniform_(-bound, bound)
    if layer.bias is not None:
        layer.bias.zero_()


@torch.no_grad()
def init_torch_bias(layer: nn.Linear, fan_in: int | None = None) -> None:
    """Draw the bias uniformly within ± 1/√fan-in, as PyTorch does."""
    bound = 1 / math.sqrt(fan_in or layer.in_features)
    layer.bias.uniform_(-bound, bound)
