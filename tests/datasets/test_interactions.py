import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmr.datasets.interactions import Interactions


def test_ids_are_numbered_in_sorted_order() -> None:
    data = Interactions.from_raw(np.array([30, 4, 30]), np.array([7, 7, 100]))
    assert data.users.tolist() == [1, 0, 1]
    assert data.items.tolist() == [0, 0, 1]
    assert data.user_ids.tolist() == [4, 30]
    assert (data.n_users, data.n_items, data.n_baskets, len(data)) == (2, 2, 0, 3)


def test_numbers_written_as_text_sort_as_numbers() -> None:
    data = Interactions.from_raw(np.array(["10", "9"]), np.array(["1", "0"]))
    assert data.user_ids.tolist() == [9, 10]
    assert data.users.tolist() == [1, 0]


def test_ids_that_differ_in_leading_zeros_are_distinct() -> None:
    data = Interactions.from_raw(np.array(["007", "7", "10"]), np.array(["a", "b", "c"]))
    assert data.user_ids.tolist() == ["007", "10", "7"]


def test_times_of_any_type_keep_their_order() -> None:
    days = np.array(["2005-12-02", "2005-12-01", "2005-12-02"], dtype="datetime64[D]")
    large = np.array([2**63 + 5, 7, 2**63 + 5], dtype=np.uint64)
    for times in (np.array([0.9, 0.5, 0.9]), days, large):
        assert Interactions.from_raw(np.zeros(3, int), np.arange(3), times).times.tolist() == [1, 0, 1]
    text = Interactions.from_raw(np.zeros(3, int), np.arange(3), np.array(["9", "10", "100"])).times
    assert text is not None
    assert text.tolist() == [9, 10, 100]
    missing = np.array([0.9, np.nan])
    with pytest.raises(ValueError, match="time of row 1"):
        Interactions.from_raw(np.zeros(2, int), np.arange(2), missing)


@pytest.mark.parametrize("digit", ["\u0663", "\u00b2"])
def test_digits_of_other_scripts_are_distinct_ids(digit: str) -> None:
    data = Interactions.from_raw(np.array(["3", digit, "4"]), np.arange(3))
    assert data.user_ids.tolist() == sorted(["3", digit, "4"])
    assert len(set(data.users.tolist())) == 3


def test_ids_too_long_for_an_integer_stay_text() -> None:
    ids = np.array(["9" * 25, "1"])
    assert Interactions.from_raw(ids, np.array([1, 2])).user_ids.tolist() == ["1", "9" * 25]


raw_rows = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30)


@given(raw_rows, st.data())
def test_keep_equals_building_from_the_kept_rows(rows: list[tuple[int, int, int]], data: st.DataObject) -> None:
    users, items, baskets = (np.array(column) for column in zip(*rows, strict=True))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    times = np.arange(len(rows))
    result = Interactions.from_raw(users, items, times, baskets).keep(mask)
    expected = Interactions.from_raw(users[mask], items[mask], times[mask], baskets[mask])
    for field in ("users", "items", "user_ids", "item_ids", "times", "baskets"):
        assert getattr(result, field).tolist() == getattr(expected, field).tolist()


def test_taken_rows_keep_their_numbers() -> None:
    data = Interactions.from_raw(np.array([30, 4, 8]), np.array([7, 7, 100]), baskets=np.array([2, 1, 3]))
    taken = data.take(np.array([2, 0]))
    assert taken.users.tolist() == [1, 2]
    assert taken.items.tolist() == [1, 0]
    assert taken.times is None
    assert taken.sequences.tolist() == [2, 1]
    assert taken.user_ids.tolist() == [4, 8, 30]
    assert Interactions.from_raw(np.array([30, 4]), np.array([7, 7])).sequences.tolist() == [1, 0]


def test_a_table_without_times_and_baskets_gives_none_of_them() -> None:
    table = pd.DataFrame({"user": [2, 1], "item": [5, 6], "rating": [1, 1]})
    data = Interactions.from_table(table)
    assert (data.users.tolist(), data.items.tolist(), data.times, data.baskets) == ([1, 0], [0, 1], None, None)
    assert Interactions.from_table(table.assign(time=[7, 3], basket=[9, 8])).times is not None
