"""Numbers of users and items have raw ids, and the other way round."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sdmr.datasets.errors import DataError
from sdmr.harness.ids import find_numbers, save_ids, tabulate_items, tabulate_users


def make_training(**fields: Any) -> Any:
    named = {"user_ids": np.array(["Ann", "Bob, jr."]), "item_ids": np.array([7, 12, 300]), "item_titles": None}
    return SimpleNamespace(n_users=2, n_items=3, **named | fields)


def test_tables_hold_numbers_raw_ids_and_titles() -> None:
    training = make_training(item_titles=np.array(["A", None, "C"], dtype=object))
    assert tabulate_users(training).to_dict("list") == {"user": [0, 1], "id": ["Ann", "Bob, jr."]}
    items = {"item": [0, 1, 2], "id": [7, 12, 300], "title": ["A", "", "C"]}
    assert tabulate_items(training).to_dict("list") == items


def test_data_without_raw_ids_have_their_numbers() -> None:
    training = make_training(user_ids=None, item_ids=None)
    assert tabulate_users(training)["id"].tolist() == [0, 1]
    assert tabulate_items(training).to_dict("list") == {"item": [0, 1, 2], "id": [0, 1, 2]}


@pytest.mark.parametrize("ids", [[3, 20, 100], ["03", "1", "x y"]])
def test_numbers_are_found_by_raw_id(ids: list[Any]) -> None:
    assert find_numbers(np.array(ids), [ids[2], str(ids[0]), ids[2]]).tolist() == [2, 0, 2]
    with pytest.raises(DataError, match=f"there is no 'new'; expected raw ids, such as {ids[0]}, {ids[1]}"):
        find_numbers(np.array(ids), [ids[0], "new"])


def test_files_of_ids_are_read_back(tmp_path: Path) -> None:
    folder = tmp_path / save_ids(make_training(), tmp_path)
    assert pd.read_csv(folder / "users.csv")["id"].tolist() == ["Ann", "Bob, jr."]
    assert pd.read_csv(folder / "items.csv")["id"].tolist() == [7, 12, 300]


def test_ids_are_saved_once_for_runs_with_the_same_ones(tmp_path: Path) -> None:
    name = save_ids(make_training(), tmp_path)
    changed = (tmp_path / name / "users.csv").stat().st_mtime_ns
    assert save_ids(make_training(), tmp_path) == name
    assert (tmp_path / name / "users.csv").stat().st_mtime_ns == changed
    assert save_ids(make_training(item_ids=np.array([7, 12, 301])), tmp_path) != name
    content = (tmp_path / name / "items.csv").read_bytes()
    for damage in (Path.unlink, lambda file: file.write_bytes(content[:-3])):
        damage(tmp_path / name / "items.csv")
        assert save_ids(make_training(), tmp_path) == name
        assert (tmp_path / name / "items.csv").read_bytes() == content
