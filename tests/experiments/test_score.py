"""Scores that are made elsewhere are read strictly, and ranked as in a run."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmr.baselines.mf_bpr import MFBPR
from sdmr.datasets.errors import DataError
from sdmr.datasets.task import Contexts, HeldOut
from sdmr.experiments.core import cli
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.run import Run, compose_task
from sdmr.experiments.core.task_files import export_task
from sdmr.experiments.score import read_scores, score
from sdmr.harness.evaluation import rank
from sdmr.harness.metrics import count_ranks, count_ties, summarize
from sdmr.harness.recommender import get_context_length
from sdmr.harness.training.optimizer import OptimizationConfig
from tests.experiments.small import make_small_dataset, pad


def tabulate(instances: HeldOut, scores: np.ndarray) -> pd.DataFrame:
    number = instances.candidates.shape[1]
    columns = {"instance": np.arange(len(instances)).repeat(number), "candidate": instances.candidates.ravel()}
    return pd.DataFrame({**columns, "score": scores.ravel()})


def write(table: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return path


def make_instances() -> HeldOut:
    """Make three instances with four candidates each."""
    zeros = np.zeros(3, dtype=np.int64)
    contexts = Contexts(zeros, zeros, zeros, zeros, zeros, padding=50)
    candidates = np.array([[1, 5, 6, 9], [0, 5, 7, 8], [2, 3, 4, 49]])
    return HeldOut(np.array([4, 4, 6]), np.array([5, 0, 49]), contexts, candidates)


SCORES = np.arange(12.0).reshape(3, 4)


@settings(max_examples=25)
@given(st.data())
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_scores_are_read_whatever_the_order_of_rows(suffix: str, data: st.DataObject) -> None:
    scores = np.array(data.draw(st.lists(st.floats(-1e9, 1e9, width=32), min_size=12, max_size=12))).reshape(3, 4)
    table = tabulate(make_instances(), scores).assign(note="x").iloc[data.draw(st.permutations(range(12)))]
    with TemporaryDirectory() as folder:
        np.testing.assert_array_equal(
            read_scores(write(table, Path(folder) / f"scores.{suffix}"), make_instances()), scores
        )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint64"])
def test_scores_are_read_whatever_the_width_of_their_columns(dtype: str, tmp_path: Path) -> None:
    users, n_items, number = 100, 120, 3
    candidates = np.sort(np.random.default_rng(0).permuted(np.tile(np.arange(n_items), (users, 1)), axis=1)[:, :number])
    zeros = np.zeros(users, dtype=np.int64)
    contexts = Contexts(zeros, zeros, zeros, zeros, zeros, padding=n_items)
    instances = HeldOut(np.arange(users), candidates[:, 0], contexts, candidates)
    scores = np.random.default_rng(1).normal(size=candidates.shape)
    table = tabulate(instances, scores).astype({"instance": dtype, "candidate": dtype})
    np.testing.assert_array_equal(read_scores(write(table, tmp_path / "scores.parquet"), instances), scores)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ('"instance","candidate","score"', "{0},{1},{2}"),  # R: write.csv(scores, row.names=FALSE)
        ('"","instance","candidate","score"', '"{3}",{0},{1},{2}'),  # R: write.csv(scores)
        ("\ufeffinstance,candidate,score,note", '"{0}","{1}","{2}",'),
    ],
)
def test_a_csv_file_may_have_quotes_and_further_columns(header: str, row: str, tmp_path: Path) -> None:
    rows = tabulate(make_instances(), SCORES).itertuples(name=None)
    lines = [row.format(*values, number + 1) for number, *values in rows]
    (tmp_path / "scores.csv").write_text("\r\n".join([header, *lines]) + "\r\n")
    np.testing.assert_array_equal(read_scores(tmp_path / "scores.csv", make_instances()), SCORES)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "Int32", "float32", "Float64"])
def test_scores_of_a_parquet_file_may_be_any_numbers(dtype: str, tmp_path: Path) -> None:
    table = tabulate(make_instances(), SCORES).astype({"score": dtype})
    np.testing.assert_array_equal(read_scores(write(table, tmp_path / "scores.parquet"), make_instances()), SCORES)


@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "inf", "-Inf"])
def test_a_score_that_is_no_number_is_an_error_with_its_line(word: str, tmp_path: Path) -> None:
    path = write(tabulate(make_instances(), SCORES), tmp_path / "scores.csv")
    lines = path.read_text().splitlines()
    lines[6] = f"1,5,{word}"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"line 7\b"):
        read_scores(path, make_instances())


@pytest.mark.parametrize("dtype", ["float64", "Float64", "Int64"])
def test_a_missing_score_in_a_parquet_file_is_an_error_with_its_row(dtype: str, tmp_path: Path) -> None:
    table = tabulate(make_instances(), SCORES).astype({"score": dtype})
    table.loc[5, "score"] = None
    with pytest.raises(DataError, match="line 6: the score is nan, expected a finite number"):
        read_scores(write(table, tmp_path / "scores.parquet"), make_instances())


def test_padding_of_candidates_needs_no_scores_and_ranks_nowhere(tmp_path: Path) -> None:
    instances = pad(make_instances())
    table = tabulate(instances, SCORES)
    column = np.tile(np.arange(4), 3)
    table = table[column < instances.n_candidates.repeat(4)].sample(frac=1, random_state=0)
    scores = read_scores(write(table, tmp_path / "scores.csv"), instances)
    is_padding = np.arange(4) >= instances.n_candidates[:, None]
    assert is_padding.any()
    np.testing.assert_array_equal(scores, np.where(is_padding, -np.inf, SCORES))
    with pytest.raises(DataError, match="found 8 rows, expected 9"):
        read_scores(write(table[1:], tmp_path / "scores.csv"), instances)
    with pytest.raises(DataError, match="expected one of the at most 4 of an instance from 0 to 2"):
        read_scores(write(table.assign(candidate=77), tmp_path / "scores.csv"), instances)


@pytest.mark.parametrize(("suffix", "first"), [("csv", 2), ("parquet", 1)])
@pytest.mark.parametrize(
    ("row", "values", "message"),
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
def test_a_wrong_row_of_scores_is_an_error_with_its_line(
    suffix: str, first: int, row: int, values: tuple[int, int, float], message: str, tmp_path: Path
) -> None:
    table = tabulate(make_instances(), SCORES)
    table.loc[row] = values
    table = table.astype({"instance": int, "candidate": int})
    path = write(table, tmp_path / f"scores.{suffix}")
    with pytest.raises(DataError, match=rf"^{path}, {message.format(row + first)}"):
        read_scores(path, make_instances())


def test_a_missing_score_is_an_error_that_names_its_pair(tmp_path: Path) -> None:
    path = write(tabulate(make_instances(), SCORES).drop([6, 9]), tmp_path / "scores.csv")
    with pytest.raises(DataError, match="found 10 rows, expected 12; the first missing one is instance 1, candidate 7"):
        read_scores(path, make_instances())
    path.write_text("instance,candidate,score\n0,1,2.0\n")
    with pytest.raises(DataError, match="found 1 rows, expected 12; the first missing one is instance 0, candidate 5"):
        read_scores(path, make_instances())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("instance,item,score\n0,1,2.0\n", "line 1: found columns instance, item, score, expected instance, candidate"),
        ("instance,candidate,score\n0,1,2.0\n0,x,1\n", "column candidate: line 3: .* invalid value 'x'"),
        ("instance,candidate,score\n0,1,2.0\n0,5,\n", "column score: line 3: no value"),
        ("instance,candidate,score\n0,1\n", "line 2: Expected 3 columns, got 2"),
        ("instance,candidate,score\n", "has no row below its header"),
    ],
)
def test_a_file_that_is_no_table_of_scores_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_scores(path, make_instances())


def test_a_parquet_file_of_other_columns_is_an_error(tmp_path: Path) -> None:
    table = tabulate(make_instances(), SCORES)
    for bad in (table.drop(columns="score"), table.astype({"candidate": float}), table.astype({"score": str})):
        with pytest.raises(DataError, match=r"found columns instance .*expected instance, candidate"):
            read_scores(write(bad, tmp_path / "scores.parquet"), make_instances())
    (tmp_path / "scores.parquet").write_text("instance,candidate,score\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_scores(tmp_path / "scores.parquet", make_instances())


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make a new current folder with a data set of 40 users with 6 of 130 items each, and a repeated row."""
    options = make_small_dataset(tmp_path, monkeypatch)
    rows = Path("small.csv").read_text()
    Path("small.csv").write_text(rows + rows.splitlines()[-1] + "\n")
    return options


