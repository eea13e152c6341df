import numpy as np
import pytest

from sdmr.baselines.popularity import Popularity
from sdmr.datasets.task import Task
from sdmr.harness.evaluation import rank
from tests.behavior import RecommenderBehavior, baskets, checkerboard, small


class TestPopularity(RecommenderBehavior):
    test_the_model_learns_a_checkerboard = None  # type: ignore[assignment]  # it cannot: nothing in it is personal

    def make(self) -> Popularity:
        return Popularity()


@pytest.mark.parametrize("task", [small(), checkerboard(), baskets()], ids=["sparse", "checkerboard", "baskets"])
def test_the_score_is_the_number_of_training_users_for_everyone(task: Task) -> None:
    training = task.training
    takers: list[set[int]] = [set() for _ in range(training.n_items)]
    for user, item in zip(training.instances.users.tolist(), training.instances.targets.tolist(), strict=True):
        takers[item].add(user)
    popularity = Popularity()
    popularity.fit(training)
    every_item = np.tile(np.arange(training.n_items), (training.n_users, 1))
    scores = popularity.score(np.arange(training.n_users), np.empty((training.n_users, 0), dtype=np.int64), every_item)
    np.testing.assert_array_equal(scores, [[len(users) for users in takers]] * training.n_users)

    ranks = rank(popularity, task.test)
    for n, (target, candidates) in enumerate(zip(task.test.targets, task.test.candidates, strict=True)):
        others = [len(takers[item]) for item in candidates if item != target]
        assert ranks.above[n] == sum(count > len(takers[target]) for count in others)
        assert ranks.tied[n] == sum(count == len(takers[target]) for count in others)


def test_the_baskets_hold_items_taken_again() -> None:
    instances = baskets().training.instances
    pairs = set(zip(instances.users.tolist(), instances.targets.tolist(), strict=True))
    assert len(pairs) < len(instances)
