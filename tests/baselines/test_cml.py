import numpy as np
import torch

from sdmr.baselines.cml import CML
from sdmr.harness.training.optimizer import OptimizationConfig
from tests.behavior import RecommenderBehavior, small

FAST = OptimizationConfig(learning_rate=0.02, regularization=0.0001, batch_size=32, epochs=30)


class TestCML(RecommenderBehavior):
    def make(self) -> CML:
        return CML(dim=16, optimization=FAST)


def test_score_is_the_negative_squared_distance() -> None:
    model = CML(dim=3)
    model.build(n_users=4, n_items=5)
    model.double()
    users, candidates = torch.tensor([2, 0]), torch.tensor([[0, 4, 1], [3, 3, 2]])
    scores = model(users, torch.zeros(2, 0, dtype=torch.long), candidates)
    for row in range(2):
        for column in range(3):
            u, v = model.users.weight[users[row]], model.items.weight[candidates[row, column]]
            expected = -sum((u[k] - v[k]) ** 2 for k in range(3))
            torch.testing.assert_close(scores[row, column], expected)


def test_embeddings_leave_the_unit_ball_where_it_is_off() -> None:
    model = CML(16, unit_ball=False, optimization=OptimizationConfig(learning_rate=0.5, batch_size=32, epochs=1))
    model.fit(small().training)
    assert all((table.weight.norm(dim=1) > 1.1).any() for table in (model.users, model.items))


def test_every_embedding_stays_in_the_unit_ball_and_some_reach_its_surface() -> None:
    model = CML(dim=16, optimization=OptimizationConfig(learning_rate=0.5, batch_size=32, epochs=1))
    model.fit(small().training)
    for table in (model.users, model.items):
        lengths = table.weight.norm(dim=1).detach().numpy()
        assert lengths.max() <= 1 + 1e-6
        assert np.isclose(lengths, 1, atol=1e-4).any()
