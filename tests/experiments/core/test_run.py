"""Runs: what makes a run another one, and what it fills in from its data."""

import json
from pathlib import Path

import pytest

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.readers import reader
from sdmr.datasets.tabular import load_csv
from sdmr.experiments.core import run as run_module
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.execute import execute
from sdmr.experiments.core.run import RANKING_MODULES, compute_source
from tests.experiments.conftest import SMALL, run_of


@reader
def read_baskets(path: str) -> Interactions:
    return load_csv(path, basket="basket")


pytestmark = pytest.mark.usefixtures("temporary_cache")


@pytest.mark.parametrize(
    "change",
    ["seed=1", "split_seed=1", "test=false", "model.dim=9", "dataset.min_count=2", "model.optimization.epochs=4"],
)
def test_key_changes_with_a_setting_that_changes_results(
    change: str, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    default = ("model=mf-bpr", *overrides, *SMALL)
    assert run_of(tmp_path, *default, change).folder != run_of(tmp_path, *default).folder


def test_key_does_not_change_with_threads_force_and_folder(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    default = ("model=mf-bpr", *overrides, *SMALL)
    assert run_of(tmp_path, *default, "threads=2", "force=true", "runs=x").folder == run_of(tmp_path, *default).folder


def test_key_changes_with_the_content_of_a_file(tmp_path: Path, data: Path, overrides: tuple[str, ...]) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_text(data.read_text())
    there = ("model=popularity", "dataset=csv", f"dataset.path={copy}", "dataset.time=time")
    before = run_of(tmp_path, *there)
    assert before.data == run_of(tmp_path, "model=popularity", *overrides).data
    copy.write_text(data.read_text() + "0,139,99\n7,139,99\n")
    run_module._load_task.cache_clear()  # which is for one process, where no data changes
    assert run_of(tmp_path, *there).folder != before.folder


def test_context_length_is_the_longest_basket_or_five_of_a_history(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    rows = [f"{user},{5 * user + position},b" for user in range(30) for position in range(9 if user == 7 else 5)]
    path = tmp_path / "baskets.csv"
    path.write_text("\n".join(["user,item,basket", *rows]) + "\n")
    baskets = ("dataset=csv", f"dataset.path={path}", "dataset.basket=basket")
    for arguments, length in (
        (baskets, 7),
        ((f"dataset={__name__}.read_baskets", f"dataset.path={path}"), 7),
        (overrides, 5),
        ((*baskets, "context_length=2"), 2),
    ):  # 7: 9 less two held out
        model = run_of(tmp_path, "model=sdmr", *arguments).config["model"]
        assert model["sdm"]["context_length"] == length
        assert execute(run_of(tmp_path, "model=prme-s", *arguments, *SMALL, "epochs=1")).best_epoch == 1
        assert run_of(tmp_path, "model=prme", *arguments).config["model"]["context_length"] == 1


@pytest.mark.parametrize("change", ["select_on=test", "candidates=all", "tie_policy=argsort-target-last"])
def test_search_run_refuses_a_protocol_that_ranks_test_items(
    change: str, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="never ranks the test items"):
        run_of(tmp_path, "model=mf-bpr", *overrides, "test=false", f"protocol.{change}")


@pytest.mark.parametrize("field", ["source", "data"])
def test_a_record_of_other_code_or_data_is_not_reused(field: str, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=popularity", *overrides)
    execute(run)
    path = run.folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: "0" * 64}))
    assert run.record is None


def test_the_code_of_a_run_has_its_model_parts_ranking_and_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "compute_digest", lambda *modules: modules)
    modules = compute_source(compose_config(["model=sdmr"]).settings)
    expected = {"sdmr.models.sdmr", "sdmr.models.sdm", "sdmr.models.sdp", "sdmr.datasets.movielens", *RANKING_MODULES}
    assert expected <= set(modules)
