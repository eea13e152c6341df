"""Attention of saved models."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.plan import FoundRun
from sdmr.experiments.figures.runs import compute_attention, load_model
from sdmr.models.sdm import SDM
from tests.experiments.figures.records import write_record


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


def test_lost_model_is_an_error_that_says_how_to_make_it(tmp_path: Path) -> None:
    write_record(tmp_path / "run")
    with pytest.raises(DataError, match=r"model.pt is missing; `sdmr run ... force=true` makes the run again"):
        load_model(FoundRun(tmp_path / "run"))
