"""Initialisations that the models share. Biases start at 0, but for PyTorch's own."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def he_normal(layer: nn.Linear, fan_in: int | None = None) -> None:
    """Normal with standard deviation √(2 / fan-in) (He et al. 2015).

    `fan_in` is given where a layer is stored in pieces and each piece sees only a part of the inputs.
    """
    layer.weight.normal_(std=math.sqrt(2 / (fan_in or layer.in_features)))
    if layer.bias is not None:
        layer.bias.zero_()


@torch.no_grad()
def lecun_uniform(layer: nn.Linear) -> None:
    """Uniform within ± √(3 / fan-in) (LeCun et al. 1998)."""
    bound = math.sqrt(3 / layer.in_features)
    layer.weight.uniform_(-bound, bound)
    if layer.bias is not None:
        layer.bias.zero_()


@torch.no_grad()
def torch_bias(layer: nn.Linear, fan_in: int | None = None) -> None:
    """The bias uniform within ± 1/√fan-in, as PyTorch makes it."""
    bound = 1 / math.sqrt(fan_in or layer.in_features)
    layer.bias.uniform_(-bound, bound)
