"""Attention of saved models."""

import numpy as np
import pytest
import torch

from sdmr.experiments.figures.runs import compute_attention
from sdmr.models.sdm import SDM


@pytest.mark.parametrize("hops", [1, 3])
def test_attention_of_every_hop_sums_to_one_and_is_zero_on_padding(hops: int) -> None:
    torch.manual_seed(0)
    model = SDM(dim=8, hops=hops, context_length=6)
    model.build(5, 40)
    rng = np.random.default_rng(0)
    contexts = rng.integers(40, size=(2000, 6))
    is_padding = np.arange(6) < rng.integers(6, size=2000)[:, None]
    contexts[is_padding] = 40
    weights = compute_attention(model, rng.integers(5, size=2000), contexts, rng.integers(40, size=2000))
    assert weights.shape == (hops, 2000, 6)
    assert np.allclose(weights.sum(axis=2), 1, atol=1e-5)
    assert (weights[:, is_padding] == 0).all()
    assert (weights[:, ~is_padding] > 0).all()