def compose_small(overrides: list[str]) -> Run:
    return compose_task("csv", overrides[1:])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_model_scored_through_files_has_the_ranks_of_a_run(suffix: str, overrides: list[str]) -> None:
    """Its scores are rounded, so that there are ties to keep."""
    run = compose_small(overrides)
    task = run.load_task()
    export_task(task, "csv", Path("out"))
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
    table = candidates[["instance", "candidate"]].assign(score=scores.ravel()).sample(frac=1, random_state=1)
    path = write(table, Path(f"Mine.{suffix}"))
    record, folder = score(path, run, "Mine")
    ranks = rank(Rounded(), task.test)
    assert record.data_report == task.report == {"duplicate_rows": 1}
    assert ranks.tied.any()
    assert record.test == summarize(ranks)
    assert record.ties is not None
    assert record.ties.model_dump() == count_ties(ranks)
    assert load_record(folder / "record.json").model_dump(exclude_none=True) == record.model_dump(exclude_none=True)
    with np.load(folder / "ranks.npz") as saved:
        np.testing.assert_array_equal(saved["above"], ranks.above)
        np.testing.assert_array_equal(saved["tied"], ranks.tied)
    assert (record.model, record.dataset, record.config["split_seed"]) == ("Mine", "csv", 2)
    assert record.run == folder.name


