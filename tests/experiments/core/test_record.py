"""The schema of a record: versioned, and checked when it is read."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.record import Environment, Record, load_record, read_environment, save_record
from sdmr.harness.records import collect_environment

RECORD = Record(
    run="SDM-0",
    model="sdmr.models.sdm.SDM",
    dataset="csv",
    config={"context_length": None},
    data="a",
    source="b",
    validation={"hit@10": {"expected": 0.5}},
    seconds={"fit": 1.0, "rank": 2.0, "parts": 4.0},
    peak_memory_mib=1.0,
    environment=Environment(),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_record(RECORD, tmp_path / "record.json")
    return tmp_path / "record.json"


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_record_is_read_as_it_was_saved_even_outside_a_checkout(path: Path) -> None:
    assert load_record(path) == RECORD
    assert json.loads(path.read_text())["schema_version"] == 2
    assert "test" not in json.loads(path.read_text())


def test_runtime_is_without_parts_and_metrics_are_validation_metrics_without_a_test() -> None:
    assert (RECORD.runtime, RECORD.class_name, RECORD.metrics()) == (3.0, "SDM", RECORD.validation)


def test_scores_keep_their_name_with_a_dot() -> None:
    assert RECORD.model_copy(update={"model": "Net-1.2", "config": {"scores": "net.csv"}}).class_name == "Net-1.2"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"unknown": 1}, "unknown=1: extra inputs are not permitted"),
        ({"environment": {"cpu": "x"}}, r"environment\.cpu=x: extra inputs"),
        ({"schema_version": 3}, "schema_version=3: must be 2"),
        ({"peak_memory_mib": "x"}, "peak_memory_mib=x: must be a valid number"),
    ],
)
def test_unknown_field_or_wrong_value_is_an_error_that_names_file_and_field(
    path: Path, fields: dict[str, Any], message: str
) -> None:
    change(path, **fields)
    with pytest.raises(DataError, match=rf"^{path}: {message}"):
        load_record(path)


def test_missing_field_is_an_error_that_names_file_and_field(path: Path) -> None:
    content = json.loads(path.read_text())
    del content["seconds"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"^{path}: seconds=\.\.\. is missing"):
        load_record(path)


def test_damaged_file_is_an_error_that_names_it(path: Path) -> None:
    path.write_text("{")
    with pytest.raises(DataError, match=rf"^{path} is damaged: "):
        load_record(path)


def test_published_records_of_schema_1_are_read() -> None:
    (path, *_) = sorted((Path(__file__).parents[3] / "results" / "records" / "table3").rglob("sdm-0/record.json"))
    record = load_record(path)
    assert record.model == "sdmr.models.sdm.SDM"
    assert record.run.startswith("SDM-")


def test_environment_names_the_instruction_set() -> None:
    environment = read_environment()
    assert environment.instruction_set == torch.backends.cpu.get_cpu_capability()
    assert environment.model_dump().items() >= collect_environment().items()
