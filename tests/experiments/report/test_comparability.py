"""What keeps records from being compared, and the marks of a table's rows."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.run import compute_source
from sdmr.experiments.report import comparability
from sdmr.experiments.report.comparability import (
    NOT_COMPARABLE,
    OTHER_CODE,
    Mark,
    collect_marks,
    describe_differences,
    describe_table,
    format_marks,
    get_instances,
    mark_rows,
    mark_sources,
)
from sdmr.harness.schema1 import TASKS
from tests.experiments.report.published import make_record, publish_model
from tests.experiments.report.records import change_record

SEARCH: dict[str, Any] = {"trials": 20, "planned": 20, "cpu_minutes": 3.0, "space": {"model.dim": list(range(40))}}


def test_records_of_the_same_test_candidates_are_comparable_whatever_their_validation_candidates() -> None:
    records = [make_record(data=data) for data in next(iter(TASKS.items()))]
    assert describe_differences(records) == []
    assert get_instances(records[0]) == get_instances(records[1])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"data": "f" * 64}, "data: default of A, ffffffffffff of B"),
        ({"deviations": {"candidates": 99}}, "candidates: default of A, 99 of B"),
        ({"config": {"seed": 0, "split_seed": 1}}, "split_seed: 0 of A, 1 of B"),
        ({"deviations": {"order": "file"}}, "order: default of A, file of B"),
    ],
)
def test_a_difference_names_the_setting_its_values_and_the_runs(changes: dict[str, Any], line: str) -> None:
    first, second = make_record(run="A", data="default"), make_record(**({"run": "B", "data": "default"} | changes))
    assert describe_differences([first, second]) == [line]


@pytest.mark.parametrize("deviation", ["model.hops", "select_on", "validation_item", "tie_policy"])
def test_what_leaves_the_instances_as_they_are_is_no_difference(deviation: str) -> None:
    assert describe_differences([make_record(), make_record(deviations={deviation: "other"})]) == []


def publish_row(results: Path, model: str, seeds: int = 2, **tuning: Any) -> Path:
    folder = results / "records" / "table3" / "ml-100k"
    publish_model(folder, model, 0.5, seeds)
    known = {key: value for key, value in (SEARCH | tuning).items() if value is not None}
    (folder / f"{model}.yaml").write_text(yaml.safe_dump({"model": {}, "tuning": known}))
    return folder / f"{model}-0"


def list_marks(results: Path) -> dict[str, tuple[str, str]]:
    """Return the mark of each row, without that of the records' code, which is older in all rows."""
    return {mark.row: (mark.title, mark.detail) for mark in collect_marks(3, results) if mark.title != OTHER_CODE}


def test_rows_without_fault_have_no_mark(tmp_path: Path) -> None:
    for model in ("sdp", "sdm"):
        publish_row(tmp_path, model)
    publish_row(tmp_path, "slim", trials=8, space={"model.l1": [1.0] * 8})  # the whole space
    publish_row(tmp_path, "item-knn", trials=504, search="grid")  # of which no other row has as many
    assert list_marks(tmp_path) == {}
    lines, is_comparable = describe_table(3, tmp_path)
    assert lines[0] == f"ml-100k, Item-KNN: {OTHER_CODE} (commit c0ffee)"
    assert (lines[-1], is_comparable) == ("rows made by other code than this version's: 4", True)


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"trials": 11}, ("Fewer than 12 trials", "11")),
        ({"trials": 15}, ("Fewer than the 20 trials of other rows", "15")),
        ({"trials": None}, ("The search did not count its trials", "")),
        ({"trials": None, "transferred": "ta-feng"}, ("Tuned on another data set", "ta-feng")),
        ({"edges": ["model.dim"]}, ("The best setting is at an edge", "dim")),
        ({"beyond_paper": ["model.sdm.dropout"]}, ("Not in the paper's grid", "sdm.dropout")),
        ({"seeds": 1}, ("One seed", "")),
    ],
)
def test_search_and_seeds_of_a_row_are_marked(changes: dict[str, Any], mark: tuple[str, str], tmp_path: Path) -> None:
    publish_row(tmp_path, "sdp")
    publish_row(tmp_path, "sdm", **changes)
    assert list_marks(tmp_path) == {"SDM": mark}
    assert describe_table(3, tmp_path)[1]


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"best_among_last_5_allowed": True}, "The best epoch is among the last five allowed, so that more might help"),
        ({"best_epoch": 0}, "The best epoch is the start, before training"),
    ],
)
def test_epochs_of_a_row_are_marked_with_their_seeds(changes: dict[str, Any], title: str, tmp_path: Path) -> None:
    change_record(publish_row(tmp_path, "sdm"), **changes)
    assert list_marks(tmp_path) == {"SDM": (title, "seed 0")}


