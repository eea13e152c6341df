"""The rules that read the order of Epinions' file."""

from dataclasses import replace

import numpy as np
import pytest

from sdmr.experiments.report import id_order
from tests.behavior import small

TRAINING = small().training
SORTED_ITEMS = sorted(range(TRAINING.n_items), key=str)
PREVIOUS = SORTED_ITEMS[len(SORTED_ITEMS) // 2]
LATER_ITEMS = SORTED_ITEMS[len(SORTED_ITEMS) // 2 + 1 :]
CANDIDATES = np.array([item for item in SORTED_ITEMS if item != PREVIOUS])


def score(rule: id_order.IdOrder) -> np.ndarray:
    rule.fit(replace(TRAINING, item_ids=np.arange(TRAINING.n_items)))
    return rule.score(np.array([0]), np.array([[PREVIOUS]]), CANDIDATES[None])[0]


def test_the_nearest_id_as_a_string_after_the_previous_one_comes_first() -> None:
    ranked = [int(item) for item in CANDIDATES[np.argsort(-score(id_order.IdOrder()))]]
    assert ranked == [*LATER_ITEMS, *SORTED_ITEMS[: len(SORTED_ITEMS) // 2]]


def test_the_popular_rule_puts_later_ids_first_and_orders_them_by_training_users() -> None:
    scores = score(id_order.IdOrder("popular"))
    is_after = np.isin(CANDIDATES, LATER_ITEMS)
    assert scores[is_after].min() > scores[~is_after].max()
    users = np.asarray(TRAINING.matrix.sum(axis=0)).ravel()[CANDIDATES[is_after]]
    assert (np.diff(users[np.argsort(-scores[is_after], kind="stable")]) <= 0).all()


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="first must be"):
        id_order.IdOrder("last")  # type: ignore[arg-type]


def test_items_without_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="these items have none"):
        id_order.IdOrder().fit(replace(TRAINING, item_ids=None))
