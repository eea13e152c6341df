"""The audit's plan, and the records that it finds."""

from pathlib import Path
from typing import Any

import pytest

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.plan import FoundRun, PlannedRun
from sdmr.experiments.core.record import load_record, save_record
from sdmr.experiments.report import audit_runs
from sdmr.experiments.report.audit_runs import AuditOptions, AuditRun, load_audit
from sdmr.experiments.report.factors import RELEASED_PROTOCOL
from tests.experiments.report.published import make_record, publish_model


def plan_small(folder: Path, **options: Any) -> list[AuditRun]:
    values: dict[str, Any] = {"seeds": 2, "models": ["sdm", "popularity"], "order_models": ["popularity", "mf-bpr"]}
    values |= {"runs": str(folder / "runs"), "results": str(folder / "results")}
    return audit_runs.plan_audit(AuditOptions(**(values | options)))


def get_planned(runs: list[AuditRun], dataset: str, factor: str, model: str, seed: int = 0) -> PlannedRun:
    (run,) = (
        r
        for r in runs
        if (r.planned.dataset, r.planned.group, r.model, r.planned.seed) == (dataset, factor, model, seed)
    )
    return run.planned


def test_the_released_sdmr_runs_wherever_its_ties_are_shown(tmp_path: Path) -> None:
    runs = plan_small(tmp_path, models=["sdmr"], factors=["released"])
    assert {(run.planned.dataset, run.planned.seed) for run in runs} == {("ml-100k", 0), ("ml-100k", 1), ("ta-feng", 0)}
    overrides = {
        dataset: set(get_planned(runs, dataset, "released", "sdmr").overrides) for dataset in ("ml-100k", "ta-feng")
    }
    assert overrides["ml-100k"] & overrides["ta-feng"] >= {
        "model=sdmr-released",
        "protocol.select_on=test",
        "seed=0",
    }
    assert {"model.sdm.optimization.epochs=4", "dataset=ta-feng"} <= overrides["ta-feng"]


def test_each_factor_makes_one_choice_in_another_way_and_released_makes_all(tmp_path: Path) -> None:
    runs = plan_small(tmp_path)
    default = get_planned(runs, "ml-100k", "default", "sdm").overrides
    assert default == ("model=sdm", "dataset=ml-100k", "seed=0")
    changed = {
        run.planned.group: set(run.planned.overrides) - set(default)
        for run in runs
        if (run.planned.dataset, run.model, run.planned.seed) == ("ml-100k", "sdm", 0)
    }
    assert changed["select-on-test"] == {"protocol.select_on=test"}
    assert changed["candidates-99"] == {"protocol.candidates=99"}
    assert changed["released"] == set(RELEASED_PROTOCOL) | changed["variant"]
    assert changed["released-next-to-last"] == {"protocol.validation_item=next-to-last"} | changed["released"]
    assert changed["variant"] == {"model=sdm-released", "model.optimization.epochs=16"}
    assert changed["dropout-off"] == {"model.dropout_at_test=off"} | changed["variant"]


def test_a_model_without_random_numbers_runs_once_and_only_the_papers_models_have_released_ones(tmp_path: Path) -> None:
    runs = plan_small(tmp_path)
    assert {run.planned.seed for run in runs if run.model == "popularity"} == {0}
    assert {run.model for run in runs if run.planned.group == "variant"} == {"sdm"}


def test_the_factors_of_epinions_plan_rules_and_short_trainings(tmp_path: Path) -> None:
    runs = [run for run in plan_small(tmp_path) if run.planned.dataset == "epinions"]
    assert {run.model for run in runs} == {"nearest", "popular", "popularity", "mf-bpr"}
    rule = get_planned(runs, "epinions", "file", "nearest")
    assert rule.model == "sdmr.experiments.report.id_order.IdOrder"
    assert rule.settings == ("model.first=nearest", "dataset.order=file")
    assert "epochs=8" in get_planned(runs, "epinions", "random", "mf-bpr").settings
    assert get_planned(runs, "epinions", "random", "popularity").settings == ()


def test_sasrec_by_its_papers_protocol_is_planned_where_both_are_asked_for(tmp_path: Path) -> None:
    assert not [run for run in plan_small(tmp_path) if run.planned.dataset == "ml-1m"]
    (run,) = plan_small(tmp_path, factors=["sasrec-papers"], models=["sasrec"])
    assert (run.planned.dataset, run.planned.seed) == ("ml-1m", 0)
    settings = {"protocol.test_context=with-validation", "model.loss=bce", "model.dim=50"}
    assert settings <= set(run.planned.settings)


