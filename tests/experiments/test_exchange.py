"""Out and back: a task written for another program, and the scores that come from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmr.baselines.mf_bpr import MFBPR
from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.ncf import load_ncf
from sdmr.datasets.split import split
from sdmr.datasets.tabular import load_inter
from sdmr.datasets.task import Contexts, HeldOut, Task
from sdmr.experiments import export as export_module
from sdmr.experiments import score as score_module
from sdmr.experiments.execute import task_of
from sdmr.experiments.export import export
from sdmr.experiments.score import read_scores, score
from sdmr.harness.evaluation import rank
from sdmr.harness.metrics import count_ranks, count_ties, summarize
from sdmr.harness.recommender import get_context_length
from sdmr.harness.training.optimizer import OptimizationConfig

N_CANDIDATES = 12


def histories() -> Task:
    """30 users, one of them too short to be held out, with equal times among their items."""
    rng = np.random.default_rng(7)
    pairs = [(user, item) for user in range(29) for item in rng.choice(40, 4 + user % 5, replace=False)] + [(29, 3)]
    users, items = np.array(pairs).T
    return split(Interactions.from_raw(users, items, rng.integers(5, size=len(users))), n_candidates=N_CANDIDATES)


def baskets() -> Task:
    rng = np.random.default_rng(8)
    rows = [(u, i, 2 * u + b) for u in range(9) for b in range(2) for i in rng.choice(40, 3 + u % 4, replace=False)]
    users, items, of_basket = np.array(rows).T
    return split(Interactions.from_raw(users, items, baskets=of_basket), n_candidates=N_CANDIDATES)


def read_inter(folder: Path, part: str) -> pd.DataFrame:
    return pd.read_csv(folder / "set" / f"set.{part}.inter", sep="\t")


# --- out ---


def test_what_is_written_in_the_ncf_layout_is_read_as_the_same_test(tmp_path: Path) -> None:
    task = histories()
    export(task, "set", tmp_path)
    again = load_ncf(str(tmp_path / "set" / "set"))
    # The reader numbers what it finds: an item that is nowhere but in a validation row is unknown to it.
    known = np.unique(np.concatenate([task.training.instances.targets, task.test.candidates.ravel()]))
    np.testing.assert_array_equal(again.test.users, task.test.users)
    np.testing.assert_array_equal(known[again.test.targets], task.test.targets)
    np.testing.assert_array_equal(known[again.test.candidates], task.test.candidates)
    # It knows no validation items, and draws others from what trains here.
    trained = {*zip(again.training.instances.users, known[again.training.instances.targets], strict=True)}
    drawn = {*zip(again.training.validation.users, known[again.training.validation.targets], strict=True)}
    here = {*zip(task.training.instances.users, task.training.instances.targets, strict=True)}
    assert trained | drawn == here


def test_validation_items_stand_apart_in_the_ncf_layout(tmp_path: Path) -> None:
    task = histories()
    export(task, "set", tmp_path)
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


def test_recboles_three_files_in_the_order_of_time_are_the_histories(tmp_path: Path) -> None:
    task = histories()
    export(task, "set", tmp_path)
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
            of_user = parts["train"][parts["train"]["user_id:token"] == user].sort_values("timestamp:float")
            before = of_user[of_user["timestamp:float"] < time]["item_id:token"].tolist()
            context = side.contexts.last_n(10, np.array([row]))[0]
            assert before == context[context < task.training.n_items].tolist()
    every = pd.concat(parts.values())
    assert not every.duplicated(["user_id:token", "timestamp:float"]).any()
    every.to_csv(tmp_path / "all.inter", sep="\t", index=False)
    assert len(load_inter(str(tmp_path / "all.inter"))) == len(every)


def test_baskets_are_sessions_and_have_no_ncf_layout(tmp_path: Path) -> None:
    task = baskets()
    files = export(task, "set", tmp_path)
    assert not [path.name for path in files if path.suffix in (".rating", ".negative")]
    train, test = read_inter(tmp_path, "train"), read_inter(tmp_path, "test")
    for row in range(len(task.test)):
        session = train[train["session_id:token"] == test["session_id:token"][row]].sort_values("timestamp:float")
        context = task.test.contexts.last_n(10, np.array([row]))[0]
        assert session["item_id:token"].tolist() == context[context < task.training.n_items].tolist()


def test_one_basket_a_user_is_a_session_too(tmp_path: Path) -> None:
    users, items = np.arange(9).repeat(4), np.arange(36) % 20
    task = split(Interactions.from_raw(users, items, baskets=users), n_candidates=N_CANDIDATES)
    files = export(task, "set", tmp_path)
    assert "session_id:token" in read_inter(tmp_path, "train")
    assert not [path.name for path in files if path.suffix in (".rating", ".negative")]


@pytest.mark.parametrize("make", [histories, baskets])
def test_parquet_holds_every_row_and_every_candidate(make: Callable[[], Task], tmp_path: Path) -> None:
    task = make()
    export(task, "set", tmp_path)
    rows = pd.read_parquet(tmp_path / "set" / "interactions.parquet")
    assert rows["part"].value_counts().to_dict() == {
        "train": len(task.training.instances),
        "valid": len(task.training.validation),
        "test": len(task.test),
    }
    candidates = pd.read_parquet(tmp_path / "set" / "candidates.parquet")
    for part, side in (("valid", task.training.validation), ("test", task.test)):
        of = candidates[candidates["part"] == part]
        for number, instance in of.groupby("instance"):
            assert instance["candidate"].tolist() == side.candidates[number].tolist()
            assert instance[instance["is_target"]]["candidate"].tolist() == [side.targets[number]]
            assert set(instance["user"]) == {side.users[number]}


# --- back ---


def table_of(instances: HeldOut, scores: np.ndarray) -> pd.DataFrame:
    number = instances.candidates.shape[1]
    columns = {"instance": np.arange(len(instances)).repeat(number), "candidate": instances.candidates.ravel()}
    return pd.DataFrame({**columns, "score": scores.ravel()})


def write(table: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return path


def small() -> HeldOut:
    """Three instances with four candidates each."""
    zeros = np.zeros(3, dtype=np.int64)
    contexts = Contexts(zeros, zeros, zeros, zeros, zeros, padding=50)
    candidates = np.array([[1, 5, 6, 9], [0, 5, 7, 8], [2, 3, 4, 49]])
    return HeldOut(np.array([4, 4, 6]), np.array([5, 0, 49]), contexts, candidates)


@settings(max_examples=25, deadline=None)
@given(st.data())
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_scores_are_read_whatever_the_order_of_rows(suffix: str, data: st.DataObject) -> None:
    scores = np.array(data.draw(st.lists(st.floats(-1e9, 1e9, width=32), min_size=12, max_size=12))).reshape(3, 4)
    table = table_of(small(), scores).assign(note="x").iloc[data.draw(st.permutations(range(12)))]
    with TemporaryDirectory() as folder:
        np.testing.assert_array_equal(read_scores(write(table, Path(folder) / f"scores.{suffix}"), small()), scores)


@pytest.mark.parametrize("kind", ["int8", "uint8", "uint64"])
def test_scores_are_read_whatever_the_width_of_their_columns(kind: str, tmp_path: Path) -> None:
    users, n_items, number = 100, 120, 3
    candidates = np.sort(np.random.default_rng(0).permuted(np.tile(np.arange(n_items), (users, 1)), axis=1)[:, :number])
    zeros = np.zeros(users, dtype=np.int64)
    contexts = Contexts(zeros, zeros, zeros, zeros, zeros, padding=n_items)
    instances = HeldOut(np.arange(users), candidates[:, 0], contexts, candidates)
    scores = np.random.default_rng(1).normal(size=candidates.shape)
    table = table_of(instances, scores).astype({"instance": kind, "candidate": kind})
    np.testing.assert_array_equal(read_scores(write(table, tmp_path / "scores.parquet"), instances), scores)


SCORES = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(("suffix", "first"), [("csv", 2), ("parquet", 1)])
@pytest.mark.parametrize(
    ("row", "values", "told"),
    [
        (
            3,
            (0, 7, 1.0),
            "line {}: item 7 is no candidate of instance 0, expected one of the 4 of an instance from 0 to 2",
        ),
        (3, (3, 1, 1.0), "line {}: item 1 is no candidate of instance 3"),
        (3, (-1, 1, 1.0), "line {}: item 1 is no candidate of instance -1"),
        (3, (0, 50, 1.0), "line {}: item 50 is no candidate of instance 0"),
        (3, (0, -1, 1.0), "line {}: item -1 is no candidate of instance 0"),
        (3, (0, 10**18, 1.0), "line {}: item 1000000000000000000 is no candidate of instance 0"),
        (3, (1, -41, 1.0), "line {}: item -41 is no candidate of instance 1"),
        (5, (0, 5, 1.0), "line {}: instance 0, candidate 5 is already in line"),
        (6, (1, 7, np.inf), "line {}: the score is inf, expected a finite number"),
    ],
)
def test_a_row_that_does_not_fit_is_an_error_with_its_line(
    suffix: str, first: int, row: int, values: tuple[int, int, float], told: str, tmp_path: Path
) -> None:
    table = table_of(small(), SCORES)
    table.loc[row] = values
    table = table.astype({"instance": int, "candidate": int})
    path = write(table, tmp_path / f"scores.{suffix}")
    with pytest.raises(DataError, match=rf"^{path}, {told.format(row + first)}"):
        read_scores(path, small())


def test_a_missing_pair_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = write(table_of(small(), SCORES).drop([6, 9]), tmp_path / "scores.csv")
    with pytest.raises(DataError, match="found 10 rows, expected 12; the first missing one is instance 1, candidate 7"):
        read_scores(path, small())
    path.write_text("instance,candidate,score\n0,1,2.0\n")
    with pytest.raises(DataError, match="found 1 rows, expected 12; the first missing one is instance 0, candidate 5"):
        read_scores(path, small())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("instance,item,score\n0,1,2.0\n", "line 1: found columns instance, item, score, expected instance, candidate"),
        ("instance,candidate,score\n0,1,2.0\n0,x,1\n", "line 3: candidate is 'x', expected a whole number"),
        ("instance,candidate,score\n0,1,2.0\n0,5,\n", "line 3: score is '', expected a number"),
        ("instance,candidate,score\n0,1\n", "line 2: found 2 fields"),
        ("instance,candidate,score\n", "is empty"),
    ],
)
def test_a_file_that_is_no_table_of_scores_is_an_error(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=told):
        read_scores(path, small())


def test_a_parquet_file_of_other_columns_is_an_error(tmp_path: Path) -> None:
    table = table_of(small(), SCORES)
    for bad in (table.drop(columns="score"), table.astype({"candidate": float}), table.astype({"score": str})):
        with pytest.raises(DataError, match=r"found columns instance .*expected instance, candidate"):
            read_scores(write(bad, tmp_path / "scores.parquet"), small())
    (tmp_path / "scores.parquet").write_text("instance,candidate,score\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_scores(tmp_path / "scores.parquet", small())


# --- there and back ---


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A data set of 40 users with 6 of 130 items each; the current folder is a new one."""
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    rows = [f"{user},{item}" for user in range(40) for item in rng.choice(130, 6, replace=False)]
    Path("small.csv").write_text("\n".join(["user,item", *rows]) + "\n")
    return ["dataset=csv", "dataset.path=small.csv", "split_seed=2"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_model_scored_through_files_has_the_ranks_it_has_here(suffix: str, overrides: list[str]) -> None:
    """Its scores are rounded, so that there are ties to be kept."""
    task, _ = task_of(overrides)
    export(task, "csv", Path("out"))
    model = MFBPR(dim=4, optimization=OptimizationConfig(epochs=2, device="cpu"))
    model.fit(task.training)

    class Rounded:
        def fit(self, training: object) -> None: ...

        def score(self, *inputs: np.ndarray) -> np.ndarray:
            return model.score(*inputs).round(3)

    candidates = pd.read_parquet("out/csv/candidates.parquet")
    candidates = candidates[candidates["part"] == "test"]
    contexts = task.test.contexts.last_n(get_context_length(model))
    scores = model.score(task.test.users, contexts, task.test.candidates).round(3)
    told = candidates[["instance", "candidate"]].assign(score=scores.ravel()).sample(frac=1, random_state=1)
    path = write(told, Path(f"Mine.{suffix}"))
    record, folder = score(path, overrides, "Mine")
    ranks = rank(Rounded(), task.test)
    assert ranks.tied.any()
    assert record["test"] == summarize(ranks)
    assert record["ties"] == count_ties(ranks)
    assert json.loads((folder / "record.json").read_text()) == record
    with np.load(folder / "ranks.npz") as saved:
        np.testing.assert_array_equal(saved["above"], ranks.above)
        np.testing.assert_array_equal(saved["tied"], ranks.tied)
    assert (record["model"], record["dataset"], record["config"]["split_seed"]) == ("Mine", "csv", 2)


def call(module: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    return module.main()


def test_the_two_commands(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(export_module, monkeypatch, *overrides, "to=out", "name=mine") == 0
    files = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert all(file.is_file() and file.parent == Path("out/mine") for file in files)
    assert Path("out/mine/mine.train.inter") in files
    task, _ = task_of(overrides)
    scores = np.zeros(task.test.candidates.shape)
    write(table_of(task.test, scores), Path("Nothing.csv"))
    assert call(score_module, monkeypatch, "scores=Nothing.csv", *overrides) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Nothing on csv, test, split_seed=2: hit@10 0.099, ")
    expected = summarize(count_ranks(scores, task.test.target_columns))["NDCG@10"]
    line = next(line for line in printed.splitlines() if line.startswith("NDCG@10"))
    assert line.split()[1::2] == list(expected)
    assert [float(value) for value in line.split()[2::2]] == pytest.approx(list(expected.values()), abs=5e-5)


def test_scores_of_another_protocol_say_so(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [*overrides, "protocol.candidates=99", "protocol.tie_policy=pessimistic"]
    task, _ = task_of(overrides)
    write(table_of(task.test, np.zeros(task.test.candidates.shape)), Path("Nothing.csv"))
    assert call(score_module, monkeypatch, "scores=Nothing.csv", *overrides) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("Nothing on csv, test, candidates=99, split_seed=2, tie_policy=pessimistic: hit@10 0.000, ")
    record = json.loads(Path(line.partition("(")[2].removesuffix(")")).read_text())
    assert record["deviations"] == {"candidates": 99, "split_seed": 2}


@pytest.mark.parametrize(
    ("module", "arguments", "told"),
    [
        (export_module, [], "to=DIR"),
        (export_module, ["to=out", "dataset.pat=x"], "dataset.pat"),
        (score_module, [], "scores=FILE"),
        (score_module, ["scores=none.csv"], "none.csv cannot be read"),
        (score_module, ["scores=none.csv", "protocol.candidates=all"], "only the candidates of the split"),
        (score_module, ["scores=none.csv", "epochs=3"], "epochs has no effect here"),
        (score_module, ["scores=none.csv", "test=false"], "test has no effect here"),
        (score_module, ["scores=none.csv", "protocol.select_on=test"], "select_on has no effect here"),
        (score_module, ["scores=none.csv", "name=../x"], "expected the name of a model, not a path"),
        (score_module, ["scores=none.csv", "name=.."], "expected the name of a model, not a path"),
    ],
)
def test_a_wrong_command_is_one_line(
    module: Any, arguments: list[str], told: str, overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=told):
        call(module, monkeypatch, *arguments, *overrides)


@pytest.mark.parametrize(("module", "argument"), [(export_module, "to=out"), (score_module, "scores=scores.csv")])
def test_data_without_a_held_out_item_are_an_error(
    module: Any, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pairs.csv").write_text("user,item\n" + "".join(f"{user},{user + n}\n" for user in range(150) for n in (0, 1)))
    Path("scores.csv").write_text("instance,candidate,score\n0,1,2.0\n")
    with pytest.raises(SystemExit, match="there are no instances to rank"):
        call(module, monkeypatch, argument, "dataset=csv", "dataset.path=pairs.csv")


@pytest.mark.slow
def test_recbole_trained_on_the_files_is_scored_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an environment of its own, which is installed; on ML-100k, where its BPR is about as good as ours."""
    monkeypatch.chdir(tmp_path)
    try:
        task, _ = task_of(["dataset=ml-100k"])
    except DataError as error:
        pytest.skip(str(error))
    export(task, "ml100k", Path("out"))
    subprocess.run([sys.executable, "-m", "venv", "recbole"], check=True)
    python = str(tmp_path / "recbole" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "recbole==1.2.1", "setuptools<81"], check=True)
    program = Path(__file__).with_name("recbole_bpr.py")
    subprocess.run([python, str(program), "out", "ml100k", "60"], check=True, env=os.environ | {"PYTHONPATH": ""})
    record, _ = score(Path("out/RecBole-BPR.csv"), ["dataset=ml-100k"], "RecBole-BPR")
    assert 0.58 < record["test"]["hit@10"]["expected"] < 0.68
    assert 0.33 < record["test"]["NDCG@10"]["expected"] < 0.42
