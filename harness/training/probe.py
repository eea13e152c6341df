"""Some scores that show whether saved values are all that a model has learned."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sdmr.harness.generators import keep_generators, seed_generators
from sdmr.harness.recommender import ModelError
from sdmr.harness.score_check import spread_rows

if TYPE_CHECKING:
    from sdmr.harness.training.base import TorchRecommender

N_USERS, N_ITEMS = 8, 64


def compute_probe(model: "TorchRecommender", n_users: int, n_items: int) -> dict[str, Any]:
    """Return scores of some users and items, to save, unless two calls differ."""
    try:
        first, second = (_score(model, n_users, n_items) for _ in range(2))
    except (LookupError, ValueError):  # a model may only know pairs of the data
        return {}
    return {"probe": torch.from_numpy(first)} if np.array_equal(first, second) else {}


def check_probe(model: "TorchRecommender", saved: dict[str, Any], n_users: int, n_items: int) -> None:
    """Raise ModelError if a model with saved values scores otherwise than when they were saved."""
    if (expected := saved.get("probe")) is None:
        return
    fault, scores, expected = "", None, expected.cpu().numpy()
    try:
        scores = _score(model, n_users, n_items)
    except Exception as error:
        fault = f": {type(error).__name__}: {error}"
    tolerance = 1e-3 * np.abs(expected).max()  # for another device
    if scores is None or not np.allclose(scores, expected, rtol=0, atol=tolerance, equal_nan=True):
        raise ModelError(
            f"{type(model).__name__} scores otherwise with its saved parameters{fault}: what fit learns or sets must "
            "be a parameter or a buffer that build makes (self.register_buffer)"
        )


def _score(model: "TorchRecommender", n_users: int, n_items: int) -> np.ndarray:
    users, items = spread_rows(n_users, N_USERS), spread_rows(n_items, N_ITEMS)
    contexts = (users[:, None] + np.arange(model.context_length)) % n_items
    with keep_generators():
        seed_generators(0)
        return np.array(model.score(users, contexts, np.tile(items, (len(users), 1))), dtype=np.float64)
