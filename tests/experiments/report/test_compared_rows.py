"""Records become rows; those of other test instances are refused, and those of another protocol marked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdmr.experiments.report.compared_rows import (
    ComparedRow,
    collect_rows,
    explain_other_instances,
    explain_other_protocols,
    find_model_name,
    have_same_candidates,
)
from sdmr.harness.metrics import Ranks
from sdmr.harness.schema1 import TASKS
from tests.experiments.report.published import make_record
from tests.experiments.report.records import change_record, write_random_run, write_run

ROWS = ("sdm", "sdm-grid")


def write_configured(folder: Path, model: str = "sdm", seed: int = 0, config: Any = None, **fields: Any) -> Path:
    """Write the run of a model with further settings."""
    write_random_run(folder, model, seed)
    change_record(folder, config={"seed": seed, **(config or {})}, **fields)
    return folder


def test_seeds_of_the_same_settings_are_one_row(tmp_path: Path) -> None:
    folders = [
        write_configured(tmp_path / f"{model}-{seed}", model, seed, source=f"code {seed}")
        for model, seed in (("sdm", 1), ("popularity", 0), ("sdm", 0))
    ]
    sdm, popularity = collect_rows([*folders, folders[0]])
    assert (sdm.name, sdm.model, sdm.folders) == ("SDM", "sdm", (folders[2], folders[0]))
    assert (popularity.name, popularity.model, popularity.folders) == ("Popularity", "popularity", (folders[1],))


def test_a_seed_made_by_other_code_is_a_row_of_its_own(tmp_path: Path) -> None:
    folders = [
        write_configured(tmp_path / f"SDM-{code}{seed}", seed=seed, source=code) for code in "ab" for seed in (0, 1)
    ]
    rows = collect_rows(folders)
    assert [(row.name, row.folders) for row in rows] == [
        ("SDM, a0", tuple(folders[:2])),
        ("SDM, b0", tuple(folders[2:])),
    ]


def test_rows_of_one_model_are_named_by_what_differs(tmp_path: Path) -> None:
    models = [{"dim": 64, "hops": 1}, {"dim": 128, "hops": 1}]
    folders = [
        write_configured(tmp_path / f"SDM-{n}", config={"model": {"_target_": "sdmr.models.sdm.SDM", **model}})
        for n, model in enumerate(models)
    ]
    assert [row.name for row in collect_rows(folders)] == ["SDM, dim=64", "SDM, dim=128"]
    many = {f"a{n}": n for n in range(5)}
    folders.append(write_configured(tmp_path / "SDM-2", config={"model": {"_target_": "sdmr.models.sdm.SDM", **many}}))
    assert [row.name for row in collect_rows(folders)] == ["SDM, dim=64, hops=1", "SDM, dim=128, hops=1", "SDM, 2"]


def test_classes_and_scores_of_others_have_their_names(tmp_path: Path) -> None:
    net = write_configured(tmp_path / "Net-0", model="my.Net")
    scores = write_configured(tmp_path / "v1.2-0", model="v1.2", config={"scores": "scores.csv"}, validation={})
    assert [(row.name, row.model) for row in collect_rows([net, scores])] == [("Net", "my.Net"), ("v1.2", "v1.2")]


def test_seeds_on_other_data_are_rows_of_their_own_and_marked(tmp_path: Path) -> None:
    folders = [write_configured(tmp_path / f"SDM-{n}", seed=n) for n in range(2)]
    digests = {"test_items": "same", "test_candidates": "same"}
    for folder, data in zip(folders, ("first", "second"), strict=True):
        change_record(folder, data=data, **digests)
    rows = collect_rows(folders)
    assert [row.name for row in rows] == ["SDM, 0", "SDM, 1"]
    assert list(explain_other_instances(rows)) == []
    assert have_same_candidates(*rows)
    assert explain_other_protocols(rows) == {"SDM, 1": "trained or validated on other data"}
    change_record(folders[1], test_candidates="others")
    assert not have_same_candidates(*collect_rows(folders))


def test_published_rows_inside_the_papers_grid_say_so(tmp_path: Path) -> None:
    folders = [write_configured(tmp_path / f"{row}-0", "sdm", config={"epochs": n}) for n, row in enumerate(ROWS)]
    rows = collect_rows(folders)
    assert [(row.name, row.model) for row in rows] == [("SDM", "sdm"), ("SDM (paper's grid)", "sdm")]


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"_target_": "sdmr.baselines.prme.PRME", "context_length": 1}, "prme"),
        ({"_target_": "sdmr.baselines.prme.PRME", "context_length": 5}, "prme-s"),
        ({"_target_": "sdmr.baselines.cmn.CMN", "gmf": {"objective": "cross-entropy"}}, "cmn"),
        ({"_target_": "sdmr.models.released.ReleasedSDM"}, "sdm-released"),
        ({"_target_": "my.Net"}, "my.Net"),
    ],
)
def test_name_is_that_of_class_and_settings(config: dict[str, Any], name: str) -> None:
    assert find_model_name(config) == name


def test_search_runs_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [write_configured(tmp_path / name) for name in ("SDM-0", "SDM-1")]
    change_record(folders[0], test=None)
    assert [row.folders for row in collect_rows(folders)] == [(folders[1],)]
    assert capsys.readouterr().out.startswith("1 search runs are left out: with test=false")


@pytest.mark.parametrize(
    ("dataset", "config", "n", "faults"),
    [
        ("ml-1m", {}, 210, "dataset ml-1m, not ml-100k; 210 test instances, not 200"),
        ("ml-100k", {"split_seed": 3}, 200, "split_seed 3, not 0"),
        ("ml-100k", {"protocol": {"test_item": "random"}}, 200, "protocol.test_item random, not last"),
        ("ml-100k", {"dataset": {"path": "a.csv"}}, 200, "dataset.path a.csv, not null"),
        ("ml-100k", {"protocol": {"candidates": 99}}, 210, "210 test instances, not 200"),
        ("ml-100k", {}, 200, "data hash other, not data: the raw data or the code that splits them has changed"),
        ("ml-100k", {"protocol": {"select_on": "test"}}, 200, "data hash other, not data"),
        ("ml-100k", {"protocol": {"candidates": 99}}, 200, "data hash other, not data: an older record does not name"),
        (
            "ml-100k",
            {"protocol": {"test_context": "with-validation"}},
            200,
            "data hash other, not data: an older record",
        ),
    ],
)
def test_records_of_other_instances_say_how_they_differ(
    dataset: str, config: dict[str, Any], n: int, faults: str, tmp_path: Path
) -> None:
    first = write_configured(tmp_path / "ml-100k" / "SDM-0")
    other = write_run(tmp_path / dataset / "SDP-0", "sdp", 0, np.arange(n), Ranks(np.zeros(n, int), np.zeros(n, int)))
    change_record(other, config=config, data="other")
    lines = list(explain_other_instances(collect_rows([first, other])))
    assert len(lines) == 1
    assert lines[0].startswith(f"SDP ({other}): {faults}")


@pytest.mark.parametrize(
    ("first", "second", "fault"),
    [
        ("same", "same", None),
        ("same", "other", "data hash other, not data: the raw data or the code that splits them has changed"),
        ("same", None, "data hash other, not data: an older record does not name its test items"),
        (None, None, "data hash other, not data: an older record does not name its test items"),
    ],
)
def test_records_of_other_candidates_are_paired_only_if_both_name_the_same_test_items(
    first: str | None, second: str | None, fault: str | None, tmp_path: Path
) -> None:
    folders = [write_configured(tmp_path / "ml-100k" / name, name.lower()) for name in ("SDM", "SDP")]
    change_record(folders[0], test_items=first)
    change_record(folders[1], test_items=second, data="other", config={"protocol": {"candidates": 99}})
    lines = list(explain_other_instances(collect_rows(folders)))
    assert len(lines) == bool(fault)
    assert all(line.startswith(f"SDP ({folders[1]}): {fault}") for line in lines)


def test_records_of_old_fingerprints_are_of_the_same_instances(tmp_path: Path) -> None:
    old, new = next(iter(TASKS.items()))
    folders = [write_configured(tmp_path / name, name, data=data) for name, data in (("sdm", old), ("sdp", new))]
    assert list(explain_other_instances(collect_rows(folders))) == []


def test_rows_of_another_protocol_are_marked(tmp_path: Path) -> None:
    sdm = [write_configured(tmp_path / f"SDM-{seed}", seed=seed) for seed in (0, 1)]
    change_record(sdm[1], source="other")
    sdp = write_configured(tmp_path / "SDP-0", "sdp", config={"protocol": {"candidates": 99, "select_on": "test"}})
    cml = write_configured(tmp_path / "CML-0", "cml")
    assert explain_other_protocols(collect_rows([*sdm, sdp, cml])) == {
        "SDM": "made by different code (c0ffee0, c0ffee1)",
        "SDP": "protocol.select_on test, not validation; protocol.candidates 99, not 100",
    }


def test_a_row_among_all_items_has_no_sampled_candidates(tmp_path: Path) -> None:
    records = [make_record(), make_record(config={"seed": 0, "protocol": {"candidates": "all"}})]
    first, row = (ComparedRow("SDM", "sdm", (tmp_path,), (record,)) for record in records)
    assert not have_same_candidates(first, row)
