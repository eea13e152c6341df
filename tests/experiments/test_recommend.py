"""`sdmr recommend` lists top items of a trained run, with raw ids."""

import re
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sdmr.datasets.errors import DataError
from sdmr.experiments import recommend as command
from sdmr.experiments.core import cli
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.run import compose_run
from sdmr.experiments.recommend import load_trained
from sdmr.harness.evaluation import score_candidates
from sdmr.harness.ids import find_numbers, tabulate_items, tabulate_users
from tests.experiments.small import make_small_dataset


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make a new current folder with a data set of 40 users with 6 of 130 items each."""
    return make_small_dataset(tmp_path, monkeypatch)


def make_run(*overrides: str) -> Path:
    """Make the run, and return its folder."""
    assert cli.main(["run", *overrides]) == 0
    return compose_run(overrides).folder


@pytest.mark.parametrize("model", ["item-knn", "mf-bpr", "sdm", "sdmr"])
def test_a_trained_model_scores_as_in_its_run(
    model: str, overrides: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shortly = ["epochs=1"] if model != "item-knn" else []
    folder = make_run(f"model={model}", *shortly, *overrides)
    trained, task = load_trained(folder)
    scores = score_candidates(trained, task.test)
    with np.load(folder / "ranks.npz") as ranks:
        target = scores[np.arange(len(scores)), task.test.target_columns, None]
        np.testing.assert_array_equal((scores > target).sum(axis=1), ranks["above"])
    assert ("fitted again" in caplog.text) == (model == "item-knn")
    assert "other code" not in caplog.text


def test_a_run_that_only_ranks_has_the_model_of_the_run_that_trained(overrides: list[str]) -> None:
    folder = make_run("model=mf-bpr", "epochs=1", "protocol.candidates=all", *overrides)
    assert not (folder / "model.pt").exists()
    load_trained(folder)


def test_lists_of_some_users_are_printed(overrides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run("model=popularity", *overrides)
    capsys.readouterr()
    for run in (folder.name, str(folder), f"{folder}/record.json"):
        assert cli.main(["recommend", f"run={run}", "users=[7,3]", "k=4"]) == 0
        header, *rows = capsys.readouterr().out.splitlines()
        assert header.split() == ["user", "rank", "item", "score"]
        assert [row.split()[:2] for row in rows] == [[user, str(rank)] for user in "73" for rank in range(1, 5)]


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
    header, *rows = capsys.readouterr().out.splitlines()
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


def test_a_run_without_its_model_or_its_data_is_an_error(overrides: list[str]) -> None:
    folder = make_run("model=mf-bpr", "epochs=1", *overrides)
    (folder / "model.pt").unlink()
    with pytest.raises(
        DataError, match=r"model.pt is missing or damaged; `sdmr run ... force=true` makes the run again"
    ):
        load_trained(folder)
    changed = (folder / "record.json").read_text().replace(load_record(folder / "record.json").data, "0" * 64)
    (folder / "record.json").write_text(changed)
    with pytest.raises(DataError, match="the data have changed since this run was made"):
        load_trained(folder)


def test_scores_made_elsewhere_have_no_model_to_ask(overrides: list[str]) -> None:
    task = compose_run(["model=popularity", *overrides]).load_task()
    number = task.test.candidates.shape[1]
    columns = {"instance": np.arange(len(task.test)).repeat(number), "candidate": task.test.candidates.ravel()}
    pd.DataFrame(columns).assign(score=0.0).to_csv("Mine.csv", index=False)
    assert cli.main(["score", "scores=Mine.csv", *overrides]) == 0
    (folder,) = Path("runs/csv").glob("Mine-*")
    with pytest.raises(DataError, match="its scores were made by another program, so there is no model to ask"):
        load_trained(folder)


def test_a_run_of_other_code_is_named(overrides: list[str], caplog: pytest.LogCaptureFixture) -> None:
    folder = make_run("model=popularity", *overrides)
    path = folder / "record.json"
    path.write_text(path.read_text().replace(load_record(path).source, "0" * 64))
    load_trained(folder)
    assert re.search("was made by other code: its model may score differently now", caplog.text)


def test_a_record_names_the_folder_of_its_raw_ids(overrides: list[str]) -> None:
    folders = [make_run(f"model={model}", *overrides) for model in ("popularity", "item-knn")]
    names = {load_record(folder / "record.json").ids for folder in folders}
    (name,) = names
    assert name is not None
    assert sorted(path.name for path in (folders[0].parent / name).iterdir()) == ["items.csv", "users.csv"]
