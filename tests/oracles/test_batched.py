"""The batched oracles are the models that they are compared with."""

import copy

import pytest
import torch

from sdmr.models.sdm import SDM
from sdmr.models.sdp import SDP
from tests.oracles.batched import LiteralSDM, LiteralSDP
from tests.oracles.loops import CANDIDATES, CONTEXTS, N_ITEMS, USERS, assert_same_gradients, scatter


@pytest.mark.parametrize(
    ("fast", "literal"),
    [
        (SDP(dim=8, layers=2), LiteralSDP(dim=8, layers=2)),
        *((SDM(6, hops, context_length=4), LiteralSDM(6, hops, context_length=4)) for hops in (1, 2, 3, 4)),
    ],
)
def test_a_batched_oracle_has_the_scores_and_gradients_of_its_model(
    fast: SDP | SDM, literal: LiteralSDP | LiteralSDM
) -> None:
    for model in (fast, literal):
        model.build(n_users=5, n_items=N_ITEMS)
        model.double()
        scatter(model, seed=1)
    literal.load_state_dict(copy.deepcopy(fast.state_dict()))
    scores, expected = (model(USERS, CONTEXTS, CANDIDATES) for model in (fast, literal))
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-9)
    weights = torch.randn(CANDIDATES.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for values in (scores, expected):
        (values * weights).sum().backward()
    assert_same_gradients(fast, literal, 1e-9)
