from __future__ import annotations

from harness.optimiser import Optimisation
from models.sdm import SDM
from tests.behaviour import RecommenderBehaviour

FAST = Optimisation(learning_rate=0.02, regularisation=0.0001, batch_size=32, epochs=30)


class TestSDM(RecommenderBehaviour):
    def make(self) -> SDM:
        return SDM(dim=16, hops=2, optimisation=FAST)
