from __future__ import annotations

from harness.optimiser import Optimisation
from models.sdp import SDP
from tests.behaviour import RecommenderBehaviour

FAST = Optimisation(learning_rate=0.02, regularisation=0.0001, batch_size=32, epochs=30)


class TestSDP(RecommenderBehaviour):
    def make(self) -> SDP:
        return SDP(dim=16, optimisation=FAST)