def test_another_patience_than_that_of_the_others_is_marked(tmp_path: Path) -> None:
    for model, patience in (("sdm", 10), ("sasrec", 20)):
        folder = publish_row(tmp_path, model)
        change_record(folder, config={"seed": 0, "model": {"optimization": {"patience": patience}}})
    mark = ("Training stops after other than 10 epochs without a better one", "20")
    assert list_marks(tmp_path) == {"SASRec": mark}


def test_a_class_may_have_an_argument_of_any_name(tmp_path: Path) -> None:
    change_record(publish_row(tmp_path, "sdm"), config={"seed": 0, "model": {"optimization": "adam"}})
    assert list_marks(tmp_path) == {}


def test_a_row_of_other_code_is_not_comparable_with_those_of_this_version(tmp_path: Path) -> None:
    for model in ("popularity", "slim", "ease"):
        folder, config = publish_row(tmp_path, model, seeds=1), compose_config([f"model={model}"]).settings
        change_record(folder, config=config, source=compute_source(config), history=None)
    assert collect_marks(3, tmp_path) == []
    change_record(folder, source="older")
    assert collect_marks(3, tmp_path) == [
        Mark("ml-100k", "EASE", NOT_COMPARABLE, "made by other code, commit c0ffee"),
    ]
    lines, is_comparable = describe_table(3, tmp_path)
    assert lines[-2:] == [
        "rows that are not comparable with the others of their data set: 1",
        "rows made by other code than this version's: 1",
    ]
    assert not is_comparable


def test_a_row_with_another_protocol_or_default_settings_is_not_comparable(tmp_path: Path) -> None:
    for model in ("sdp", "sdm", "cml"):
        folder = publish_row(tmp_path, model)
    change_record(folder, deviations={"select_on": "test"})
    publish_row(tmp_path, "prme").with_name("prme.yaml").unlink()
    marks = list_marks(tmp_path)
    assert marks["PRME"] == (NOT_COMPARABLE, "default settings beside tuned ones")
    assert marks["CML"][1].startswith("select_on: default of ")
    assert len(marks) == 2
    lines, is_comparable = describe_table(3, tmp_path)
    assert lines[-2] == "rows that are not comparable with the others of their data set: 2"
    assert not is_comparable
    assert format_marks(collect_marks(3, tmp_path))[0].startswith(f"{NOT_COMPARABLE}: CML (select_on: ")


def test_any_seed_of_other_code_marks_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparability, "is_current", lambda record: record.config["seed"] == 0)
    seeds = [make_record(config={"seed": seed}) for seed in (0, 1)]
    marks = mark_sources("ml-100k", {"sdm": seeds, "sdp": seeds})
    assert [(mark.row, mark.title) for mark in marks] == [("SDM", OTHER_CODE), ("SDP", OTHER_CODE)]


def test_any_seed_of_another_protocol_marks_its_row() -> None:
    usual, other = make_record(), make_record(run="Net-1", deviations={"select_on": "test"})
    marks = mark_rows("ml-100k", {"sdp": [usual, usual], "sdm": [usual, other]}, {})
    assert [(mark.row, mark.title) for mark in marks] == [("SDM", NOT_COMPARABLE)]


def test_a_users_class_needs_no_tuned_settings() -> None:
    seeds, tuning = [make_record(), make_record(run="Net-1")], {"trials": 20, "space": {"model.dim": list(range(40))}}
    assert mark_rows("ml-100k", {"sdm": seeds, "my.Net": seeds}, {"sdm": tuning}) == []
