"""A task written for another program holds the split, the histories and the candidates."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.ncf import load_ncf
from sdmr.datasets.split import split
from sdmr.datasets.tabular import load_inter
from sdmr.datasets.task import Task
from sdmr.experiments.core import cli, task_files
from sdmr.experiments.core.task_files import export_task
from tests.experiments.small import make_small_dataset, pad

N_CANDIDATES = 12


def make_histories() -> Task:
    """Make 30 users, one of them too short to be held out, with equal times among their items."""
    rng = np.random.default_rng(7)
    pairs = [(user, item) for user in range(29) for item in rng.choice(40, 4 + user % 5, replace=False)] + [(29, 3)]
    users, items = np.array(pairs).T
    return split(Interactions.from_raw(users, items, rng.integers(5, size=len(users))), n_candidates=N_CANDIDATES)


def make_baskets() -> Task:
    rng = np.random.default_rng(8)
    rows = [(u, i, 2 * u + b) for u in range(9) for b in range(2) for i in rng.choice(40, 3 + u % 4, replace=False)]
    users, items, basket = np.array(rows).T
    return split(Interactions.from_raw(users, items, baskets=basket), n_candidates=N_CANDIDATES)


def read_inter(folder: Path, part: str) -> pd.DataFrame:
    return pd.read_csv(folder / "set" / f"set.{part}.inter", sep="\t")


def test_the_ncf_layout_is_read_as_the_same_test_side(tmp_path: Path) -> None:
    task = make_histories()
    export_task(task, "set", tmp_path)
    again = load_ncf(str(tmp_path / "set" / "set"))
    # The reader numbers what it reads: an item that only a validation row has is unknown to it.
    known = np.unique(np.concatenate([task.training.instances.targets, task.test.candidates.ravel()]))
    np.testing.assert_array_equal(again.test.users, task.test.users)
    np.testing.assert_array_equal(known[again.test.targets], task.test.targets)
    np.testing.assert_array_equal(known[again.test.candidates], task.test.candidates)
    # It knows no validation items, and draws others from the training items here.
    trained = {*zip(again.training.instances.users, known[again.training.instances.targets], strict=True)}
    drawn = {*zip(again.training.validation.users, known[again.training.validation.targets], strict=True)}
    expected = {*zip(task.training.instances.users, task.training.instances.targets, strict=True)}
    assert trained | drawn == expected


def test_validation_items_have_their_own_files_in_the_ncf_layout(tmp_path: Path) -> None:
    task = make_histories()
    export_task(task, "set", tmp_path)
    rows = pd.read_csv(tmp_path / "set" / "set.valid.rating", sep="\t", names=["user", "item", "rating", "time"])
    assert rows["user"].tolist() == task.training.validation.users.tolist()
    assert rows["item"].tolist() == task.training.validation.targets.tolist()
    negatives = (tmp_path / "set" / "set.valid.negative").read_text().splitlines()
    for line, row, target in zip(
        negatives, task.training.validation.candidates, task.training.validation.targets, strict=True
    ):
        head, *items = line.split("\t")
        assert head.endswith(f",{target})")
        assert sorted([int(target), *map(int, items)]) == row.tolist()


def test_recboles_three_files_sorted_by_time_are_the_histories(tmp_path: Path) -> None:
    task = make_histories()
    export_task(task, "set", tmp_path)
    parts = {part: read_inter(tmp_path, part) for part in ("train", "valid", "test")}
    assert list(parts["train"]) == ["user_id:token", "item_id:token", "timestamp:float"]
    sides = {"train": task.training.instances, "valid": task.training.validation, "test": task.test}
    for part, side in sides.items():
        assert parts[part]["user_id:token"].tolist() == side.users.tolist()
        assert parts[part]["item_id:token"].tolist() == side.targets.tolist()
    for part, side in sides.items():
        for row, (user, time) in enumerate(
            zip(parts[part]["user_id:token"], parts[part]["timestamp:float"], strict=True)
        ):
            history = parts["train"][parts["train"]["user_id:token"] == user].sort_values("timestamp:float")
            before = history[history["timestamp:float"] < time]["item_id:token"].tolist()
            context = side.contexts.last_n(10, np.array([row]))[0]
            assert before == context[context < task.training.n_items].tolist()
    every = pd.concat(parts.values())
    assert not every.duplicated(["user_id:token", "timestamp:float"]).any()
    every.to_csv(tmp_path / "all.inter", sep="\t", index=False)
    assert len(load_inter(str(tmp_path / "all.inter"))) == len(every)


def test_baskets_are_sessions_and_have_no_ncf_layout(tmp_path: Path) -> None:
    task = make_baskets()
    files = export_task(task, "set", tmp_path)
    assert not [path.name for path in files if path.suffix in (".rating", ".negative")]
    train, test = read_inter(tmp_path, "train"), read_inter(tmp_path, "test")
    for row in range(len(task.test)):
        session = train[train["session_id:token"] == test["session_id:token"][row]].sort_values("timestamp:float")
        context = task.test.contexts.last_n(10, np.array([row]))[0]
        assert session["item_id:token"].tolist() == context[context < task.training.n_items].tolist()


def test_a_single_basket_a_user_is_a_session_too(tmp_path: Path) -> None:
    users, items = np.arange(9).repeat(4), np.arange(36) % 20
    task = split(Interactions.from_raw(users, items, baskets=users), n_candidates=N_CANDIDATES)
    files = export_task(task, "set", tmp_path)
    assert "session_id:token" in read_inter(tmp_path, "train")
    assert not [path.name for path in files if path.suffix in (".rating", ".negative")]


@pytest.mark.parametrize("make", [make_histories, make_baskets])
def test_parquet_files_hold_every_row_and_every_candidate(make: Callable[[], Task], tmp_path: Path) -> None:
    task = make()
    export_task(task, "set", tmp_path)
    interactions = pd.read_parquet(tmp_path / "set" / "interactions.parquet")
    assert interactions["part"].value_counts().to_dict() == {
        "train": len(task.training.instances),
        "valid": len(task.training.validation),
        "test": len(task.test),
    }
    candidates = pd.read_parquet(tmp_path / "set" / "candidates.parquet")
    for part, side in (("valid", task.training.validation), ("test", task.test)):
        rows = candidates[candidates["part"] == part]
        assert rows["instance"].unique().tolist() == list(range(len(side)))
        for number, instance in rows.groupby("instance"):
            assert instance["candidate"].tolist() == side.candidates[number].tolist()
            assert instance[instance["is_target"]]["candidate"].tolist() == [side.targets[number]]
            assert set(instance["user"]) == {side.users[number]}


def test_raw_ids_and_titles_are_beside_the_files(tmp_path: Path) -> None:
    task = make_histories()
    object.__setattr__(task.training, "user_ids", np.array([f"u{n:02}" for n in range(30)]))
    object.__setattr__(task.training, "item_ids", np.arange(task.training.n_items) + 1000)
    object.__setattr__(task.training, "item_titles", np.array(["A, B", *"C" * (task.training.n_items - 1)]))
    files = export_task(task, "set", tmp_path)
    assert [path.name for path in files[-2:]] == ["users.csv", "items.csv"]
    users, items = (pd.read_csv(path) for path in files[-2:])
    assert users.iloc[29].to_dict() == {"user": 29, "id": "u29"}
    assert items.iloc[0].to_dict() == {"item": 0, "id": 1000, "title": "A, B"}
    assert read_inter(tmp_path, "train")["item_id:token"].max() < len(items)


def test_an_export_in_blocks_is_that_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = export_task(make_histories(), "set", tmp_path / "one")
    monkeypatch.setattr(task_files, "BLOCK", 4)
    blocks = export_task(make_histories(), "set", tmp_path / "blocks")
    for one, other in zip(files, blocks, strict=True):
        if one.suffix == ".parquet":
            pd.testing.assert_frame_equal(pd.read_parquet(one), pd.read_parquet(other))
        else:
            assert one.read_bytes() == other.read_bytes()


def test_padding_of_candidates_is_not_exported(tmp_path: Path) -> None:
    task = make_histories()
    test = pad(task.test)
    export_task(replace(task, test=test), "set", tmp_path)
    candidates = pd.read_parquet(tmp_path / "set" / "candidates.parquet").query("part == 'test'")
    lines = (tmp_path / "set" / "set.test.negative").read_text().splitlines()
    for row, (target, number) in enumerate(zip(test.targets, test.n_candidates, strict=True)):
        instance = candidates[candidates["instance"] == row]
        assert instance["candidate"].tolist() == test.candidates[row, :number].tolist()
        assert instance["is_target"].sum() == 1
        assert len(lines[row].split("\t")) == number
        assert str(target) not in lines[row].split("\t")[1:]


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make a new current folder with a data set of 40 users with 6 of 130 items each."""
    return make_small_dataset(tmp_path, monkeypatch)


