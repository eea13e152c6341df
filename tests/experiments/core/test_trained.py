"""The model of a finished run is loaded, or fitted again."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sdmr.datasets.errors import DataError
from sdmr.experiments.core import cli
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.run import compose_run
from sdmr.experiments.core.trained import load_trained
from sdmr.harness.evaluation import score_candidates
from tests.experiments.small import make_run, make_small_dataset


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make a new current folder with a data set of 40 users with 6 of 130 items each."""
    return make_small_dataset(tmp_path, monkeypatch)


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
    assert "other code" not in caplog.text


def test_a_run_that_only_ranks_has_the_model_of_the_run_that_trained(overrides: list[str]) -> None:
    folder = make_run("model=mf-bpr", "epochs=1", "protocol.candidates=all", *overrides)
    assert not (folder / "model.pt").exists()
    load_trained(folder)


def test_a_run_with_its_own_model_needs_no_run_of_the_search(overrides: list[str]) -> None:
    search = make_run("model=mf-bpr", "epochs=1", "test=false", *overrides)
    folder = make_run("model=mf-bpr", "epochs=1", *overrides)
    assert load_record(folder / "record.json").trained == search.name
    (search / "model.pt").unlink()
    load_trained(folder)


def test_a_run_is_found_by_its_name_inside_the_folder_of_its_data_set(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run("model=popularity", *(one.replace("small.csv", f"{Path.cwd()}/small.csv") for one in overrides))
    monkeypatch.chdir(folder.parent)
    _, task = load_trained(Path(folder.name))
    assert task.training.n_users == 40


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
