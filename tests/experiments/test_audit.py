"""The command `sdmr audit`."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sdmr.datasets import movielens
from sdmr.datasets.interactions import Interactions
from sdmr.experiments.core import cli, plan, run
from sdmr.experiments.core.parallel import make_outcome
from tests.experiments.report.records import change_record


@pytest.fixture
def small_ml_100k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put 40 users with 6 of 130 items each in the place of ML-100k, and make runs in this process."""
    rng = np.random.default_rng(5)
    items = np.concatenate([rng.choice(130, 6, replace=False) for _ in range(40)])
    users, times = np.repeat(np.arange(40), 6), np.tile(np.arange(6), 40)
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(movielens, "load_ml_100k", lambda: Interactions.from_raw(users, items, times))
    monkeypatch.setattr(plan, "run_all", lambda tasks, runs, workers: (make_outcome(task, runs) for task in tasks))
    run._load_task.cache_clear()
    yield
    run._load_task.cache_clear()


@pytest.mark.usefixtures("small_ml_100k")
def test_the_command_makes_missing_runs_and_publishes_what_it_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def audit(argument: str, factors: str = "[default,argsort,candidates-99]", runs: str = "runs") -> str:
        folders = [f"runs={tmp_path / runs}", f"results={tmp_path}/results", f"plots={tmp_path}"]
        assert cli.main(["audit", "models=popularity", f"factors={factors}", *folders, argument]) == 0
        return capsys.readouterr().out

    def cut_report(out: str) -> str:
        return out[out.index("# What the paper's") :].strip()

    assert "3 of 3 runs are missing; the first is\n  sdmr run model=popularity dataset=ml-100k" in audit("train=false")
    assert not (tmp_path / "results").exists()
    text = cut_report(audit("publish=true"))
    table = text[text.index("## ML-100k: one choice") :]
    for label in (
        "default protocol, the paper's equations",
        "default protocol, tie_policy: optimistic",
        "tie_policy: argsort-target-last",
        "candidates: 99",
    ):
        assert f"| {label}" in table
    assert text == (tmp_path / "results" / "audit.md").read_text().strip()
    published = sorted((tmp_path / "results" / "records" / "audit" / "ml-100k").glob("*/*"))
    assert [f"{path.parent.name}/{path.name}" for path in published] == [
        f"{factor}-popularity-0/record.json" for factor in ("argsort", "candidates-99", "default")
    ]
    cells = pd.read_csv(tmp_path / "results" / "audit.csv", keep_default_na=False)
    assert set(cells["deviations"]) == {"", "tie_policy=argsort-target-last", "candidates=99"}
    # What is published stays, whatever is asked for.
    assert cut_report(audit("publish=true", factors="argsort")) == text
    # Without the runs, the published records make the same tables.
    assert cut_report(audit("train=false", runs="nothing")) == text


@pytest.mark.usefixtures("small_ml_100k")
def test_a_cell_with_more_published_seeds_is_not_replaced_in_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [f"runs={tmp_path}/runs", f"results={tmp_path}/results", f"plots={tmp_path}"]
    command = ["audit", "models=popularity", "factors=default", *folders, "publish=true"]
    assert cli.main(command) == 0
    published = tmp_path / "results" / "records" / "audit" / "ml-100k" / "default-popularity-0"
    shutil.copytree(published, published.with_name("default-popularity-1"))
    change_record(published, source="older")
    before = (published / "record.json").read_text()
    assert cli.main(command) == 0
    assert "ml-100k, default, popularity keeps its 2 published seeds" in capsys.readouterr().err
    assert (published / "record.json").read_text() == before
    shutil.rmtree(published.with_name("default-popularity-1"))
    assert cli.main(command) == 0
    assert (published / "record.json").read_text() != before


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("protocol.candidates=99", "the rows differ in this; choose rows with factors=[...]"),
        ("++protocol.select_on=test", "the rows differ in this; choose rows with factors=[...]"),
        ("factors=honest", "factors=honest is now factors=default"),
        ("factors=[released,honest]", "factors=honest is now factors=default"),
        ("factors=none", "factors=none: there is none of this name; there are default, released"),
        ("factors=[]", "factors=[]: expected at least one value"),
        ("models=[]", "models=[]: expected at least one value"),
        ("order_models=[]", "order_models=[]: expected at least one value"),
        ("model.foo=1", "model.foo: "),
        ("epochs=x", "epochs=x: "),
        ("models=[sdm,nothing]", "models=nothing: there is none of this name"),
        ("dataset=ml-1m", "dataset=ml-1m"),
        ("foo=1", "foo: there is no such setting"),
        ("seeds=0", "seeds=0: must be greater than or equal to 1"),
    ],
)
def test_an_argument_that_the_tables_contradict_is_one_error(
    argument: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["audit", argument]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("small_ml_100k")
@pytest.mark.parametrize(
    ("argument", "message"),
    [("model.foo=1", "has no argument 'foo'"), ("model.dim=8", "Popularity has no argument 'dim'")],
)
def test_a_setting_that_one_of_the_models_does_not_have_is_one_error_before_any_run(
    argument: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [f"runs={tmp_path / 'runs'}", f"results={tmp_path / 'results'}"]
    assert cli.main(["audit", "models=[mf-bpr,popularity]", "factors=default", argument, *folders]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert (printed.err.count("\n"), printed.out) == (1, "")
    assert not (tmp_path / "runs").exists()


def test_models_of_orders_without_an_order_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", "factors=default", "order_models=sdm"]) == 2
    assert "order_models=...: these are models of the factors file and random" in capsys.readouterr().err


def test_runs_with_other_settings_are_not_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", "publish=true", "epochs=2"]) == 2
    assert "publish=true: not with other settings (epochs=2)" in capsys.readouterr().err


@pytest.mark.usefixtures("small_ml_100k")
def test_a_cell_of_two_codes_stays_and_is_shown_as_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [f"runs={tmp_path}/runs", f"results={tmp_path}/results", f"plots={tmp_path}"]
    command = ["audit", "models=mf-bpr", "factors=default", "seeds=2", *folders, "publish=true"]
    assert cli.main(command) == 0
    published = [tmp_path / "results" / "records" / "audit" / "ml-100k" / f"default-mf-bpr-{seed}" for seed in range(2)]
    for folder in published:
        change_record(folder, source="older", environment={"commit": "older"})
    (run,) = (path.parent for path in (tmp_path / "runs").rglob("record.json") if '"seed": 1,' in path.read_text())
    shutil.rmtree(run)
    assert cli.main([*command, "train=false"]) == 0
    assert "ml-100k, default, mf-bpr keeps its 2 published seeds" in capsys.readouterr().err
    assert set(pd.read_csv(tmp_path / "results" / "audit.csv")["commit"]) == {"older"}