def test_the_authors_readme_is_planned_with_its_settings_where_it_is_named(tmp_path: Path) -> None:
    assert not [run for run in plan_small(tmp_path, models=["sdp", "sdm"]) if run.planned.group == "authors-readme"]
    runs = plan_small(tmp_path, factors=["authors-readme"], models=["sdm"])
    assert [(run.planned.dataset, run.planned.seed) for run in runs] == [
        (dataset, seed) for dataset in ("ml-1m", "epinions-id-order") for seed in (0, 1)
    ]
    planned = get_planned(runs, "epinions-id-order", "authors-readme", "sdm", 1)
    assert planned.model == "sdm-released"
    assert {*RELEASED_PROTOCOL, "model.dim=128", "model.hops=4"} < set(planned.settings)
    assert planned.published
    assert planned.published.name == "authors-readme-sdm-1"


def test_overrides_reach_every_run_and_leave_published_records_out(tmp_path: Path) -> None:
    runs = plan_small(tmp_path, overrides=["epochs=2"])
    assert all(run.planned.settings[-1] == "epochs=2" and run.planned.published is None for run in runs)


def test_the_default_row_takes_table_3s_records_while_they_have_default_settings(tmp_path: Path) -> None:
    folder, audit = (tmp_path / "results" / "records" / name / "ml-100k" for name in ("table3", "audit"))
    publish_model(folder, "sdm", 0.6)
    options: dict[str, Any] = {"models": ["sdm"], "factors": ["default", "argsort"]}
    runs = plan_small(tmp_path, **options)
    assert get_planned(runs, "ml-100k", "default", "sdm", 1).published == folder / "sdm-1"
    assert get_planned(runs, "ml-100k", "argsort", "sdm", 1).published == audit / "argsort-sdm-1"
    (folder / "sdm.yaml").write_text("model: {dim: 128}\n")
    runs = plan_small(tmp_path, **options)
    assert get_planned(runs, "ml-100k", "default", "sdm", 1).published == audit / "default-sdm-1"


def test_ties_of_a_record_without_them_are_counted_from_its_ranks(tmp_path: Path) -> None:
    publish_model(tmp_path, "sdm", 0.6, ties=9)
    folder = tmp_path / "sdm-1"
    save_record(load_record(folder / "record.json").model_copy(update={"ties": None}), folder / "record.json")
    run = AuditRun("sdm", PlannedRun("sdm", "ml-100k", 1, group="default"))
    (record,) = load_audit([run], {run.planned: FoundRun(folder)})["ml-100k", "default", "sdm"]
    assert record.ties is not None
    assert record.ties.model_dump() == {"tied_share": 1.0, "mean_tied": 9.0}


def test_published_records_are_read_by_factor_and_model(tmp_path: Path) -> None:
    for name in ("released-sdmr-1", "released-sdmr-0", "released-next-to-last-sdmr-0", "file-sdm-0"):
        folder = tmp_path / "records" / "audit" / "ml-100k" / name
        folder.mkdir(parents=True)
        save_record(make_record(run=name), folder / "record.json")
    records = audit_runs.read_published_audit(tmp_path, ["released", "file", "random"])
    runs = {key: [record.run for record in records[key]] for key in records}
    assert runs == {
        ("ml-100k", "released", "sdmr"): ["released-sdmr-0", "released-sdmr-1"],
        ("ml-100k", "file", "sdm"): ["file-sdm-0"],
    }


def test_a_data_set_that_the_audit_does_not_have_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "records" / "audit" / "netflix-sample" / "default-sdm-0"
    folder.mkdir(parents=True)
    save_record(make_record(), folder / "record.json")
    with pytest.raises(DataError, match="audit/netflix-sample: the audit is of ml-100k, ta-feng, epinions, ml-1m"):
        audit_runs.add_published({}, tmp_path)


def test_published_cells_join_records_that_lack_them_or_have_fewer_seeds(tmp_path: Path) -> None:
    for name in ("default-sdm-0", "default-sdm-1", "argsort-prme-0", "default-popularity-0"):
        folder = tmp_path / "records" / "audit" / "ml-100k" / name
        folder.mkdir(parents=True)
        save_record(make_record(run=name), folder / "record.json")
    mine = {
        ("ml-100k", "default", model): [make_record(run=f"mine {seed}") for seed in range(seeds)]
        for model, seeds in (("sdm", 1), ("popularity", 1))
    }
    records = audit_runs.add_published(mine, tmp_path)
    assert {key[1:]: [record.run for record in records[key]] for key in records} == {
        ("default", "popularity"): ["mine 0"],
        ("default", "sdm"): ["default-sdm-0", "default-sdm-1"],
        ("argsort", "prme"): ["argsort-prme-0"],
    }
    assert [key[1:] for key in records] == [("default", "popularity"), ("default", "sdm"), ("argsort", "prme")]
