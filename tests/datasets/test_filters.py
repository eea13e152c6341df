from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from sdmr.datasets.filters import basket_sizes, core, draw, in_file_order, sample_baskets, shuffled
from sdmr.datasets.interactions import Interactions

pairs = st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=35).map(sorted)


def interactions(rows: list[tuple[int, ...]]) -> Interactions:
    """Rows of (user, item) or (user, item, basket)."""
    users, items, *baskets = (np.array(column) for column in zip(*rows, strict=True))
    return Interactions.from_raw(users, items, np.arange(len(rows)), *baskets)


def raw_pairs(data: Interactions) -> list[tuple[int, int]]:
    return list(zip(data.user_ids[data.users].tolist(), data.item_ids[data.items].tolist(), strict=True))


def one_pass(rows: list[tuple[int, int]], least: int) -> list[tuple[int, int]]:
    users, items = Counter(user for user, _ in rows), Counter(item for _, item in rows)
    return [(user, item) for user, item in rows if users[user] >= least and items[item] >= least]


@given(pairs, st.integers(1, 4))
def test_core_in_one_pass_counts_before_it_drops(rows: list[tuple[int, int]], least: int) -> None:
    assert raw_pairs(core(interactions(rows), least)) == one_pass(rows, least)


@given(pairs, st.integers(1, 4))
def test_core_iterated_is_the_fixed_point(rows: list[tuple[int, int]], least: int) -> None:
    expected = rows
    while (after := one_pass(expected, least)) != expected:
        expected = after
    found = core(interactions(rows), least, iterated=True)
    assert raw_pairs(found) == expected
    assert found.n_users == len({user for user, _ in expected})
    assert found.n_items == len({item for _, item in expected})


def test_one_pass_may_leave_what_iteration_drops() -> None:
    rows = [(0, 0), (0, 1), (1, 0), (1, 2)]
    assert raw_pairs(core(interactions(rows), 2)) == [(0, 0), (1, 0)]
    assert len(core(interactions(rows), 2, iterated=True)) == 0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 4), st.integers(0, 4))
def test_baskets_of_the_wrong_size_go_and_others_stay_whole(baskets: list[int], smallest: int, more: int) -> None:
    rows = [(basket // 2, item, basket) for item, basket in enumerate(baskets)]
    found = basket_sizes(interactions(rows), smallest, smallest + more)
    size = Counter(baskets)
    expected = [row[:2] for row in rows if smallest <= size[row[2]] <= smallest + more]
    assert raw_pairs(found) == expected
    assert found.n_baskets == len({basket for basket, n in size.items() if smallest <= n <= smallest + more})


def test_sampled_baskets_are_whole_and_as_many_as_asked_for() -> None:
    rows = [(basket, item, basket) for basket in range(10) for item in range(basket + 1)]
    data = interactions(rows)
    found = sample_baskets(data, 4, seed=0)
    assert found.n_baskets == 4
    for user in found.user_ids[np.unique(found.users)].tolist():
        assert raw_pairs(found).count((user, 0)) == 1
        assert sum(own == user for own, _ in raw_pairs(found)) == user + 1
    assert raw_pairs(sample_baskets(data, 4, seed=0)) == raw_pairs(found)
    assert raw_pairs(sample_baskets(data, 4, seed=1)) != raw_pairs(found)
    assert raw_pairs(sample_baskets(data, 11, seed=0)) == raw_pairs(data)


def test_every_basket_is_drawn_equally_often() -> None:
    counts = np.bincount(np.concatenate([draw(12, 3, seed) for seed in range(2000)]), minlength=12)
    assert chisquare(counts).pvalue > 0.001


def test_data_without_baskets_cannot_be_filtered_by_them() -> None:
    with pytest.raises(ValueError, match="no baskets"):
        basket_sizes(interactions([(0, 0)]), 1, 2)


def test_file_order_makes_the_row_the_time() -> None:
    data = in_file_order(Interactions.from_raw(np.array([3, 1]), np.array([5, 6])))
    assert data.times is not None
    assert data.times.tolist() == [0, 1]


def test_shuffled_rows_are_the_same_rows() -> None:
    data = interactions([(user, item, user) for user in range(5) for item in range(6)])
    found = shuffled(data, seed=3)
    assert found.times is not None
    assert found.baskets is not None
    assert found.users.tolist() != data.users.tolist()
    rows = zip(found.users.tolist(), found.items.tolist(), found.times.tolist(), found.baskets.tolist(), strict=True)
    assert sorted(rows) == [(row // 6, row % 6, row, row // 6) for row in range(30)]
