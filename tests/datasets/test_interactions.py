import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmr.datasets.interactions import Interactions, set_order


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
        encoded = Interactions.from_raw(np.zeros(3, int), np.arange(3), times).times
        assert np.unique(encoded, return_inverse=True)[1].tolist() == [1, 0, 1]
    for dtype in (str, object, bytes):
        text = Interactions.from_raw(np.zeros(3, int), np.arange(3), np.array(["9", "10", "100"], dtype=dtype)).times
        assert text is not None
        assert text.tolist() == [9, 10, 100]
    dates = pd.DataFrame({"user": 1, "item": range(3), "time": ["05/13/2014", "01/02/2015", "12/31/2013"]})
    assert np.argsort(Interactions.from_table(dates).times).tolist() == [2, 0, 1]
    missing = np.array([0.9, np.nan, 0.5])
    with pytest.raises(ValueError, match="line 1: time is missing"):
        Interactions.from_raw(np.zeros(3, int), np.arange(3), missing)


@pytest.mark.parametrize("digit", ["\u0663", "\u00b2"])
def test_digits_of_other_scripts_are_distinct_ids(digit: str) -> None:
    data = Interactions.from_raw(np.array(["3", digit, "4"]), np.arange(3))
    assert data.user_ids.tolist() == sorted(["3", digit, "4"])
    assert len(set(data.users.tolist())) == 3


def test_ids_too_long_for_an_integer_stay_text() -> None:
    ids = np.array(["9" * 25, "1"])
    assert Interactions.from_raw(ids, np.array([1, 2])).user_ids.tolist() == ["1", "9" * 25]


@pytest.mark.parametrize("ids", [[1.0, 2.0**53], [1.0, np.inf], [0.5, 1e300], [1.0, -1e19]])
def test_floating_point_ids_that_have_lost_digits_are_an_error(ids: list[float]) -> None:
    with pytest.raises(ValueError, match=rf"^item {re.escape(str(ids[1]))} is a float64 number, which has lost digits"):
        Interactions.from_raw(np.array([1, 2]), np.array(ids))
    with pytest.raises(ValueError, match=r"^user .* is a float32 number"):
        Interactions.from_raw(np.array([2**24, 1], dtype=np.float32), np.array([1, 2]))
    assert Interactions.from_raw(np.array([2.0**53 - 1, 1]), np.array([1, 2])).user_ids.tolist() == [1, 2**53 - 1]


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


def test_ids_and_times_that_look_wrong_are_counted() -> None:
    users = ["u1", " u1", "28", "28.0", "u5", "28"]
    data = Interactions.from_raw(users, np.arange(6), [1_500_000_000, 1_500_000_000_000, *[1_500_000_001] * 4])
    assert dict(data.dropped) == {
        "ids_with_blanks_at_an_end": 1,
        "ids_equal_to_others_as_numbers": 1,
        "times_of_another_unit": 1,
    }
    assert Interactions.from_raw([b"a", "b", b"b"], np.arange(3)).user_ids.tolist() == ["a", "b"]


def test_a_table_of_other_columns_or_lengths_is_an_error_and_its_attributes_count_nothing() -> None:
    with pytest.raises(ValueError, match=r"no column 'user', expected user, item .* it has who, item"):
        Interactions.from_table(pd.DataFrame({"who": [1], "item": [2]}))
    with pytest.raises(ValueError, match="several columns 'item'"):
        Interactions.from_table(pd.DataFrame([[1, 2, 3]], columns=["user", "item", "item"]))
    with pytest.raises(ValueError, match="the table has no rows"):
        Interactions.from_table(pd.DataFrame({"user": [], "item": []}))
    baskets = pd.DataFrame({"user": [1, 1], "item": [7, 7], "basket": [1, 2]})
    assert len(Interactions.from_table(baskets)) == 2
    with pytest.raises(ValueError, match="user 1 has item 7 twice, expected distinct ones"):
        Interactions.from_table(baskets[["user", "item"]])
    with pytest.raises(ValueError, match="expected as many of each"):
        Interactions.from_raw(np.arange(5), np.arange(3))
    table = pd.DataFrame({"user": [1], "item": [2]})
    table.attrs["source"] = "mine"
    assert dict(Interactions.from_table(table).dropped) == {}
    baskets.attrs["dropped"] = {}
    with pytest.raises(ValueError, match="user 1 has item 7 twice"):
        Interactions.from_table(baskets[["user", "item"]])


def test_bytes_are_text_in_utf_8_or_an_error_that_names_the_ids() -> None:
    assert Interactions.from_raw(np.array(["René".encode(), b"a"]), np.arange(2)).user_ids.tolist() == ["René", "a"]
    for ids in (np.array([b"a", b"\xff"]), [b"a", b"\xff"]):
        with pytest.raises(ValueError, match=r"^item b'\\xff' is no text in UTF-8, expected text or numbers$"):
            Interactions.from_raw(np.arange(2), ids)


def test_rows_of_ids_that_became_text_of_missing_values_are_counted() -> None:
    users = pd.Series(["a", None, np.nan, "b"], dtype=object).astype("object").map(str)
    data = Interactions.from_raw(users, np.arange(4))
    assert dict(data.dropped) == {"rows_with_an_id_that_looks_missing": 2}


def test_titles_and_numbers_of_ids_follow_them_when_rows_are_left_out() -> None:
    data = Interactions.from_raw(np.array([1, 1, 2, 2]), np.array(["b", "10", "9", "a"]))
    data = replace(data, item_titles=np.array([f"title of {item}" for item in data.item_ids], dtype=object))
    kept = data.keep(np.array([False, True, True, False]))
    assert kept.item_ids.tolist() == [9, 10]  # all numbers now, which sort as such
    assert kept.items.tolist() == [1, 0]
    assert kept.item_titles is not None
    assert kept.item_titles.tolist() == ["title of 9", "title of 10"]


def test_the_seed_shuffles_baskets() -> None:
    data = Interactions.from_raw(np.arange(30) // 6, np.arange(30), baskets=np.arange(30) // 6)
    orders = [set_order(data, "random", seed).items.tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_titles_follow_items_that_are_numbered_otherwise() -> None:
    data = Interactions.from_raw(np.arange(4), np.array(["a", "9", "10", "100"]))
    data = replace(data, item_titles=np.array([f"title of {one}" for one in data.item_ids]))
    kept = data.keep(data.users > 0)  # without "a", all ids are numbers
    assert kept.item_titles is not None
    assert kept.item_titles.tolist() == [f"title of {one}" for one in kept.item_ids]
