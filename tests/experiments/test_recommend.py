"""`sdmr recommend` lists top items of a trained run, with raw ids."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sdmr.experiments import recommend as command
from sdmr.experiments.core import cli
from sdmr.experiments.core import run as run_module
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.trained import load_trained
from sdmr.harness.ids import find_numbers, tabulate_items, tabulate_users
from tests.experiments.small import make_run, make_small_dataset


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make a new current folder with a data set of 40 users with 6 of 130 items each."""
    return make_small_dataset(tmp_path, monkeypatch)


def test_lists_of_some_users_are_printed(overrides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run("model=item-knn", *overrides)  # without saved parameters
    capsys.readouterr()
    for run in (folder.name, str(folder), f"{folder}/record.json"):
        assert cli.main(["recommend", f"run={run}", "users=[7,3,7]", "k=4"]) == 0
        output = capsys.readouterr()
        header, _, *rows = output.out.splitlines()
        assert output.err == ""
        assert header.split() == ["user", "rank", "item", "score"]
        assert [row.split()[:2] for row in rows] == [[user, str(rank)] for user in "73" for rank in range(1, 5)]


def test_coverage_popularity_and_novelty_of_the_lists_are_printed(
    overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("model=popularity", *overrides)
    capsys.readouterr()
    assert cli.main(["recommend", f"run={folder}", "k=4", "cutoffs=[1,4]", "to=lists.csv"]) == 0
    name, line = capsys.readouterr().out.splitlines()
    assert name == "lists.csv"
    listed, known = (pd.read_csv(file)["item"].nunique() for file in ("lists.csv", "small.csv"))
    metrics = dict(text.split() for text in line.split(", "))
    assert list(metrics) == [f"{one}@{k}" for k in (1, 4) for one in ("coverage", "popularity", "novelty")]
    assert float(metrics["coverage@4"]) == pytest.approx(listed / known, abs=1e-3)


def test_ids_of_users_are_text_whatever_they_look_like(overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run("model=popularity", *overrides)
    model, task = load_trained(folder)
    ids = np.array(["1_000", "1000", "null", "true", "1.50", "007", "a,b", "x y", *map(str, range(32))], dtype=object)
    training = copy(task.training)
    object.__setattr__(training, "user_ids", ids)
    monkeypatch.setattr(command, "load_trained", lambda folder: (model, replace(task, training=training)))
    for typed, users in (
        ("[1_000,null,true,1.50,007]", ["1_000", "null", "true", "1.50", "007"]),
        ('["a,b", x y,"null"]', ["a,b", "x y", "null"]),
        ("1_000", ["1_000"]),
        ("[ true ]", ["true"]),
    ):
        assert cli.main(["recommend", f"run={folder}", f"users={typed}", "k=1", "to=lists.csv"]) == 0
        assert pd.read_csv("lists.csv", dtype=str, keep_default_na=False)["user"].tolist() == users


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_lists_of_all_users_are_written_in_blocks(
    suffix: str, overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "BLOCK", 7)
    folder = make_run("model=mf-bpr", "epochs=1", *overrides)
    file = Path(f"new/lists.{suffix}")
    assert cli.main(["recommend", f"run={folder}", "k=5", f"to={file}"]) == 0
    lists = pd.read_csv(file) if suffix == "csv" else pd.read_parquet(file)
    assert lists["user"].tolist() == np.arange(40).repeat(5).tolist()
    task = load_trained(folder)[1]
    users, items = tabulate_users(task.training)["id"], tabulate_items(task.training)["id"]
    pairs = find_numbers(users, lists["user"]), find_numbers(items, lists["item"])
    assert task.seen.nnz == 240
    assert task.seen[pairs].sum() == 0
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_lists_have_raw_ids_and_titles(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("model=popularity", *overrides)
    model, task = load_trained(folder)
    n_users, n_items = task.training.n_users, task.training.n_items
    training = copy(task.training)
    object.__setattr__(training, "user_ids", np.array([f"u{n:02}" for n in range(n_users)]))
    object.__setattr__(training, "item_ids", np.arange(n_items) + 1000)
    object.__setattr__(training, "item_titles", np.array([f"T{n}" for n in range(n_items)]))
    monkeypatch.setattr(command, "load_trained", lambda folder: (model, replace(task, training=training)))
    capsys.readouterr()
    assert cli.main(["recommend", f"run={folder}", "users=u05", "k=3"]) == 0
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["user", "rank", "item", "title", "score"]
    for row in rows:
        user, _, item, title, _ = row.split()
        assert (user, title) == ("u05", f"T{int(item) - 1000}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["users=1"], "run=... is missing"),
        (["run=RUN"], "to=FILE.csv or to=FILE.parquet is missing"),
        (["run=RUN", "to=lists.txt"], "to=lists.txt: expected a name that ends in .csv or .parquet"),
        (["run=RUN", "users=[1,ann]"], "users=...: there is no 'ann'; expected raw ids, such as 0, 1, 2"),
        (["run=RUN", "users=[]"], "users=[]: expected at least one value"),
        (["run=RUN", "users=1", "cutoffs=[5,11]"], "cutoffs=...: lists have no 11 items; use k=11"),
        (["run=RUN", "users=1", "k=0"], "k=0: must be greater than or equal to 1"),
        (["run=RUN", "users=1", "epochs=2"], "there is no option 'epochs'"),
        (["run=nowhere/X-1", "users=1"], "run=nowhere/X-1: there is no such run in runs"),
    ],
)
def test_a_wrong_option_of_recommend_is_one_line(
    arguments: list[str], message: str, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("model=popularity", *overrides)
    capsys.readouterr()
    assert cli.main(["recommend", *(argument.replace("RUN", str(folder)) for argument in arguments)]) == cli.WRONG_USE
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sdmr recommend: ")]
    assert message in error


def test_a_record_names_the_folder_of_its_raw_ids(overrides: list[str]) -> None:
    folders = [make_run(f"model={model}", *overrides) for model in ("popularity", "item-knn")]
    names = {load_record(folder / "record.json").ids for folder in folders}
    (name,) = names
    assert name is not None
    assert sorted(path.name for path in (folders[0].parent / name).iterdir()) == ["items.csv", "users.csv"]


def test_unsigned_ids_of_64_bits_go_from_a_cached_task_to_records_files_and_lists(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv("small.csv").astype(np.uint64) + np.uint64(2**63)
    frame.to_parquet("small.parquet")
    data = ["dataset=csv", "dataset.path=small.parquet"]
    make_run("model=popularity", *data)
    run_module._load_task.cache_clear()
    monkeypatch.setattr("sdmr.datasets.prepare.split", None)  # the task comes from the cache
    folder = make_run("model=mf-bpr", "epochs=1", "model.dim=2", *data)
    record = load_record(folder / "record.json")
    assert record.test is not None
    users, items = (pd.read_csv(folder.parent / str(record.ids) / f"{name}.csv") for name in ("users", "items"))
    assert users["id"].tolist() == sorted(set(frame["user"].tolist()))
    assert items["id"].tolist() == sorted(set(frame["item"].tolist()))
    capsys.readouterr()
    user = 2**63 + 7
    assert cli.main(["recommend", f"run={folder}", f"users=[{user}]", "k=4"]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()[2:]]
    assert {int(row[0]) for row in rows} == {user}
    listed = {int(row[2]) for row in rows}
    assert listed <= set(items["id"]) - set(frame["item"][frame["user"] == user])
    assert len(listed) == 4
