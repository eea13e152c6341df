"""Tuned settings: files that are part of the configuration, with their origin as data."""

import os
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from sdmr.experiments.core import cli, paths
from sdmr.experiments.core import tuned as tuned_module
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.errors import NotTunedError
from sdmr.experiments.core.registry import MODELS
from sdmr.experiments.core.tuned import describe_search, get_tuned_path, read_tuned, write_tuned

TUNED = sorted(tuned_module.FOLDER.glob("*/*.yaml"))


def test_written_settings_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned_module, "FOLDER", tmp_path)
    path = write_tuned("csv", "sdm", {"model": {"hops": 2}}, {"search": "grid"})
    assert (path, path.read_text().splitlines()[0]) == (get_tuned_path("csv", "sdm"), "# @package _global_")
    assert read_tuned("csv", "sdm") == {"model": {"hops": 2}, "tuning": {"search": "grid"}}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "12 of 20, 31 min"),
        ({"trials": 11}, "11 of 20!, 31 min"),  # too few
        ({"trials": 5, "planned": 5}, "5 of 5!, 31 min"),
        ({"trials": 5, "planned": 5, "space": {"model.dim": [1, 2, 3, 4, 5]}}, "5 of 5, 31 min"),  # all there are
        ({"is_capped": True}, "12 of 20, 31 min (cap)"),
        ({"pruned": 3, "edges": ["model.dim"]}, "12 of 20, 31 min, 3 pruned, edge: dim"),
        ({"edges": ["model.dim", "model.optimization.regularization"]}, "12 of 20, 31 min, edge: dim regularization"),
        ({"beyond_paper": ["model.dropout"]}, "12 of 20, 31 min, not in the paper: dropout"),
        ({"parts": {"sdp": "20 of 20, 9 min", "sdm": ""}}, "12 of 20, 31 min; sdp: 20 of 20, 9 min"),
    ],
)
def test_a_search_is_described_by_its_trials_and_minutes(more: dict[str, Any], text: str) -> None:
    search = {"trials": 12, "planned": 20, "cpu_minutes": 31.2, "space": {"model.dim": list(range(40))}}
    assert describe_search(search | more) == text


def test_a_search_that_did_not_count_its_trials_has_no_description() -> None:
    assert describe_search({"runs": 20, "minutes": 48.7}) == ""


def test_missing_settings_are_an_error_that_names_the_search() -> None:
    with pytest.raises(NotTunedError, match="sdm on csv has no tuned settings; `sdmr sweep model=sdm dataset=csv`"):
        read_tuned("csv", "sdm")


def test_missing_settings_of_a_model_without_a_space_are_an_error_that_names_its_file() -> None:
    with pytest.raises(NotTunedError, match=r"no tuned settings; a search needs the file .*/space/sdm-released\.yaml$"):
        read_tuned("csv", "sdm-released")
    with pytest.raises(NotTunedError, match="`sdmr sweep model=sdm-grid dataset=csv` finds some"):
        read_tuned("csv", "sdm-grid")


@pytest.mark.parametrize("path", [path for path in TUNED if path.stem in MODELS], ids="{0.parent.name}-{0.stem}".format)
def test_every_tuned_file_composes_with_its_values(path: Path) -> None:
    settings = compose_config([f"model={path.stem}", f"dataset={path.parent.name}", "settings=tuned"]).settings
    content = read_tuned(path.parent.name, path.stem)
    assert settings["tuning"] == content["tuning"]
    for key, value in content.get("model", {}).items():
        if not isinstance(value, dict):
            assert settings["model"][key] == value


def test_texts_that_look_like_numbers_stay_texts_for_hydra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned_module, "FOLDER", tmp_path)
    texts = ["9795578e9963", "12E3", "1e5", "123456789012", "eac1338"]  # commits
    path = write_tuned("csv", "sdm", {"model": {"hops": 2}}, {"commits": texts, "run": "5e9"})
    assert OmegaConf.load(path).tuning == {"commits": texts, "run": "5e9"}


def test_without_the_checkout_settings_are_written_beside_the_results_and_read_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ["model=sdm", "dataset=ml-100k", "settings=tuned"]
    before = compose_config(overrides).settings["model"]["hops"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "IS_CHECKOUT", False)
    monkeypatch.delenv("SDMR_RESULTS", raising=False)
    assert compose_config(overrides).settings["model"]["hops"] == before  # those of the suite
    path = write_tuned("ml-100k", "sdm", {"model": {"hops": before + 1}}, {"search": "grid"})
    assert path == tmp_path / "results" / "settings" / "tuned" / "ml-100k" / "sdm.yaml"
    assert get_tuned_path("ml-100k", "sdm") == path
    assert get_tuned_path("ml-100k", "sdp").is_relative_to(tuned_module.FOLDER)
    settings = compose_config(overrides).settings
    assert (settings["model"]["hops"], settings["tuning"]) == (before + 1, {"search": "grid"})
    monkeypatch.setenv("SDMR_RESULTS", "elsewhere")  # as the option results=elsewhere does
    assert compose_config(overrides).settings["model"]["hops"] == before
    write_tuned("csv", "sdm", {"model": {"hops": 1}}, {})
    assert (tmp_path / "elsewhere" / "settings" / "tuned" / "csv" / "sdm.yaml").exists()


def test_the_results_of_a_command_are_where_its_runs_look_for_tuned_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SDMR_RESULTS", "before")
    assert cli.main(["publish", f"results={tmp_path}", f"runs={tmp_path}", "models=popularity"]) == 1
    assert os.environ["SDMR_RESULTS"] == str(tmp_path)
