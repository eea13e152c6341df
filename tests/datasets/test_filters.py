from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from sdmr.datasets.ijcai_15 import sample_baskets
from sdmr.datasets.interactions import Interactions, filter_basket_sizes, k_core, set_order

pairs = st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=35).map(sorted)


def make_interactions(rows: list[tuple[int, ...]]) -> Interactions:
    """Build interactions from rows of (user, item) or (user, item, basket)."""
    users, items, *baskets = (np.array(column) for column in zip(*rows, strict=True))
    return Interactions.from_raw(users, items, np.arange(len(rows)), *baskets)


def get_raw_pairs(data: Interactions) -> list[tuple[int, int]]:
    return list(zip(data.user_ids[data.users].tolist(), data.item_ids[data.items].tolist(), strict=True))


def filter_once(rows: list[tuple[int, int]], min_count: int) -> list[tuple[int, int]]:
    users, items = Counter(user for user, _ in rows), Counter(item for _, item in rows)
    return [(user, item) for user, item in rows if users[user] >= min_count and items[item] >= min_count]


@given(pairs, st.integers(1, 4))
def test_k_core_in_one_pass_counts_before_it_drops(rows: list[tuple[int, int]], min_count: int) -> None:
    assert get_raw_pairs(k_core(make_interactions(rows), min_count)) == filter_once(rows, min_count)


@given(pairs, st.integers(1, 4))
def test_iterative_k_core_is_the_fixed_point(rows: list[tuple[int, int]], min_count: int) -> None:
    expected = rows
    while (after := filter_once(expected, min_count)) != expected:
        expected = after
    result = k_core(make_interactions(rows), min_count, iterative=True)
    assert get_raw_pairs(result) == expected
    assert result.n_users == len({user for user, _ in expected})
    assert result.n_items == len({item for _, item in expected})


def test_one_pass_may_keep_rows_that_iteration_drops() -> None:
    rows = [(0, 0), (0, 1), (1, 0), (1, 2)]
    assert get_raw_pairs(k_core(make_interactions(rows), 2)) == [(0, 0), (1, 0)]
    assert len(k_core(make_interactions(rows), 2, iterative=True)) == 0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 4), st.integers(0, 4))
def test_filter_drops_baskets_of_other_sizes_and_keeps_the_rest_complete(
    baskets: list[int], min_basket: int, extra: int
) -> None:
    rows = [(basket // 2, item, basket) for item, basket in enumerate(baskets)]
    result = filter_basket_sizes(make_interactions(rows), min_basket, min_basket + extra)
    size = Counter(baskets)
    expected = [row[:2] for row in rows if min_basket <= size[row[2]] <= min_basket + extra]
    assert get_raw_pairs(result) == expected
    assert result.n_baskets == len({basket for basket, n in size.items() if min_basket <= n <= min_basket + extra})


def test_sampled_baskets_are_complete_and_of_the_requested_number() -> None:
    rows = pd.DataFrame([(item, 7 * basket) for basket in range(10) for item in range(basket + 1)])
    rows.columns = ["item", "basket"]
    result = sample_baskets(rows, 4, seed=0)
    assert result["basket"].nunique() == 4
    for basket, items in result.groupby("basket")["item"]:
        assert items.tolist() == list(range(basket // 7 + 1))
    assert sample_baskets(rows, 4, seed=0).equals(result)
    assert not sample_baskets(rows, 4, seed=1).equals(result)
    assert sample_baskets(rows, 11, seed=0).equals(rows)


def test_every_basket_is_sampled_equally_often() -> None:
    rows = pd.DataFrame({"basket": np.arange(12)})
    counts = np.bincount(
        np.concatenate([sample_baskets(rows, 3, seed)["basket"] for seed in range(2000)]), minlength=12
    )
    assert chisquare(counts).pvalue > 0.001


def test_basket_filter_on_data_without_baskets_is_an_error() -> None:
    with pytest.raises(ValueError, match="no baskets"):
        filter_basket_sizes(make_interactions([(0, 0)]), 1, 2)


def test_file_order_uses_row_numbers_as_times() -> None:
    data = set_order(Interactions.from_raw(np.array([3, 1]), np.array([5, 6])), "file")
    assert data.times is not None
    assert data.times.tolist() == [0, 1]


def test_shuffled_rows_are_a_permutation_of_the_rows() -> None:
    data = make_interactions([(user, item, user) for user in range(5) for item in range(6)])
    result = set_order(data, "random", seed=3)
    assert result.times is not None
    assert result.baskets is not None
    assert result.users.tolist() != data.users.tolist()
    rows = zip(
        result.users.tolist(), result.items.tolist(), result.times.tolist(), result.baskets.tolist(), strict=True
    )
    assert sorted(rows) == [(row // 6, row % 6, row, row // 6) for row in range(30)]


def test_rows_that_several_passes_drop_are_counted_together() -> None:
    users, items = np.array([(0, 0), (0, 1), (1, 0), (1, 2), *((u, i) for u in (5, 6) for i in (7, 8))]).T
    result = k_core(Interactions.from_raw(users, items), 2, iterative=True)
    assert (len(result), result.dropped["rare_rows"], result.dropped["users_left_out"]) == (4, 4, 2)
