"""The command that repeats a row."""

import shlex
from pathlib import Path

import pytest

from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.record import load_record
from sdmr.experiments.report.provenance import describe_row, format_command, list_settings
from tests.experiments.report.published import make_record

RECORDS = Path(__file__).parents[3] / "results" / "records"


@pytest.mark.parametrize(
    "name", ["table3/ml-100k/sdm", "table3/ml-100k/item-knn", "table3/ml-1m/cmn", "table4/ta-feng/sdmr"]
)
def test_command_has_the_settings_of_the_published_record(name: str) -> None:
    record = load_record(RECORDS / f"{name}-0" / "record.json")
    _, _, *overrides = shlex.split(format_command(Path(name).name, [record]))
    settings, expected = list_settings(compose_config(overrides).settings), list_settings(record.config)
    common = settings.keys() & expected.keys()
    assert {key: settings[key] for key in common} == {key: expected[key] for key in common}
    assert len(common) > 5


def test_seeds_are_a_multirun() -> None:
    records = [load_record(RECORDS / "table3" / "ml-100k" / f"prme-{seed}" / "record.json") for seed in range(3)]
    command = format_command("prme", records)
    assert command.startswith("sdmr run -m model=prme dataset=ml-100k ")
    assert command.endswith(" seed=0,1,2")


def test_users_run_of_a_model_of_the_suite_has_its_name() -> None:
    record = load_record(RECORDS / "table3" / "ml-100k" / "prme-s-0" / "record.json")
    assert "model=prme-s " in format_command("PRME (yours)", [record])


def test_command_on_a_users_file_names_its_path_and_what_is_not_the_default() -> None:
    arguments = ["model=sdm", "dataset=csv", 'dataset.path="ratings (1).csv"', "model.hops=2", "dataset.time=when"]
    config = compose_config(arguments).settings
    command = format_command("SDM (yours)", [make_record(model="sdmr.models.sdm.SDM", dataset="csv", config=config)])
    assert command.startswith("sdmr run model=sdm dataset=csv 'dataset.path=\"ratings (1).csv\"' ")
    assert sorted(shlex.split(command)[2:]) == sorted([*arguments, "seed=0"])


def test_command_of_a_class_that_is_not_here_names_every_setting() -> None:
    config = {"model": {"_target_": "absent.Net", "dim": 8}, "seed": 3, "split_seed": 0}
    record = make_record(model="absent.Net", config=config)
    assert format_command("Net (yours)", [record]) == (
        "sdmr run model=absent.Net dataset=ml-100k model.dim=8 split_seed=0 seed=3"
    )


def test_command_of_scores_made_elsewhere_names_their_task_and_is_quoted() -> None:
    config = {"dataset": {"_target_": "sdmr.datasets.movielens.load_ml_100k"}, "split_seed": 3}
    config |= {"protocol": {"test_item": "random"}, "scores": "it's mine.csv"}
    command = format_command("Elsewhere (yours)", [make_record(model="Elsewhere", config=config, validation={})])
    assert shlex.split(command) == [
        *("sdmr", "score", 'scores="it\'s mine.csv"', "dataset=ml-100k", "name=Elsewhere"),
        *("split_seed=3", "protocol.test_item=random"),
    ]


def test_command_of_scores_on_a_users_file_names_what_is_not_the_default() -> None:
    settings = compose_config(["model=popularity", "dataset=csv", "dataset.path=mine.csv", "split_seed=3"]).settings
    config = {key: settings[key] for key in ("dataset", "split_seed", "protocol")} | {"scores": "a.npy"}
    record = make_record(model="Elsewhere", dataset="csv", config=config)
    assert format_command("Elsewhere (yours)", [record]) == (
        "sdmr score scores=a.npy dataset=csv dataset.path=mine.csv name=Elsewhere split_seed=3"
    )


def test_seconds_of_a_row_have_those_of_its_parts(tmp_path: Path) -> None:
    record = make_record(seconds={"fit": 10.0, "parts": 100.0, "selection": 0.0})
    assert describe_row("sdm", [tmp_path], [record], tmp_path)["seeds"][0]["seconds"] == 110.0