def test_the_export_command_prints_the_files_that_it_writes(
    overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", *overrides, "to=out", "name=mine"]) == 0
    files = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert all(file.is_file() and file.parent == Path("out/mine") for file in files)
    assert Path("out/mine/mine.train.inter") in files


def test_without_a_name_exported_files_have_that_of_the_data_set(overrides: list[str]) -> None:
    assert cli.main(["export", *overrides, "to=out"]) == 0
    assert Path("out/csv/csv.train.inter").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "to=... is missing"),
        (["to=out", "dataset.pat=x"], "dataset.pat"),
        (["to=out", "epochs=3"], "epochs has no effect here"),
        (["to=out", "protocol.select_on=test"], "protocol.select_on has no effect here"),
        (["to=out", "protocol.candidates=all"], "have no effect on an export"),
        (["to=out", "+protocol.candidates='all'"], "have no effect on an export"),
        (["to=out", "protocol.tie_policy=pessimistic"], "have no effect on an export"),
        (["to=out", "protocol.test_context=with-validation"], "an export holds contexts of training items alone"),
    ],
)
def test_a_wrong_option_of_export_is_one_line(
    arguments: list[str], message: str, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", *arguments, *overrides]) == cli.WRONG_USE
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("name", ["../x", "..", ".", "a/b", "/x"])
def test_a_name_of_files_that_leaves_the_folder_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = make_small_dataset(tmp_path, monkeypatch)
    assert cli.main(["export", "to=out/there", f"name={name}", *overrides]) == cli.WRONG_USE
    error = capsys.readouterr().err
    assert "expected a name, not a path" in error
    assert len(error.splitlines()) == 1
    assert not Path("out").exists()