def test_the_score_command_prints_the_result_and_its_tie_bounds(
    overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    task = compose_small(overrides).load_task()
    scores = np.zeros(task.test.candidates.shape)
    write(tabulate(task.test, scores), Path("Nothing.csv"))
    assert cli.main(["score", "scores=Nothing.csv", "cutoffs=[3,10]", *overrides]) == 0
    printed = capsys.readouterr().out
    header, _, *rows = [line.split() for line in printed.splitlines()[1:]]
    assert [row[0] for row in rows] == ["hit@3", "NDCG@3", "hit@10", "NDCG@10", "MRR", "AUC", "mean-rank"]
    assert printed.startswith("Nothing on csv, test, split_seed=2: hit@10 0.099, ")
    expected = summarize(count_ranks(scores, task.test.target_columns))["NDCG@10"]
    assert header == ["metric", *expected]
    assert [float(value) for value in rows[3][1:]] == pytest.approx(list(expected.values()), abs=5e-5)


def test_scores_of_another_protocol_name_its_deviations(
    overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [*overrides, "protocol.candidates=99", "protocol.tie_policy=pessimistic"]
    task = compose_small(overrides).load_task()
    write(tabulate(task.test, np.zeros(task.test.candidates.shape)), Path("Nothing.csv"))
    assert cli.main(["score", "scores=Nothing.csv", *overrides]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("Nothing on csv, test, candidates=99, split_seed=2, tie_policy=pessimistic: hit@10 0.000, ")
    record = load_record(Path(line.partition("(")[2].partition(")")[0]))
    assert record.deviations == {"candidates": 99, "split_seed": 2}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], cli.WRONG_USE, "scores=... is missing"),
        (["scores=none.csv"], cli.FAILED, "none.csv cannot be read"),
        (["scores=none.csv", "protocol.candidates=all"], cli.WRONG_USE, "only the candidates of the split"),
        (["scores=none.csv", "epochs=3"], cli.WRONG_USE, "epochs has no effect here"),
        (["scores=none.csv", "test=false"], cli.WRONG_USE, "test has no effect here"),
        (["scores=none.csv", "protocol.select_on=test"], cli.WRONG_USE, "protocol.select_on has no effect here"),
        (["scores=none.csv", "name=../x"], cli.WRONG_USE, "expected a name, not a path"),
        (["scores=none.csv", "name=.."], cli.WRONG_USE, "expected a name, not a path"),
    ],
)
def test_a_wrong_option_of_score_is_one_line(
    arguments: list[str], status: int, message: str, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["score", *arguments, *overrides]) == status
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["export", "to=out"], ["score", "scores=scores.csv"]])
def test_data_without_a_held_out_item_are_an_error(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("pairs.csv").write_text("user,item\n" + "".join(f"{user},{user + n}\n" for user in range(150) for n in (0, 1)))
    Path("scores.csv").write_text("instance,candidate,score\n0,1,2.0\n")
    assert cli.main([*arguments, "dataset=csv", "dataset.path=pairs.csv"]) == cli.FAILED
    assert "pairs.csv: no user has 3 interactions or more" in capsys.readouterr().err


@pytest.mark.slow
def test_recbole_trained_on_exported_files_is_scored_as_well_as_our_bpr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RecBole has its own environment, which is installed. On ML-100k its BPR is about as good as ours."""
    monkeypatch.chdir(tmp_path)
    try:
        run = compose_task("ml-100k", [])
    except DataError as error:
        pytest.skip(str(error))
    export_task(run.load_task(), "ml100k", Path("out"))
    subprocess.run([sys.executable, "-m", "venv", "recbole"], check=True)
    python = str(tmp_path / "recbole" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "recbole==1.2.1", "setuptools<81"], check=True)
    program = Path(__file__).with_name("recbole_bpr.py")
    subprocess.run([python, str(program), "out", "ml100k", "60"], check=True, env=os.environ | {"PYTHONPATH": ""})
    record, _ = score(Path("out/RecBole-BPR.csv"), run, "RecBole-BPR")
    assert record.test is not None
    assert 0.58 < record.test["hit@10"]["expected"] < 0.68
    assert 0.33 < record.test["NDCG@10"]["expected"] < 0.42
