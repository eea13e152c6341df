"""Top-k lists are those of a brute-force search, without what the user has."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from sdmr.baselines.item_knn import ItemKNN
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.split import split
from sdmr.datasets.task import Task
from sdmr.harness.evaluation import BATCH
from sdmr.harness.top_k import build_contexts, count_items, recommend, summarize_lists

N_ITEMS = 40


def make_histories() -> Task:
    """Make more users than a batch; the last two are too short to be held out, one has all items but three."""
    rng = np.random.default_rng(0)
    sizes = [*rng.integers(3, 9, size=BATCH), N_ITEMS - 3, 2, 1]
    users = np.arange(len(sizes)).repeat(sizes)
    items = np.concatenate([rng.choice(N_ITEMS, size, replace=False) for size in sizes])
    return split(Interactions.from_raw(users, items, rng.integers(99, size=len(users))), n_candidates=3)


def make_baskets() -> Task:
    """Make three baskets a user, one of them too short to be held out; users share no basket, and repeat items."""
    rng = np.random.default_rng(1)
    rows = [(u, i, 3 * u + b) for u in range(50) for b in range(3) for i in rng.choice(N_ITEMS, 2 + 2 * b, False)]
    users, items, baskets = np.array(rows).T
    return split(Interactions.from_raw(users, items, baskets=baskets), n_candidates=3)


class Remainders:
    """Score with many ties, by the user, the last context item and the candidate."""

    context_length = 2

    def fit(self, training: Any) -> None: ...

    def score(self, users: np.ndarray, contexts: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        return ((candidates * 7 + users[:, None] + contexts[:, -1:]) % 5).astype(np.float32)


def list_seen(task: Task, user: int) -> set[int]:
    sides = (task.training.instances, task.training.validation, task.test)
    return {int(item) for side in sides for item in side.targets[side.users == user]}


@pytest.mark.parametrize("k", [1, 4, N_ITEMS, 1000])
@pytest.mark.parametrize("max_scores", [2**22, 3 * N_ITEMS, 1])
@pytest.mark.parametrize("make_task", [make_histories, make_baskets])
def test_a_list_is_that_of_a_brute_force_search(make_task: Callable[[], Task], max_scores: int, k: int) -> None:
    task, model = make_task(), Remainders()
    users = np.arange(task.training.n_users)
    lists = recommend(model, task, users, k, max_scores)
    contexts = build_contexts(task.training, users).last_n(2)
    scores = model.score(users, contexts, np.tile(np.arange(task.training.n_items), (len(users), 1)))
    expected = []
    for user in users.tolist():
        unseen = [item for item in range(task.training.n_items) if item not in list_seen(task, user)]
        best = sorted(unseen, key=lambda item: (-scores[user, item], item))[:k]
        expected += [(user, rank, item, scores[user, item]) for rank, item in enumerate(best, 1)]
    assert list(lists.itertuples(index=False, name=None)) == expected


@pytest.mark.parametrize("model", [Remainders, ItemKNN])
def test_an_item_that_no_target_is_ranked_among_is_in_no_list(model: type[Any]) -> None:
    task, recommender, trained = make_histories(), model(), np.arange(0, N_ITEMS, 2)
    recommender.fit(task.training)
    cut = replace(task, test=replace(task.test, ranked_items=trained))
    users = np.arange(task.training.n_users)
    lists, every = (recommend(recommender, one, users, N_ITEMS) for one in (cut, task))
    expected = every[every["item"].isin(trained)]
    assert list(zip(lists["user"], lists["item"], strict=True)) == list(
        zip(expected["user"], expected["item"], strict=True)
    )


def test_lists_of_some_users_are_in_their_order_and_those_of_all() -> None:
    task = make_histories()
    model = ItemKNN()
    model.fit(task.training)
    users = np.array([100, 3, 3, 130])
    every = recommend(model, task, np.arange(task.training.n_users), 5)
    some = recommend(model, task, users, 5)
    assert some["user"].tolist() == users.repeat(5).tolist()[:17] + [130] * (len(some) - 17)
    for user in (100, 130):
        np.testing.assert_array_equal(some[some["user"] == user], every[every["user"] == user])


def test_the_context_of_a_history_is_that_of_its_test_item() -> None:
    task = make_histories()
    contexts = build_contexts(task.training, task.test.users)
    np.testing.assert_array_equal(contexts.last_n(20), task.test.contexts.last_n(20))


def test_the_context_of_baskets_is_the_last_one() -> None:
    task = make_baskets()
    is_last = np.append(task.test.users[1:] != task.test.users[:-1], True)
    contexts = build_contexts(task.training, np.arange(task.training.n_users))
    assert is_last.sum() == task.training.n_users
    np.testing.assert_array_equal(contexts.last_n(9), task.test.contexts.last_n(9, np.flatnonzero(is_last)))


def test_a_user_without_training_items_has_an_empty_context() -> None:
    task = make_histories()
    object.__setattr__(task.training, "n_users", task.training.n_users + 1)
    context = build_contexts(task.training, np.array([task.training.n_users - 1])).last_n(3)
    assert context.tolist() == [[N_ITEMS] * 3]


def test_metrics_of_lists_are_those_of_a_loop() -> None:
    task, model = make_histories(), Remainders()
    training = task.training
    lists = recommend(model, task, np.arange(training.n_users), 6)
    counts = sum(count_items(lists[lists["user"] % 2 == half], training, 4) for half in (0, 1))
    metrics = summarize_lists(counts, training, [1, 4])
    users = [len(set(training.instances.users[training.instances.targets == item])) for item in range(N_ITEMS)]
    for k in (1, 4):
        listed = [item for item, rank in zip(lists["item"], lists["rank"], strict=True) if rank <= k]
        assert metrics[f"coverage@{k}"] == len(set(listed)) / N_ITEMS
        assert metrics[f"popularity@{k}"] == pytest.approx(sum(users[item] for item in listed) / len(listed))
        novelty = [-np.log2(max(users[item], 1) / training.n_users) for item in listed]
        assert metrics[f"novelty@{k}"] == pytest.approx(sum(novelty) / len(listed))


def test_lists_of_raw_ids_are_counted_and_an_item_without_users_is_as_novel_as_one_with_one() -> None:
    training: Any = SimpleNamespace(
        n_users=4, n_items=3, item_ids=np.array([50, 7, 9]), item_titles=None,
        matrix=csr_matrix(np.array([[1, 0, 0], [1, 0, 1], [0, 0, 0], [0, 0, 0]])),
    )  # fmt: skip
    lists = pd.DataFrame({"rank": [1, 2, 1, 3], "item": [7, 50, 7, 9]})
    counts = count_items(lists, training, 2)
    assert counts.tolist() == [[0, 2, 0], [1, 0, 0]]
    assert summarize_lists(counts, training, [1, 2]) == pytest.approx(
        {"coverage@1": 1 / 3, "popularity@1": 0, "novelty@1": 2}
        | {"coverage@2": 2 / 3, "popularity@2": 2 / 3, "novelty@2": 5 / 3}
    )
