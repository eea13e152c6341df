"""Helpers for the tests of SDMR."""

import numpy as np

from sdmr.models.sdmr import SDMR
from tests.behavior import small

Inputs = tuple[np.ndarray, np.ndarray, np.ndarray]


def build_on_parts(model: SDMR) -> SDMR:
    """Fit the parts and build the model without training it."""
    for part in model.parts.values():
        if not part.is_fitted:
            part.fit(small().training)
    model.build(small().training.n_users, small().training.n_items)
    return model


def inputs_of(model: SDMR) -> Inputs:
    test = small().test
    return test.users, test.contexts.last_n(model.context_length), test.candidates
