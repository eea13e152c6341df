"""Claims that compare models: their direction, and how sure it is."""

from pathlib import Path

import pytest

from sdmr.experiments.report import claims_answers, claims_differences
from sdmr.experiments.report.claims_answers import Direction
from sdmr.experiments.report.claims_differences import GENERAL, check_improvement, check_ranking
from sdmr.experiments.report.comparisons import Comparison
from sdmr.experiments.report.printed import get_paper_value
from tests.experiments.report.published import make_ranks, publish_model
from tests.experiments.report.records import write_run_among_all
from tests.experiments.report.test_comparisons import NO_SPREADS


def make_comparison(p: float) -> Comparison:
    return Comparison(0.02, 0.01, 0.03, 0.0, 0.04, p, 0.1, 0.2, 0.7, 0.1)


def test_a_direction_is_as_sure_as_its_least_sure_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in ("sdp", "cml"):
        publish_model(tmp_path / "records" / "table3" / "ml-100k", model, 0.6)
    values = {"hit@10": 0.0001, "NDCG@10": 0.006}
    monkeypatch.setattr(claims_differences, "compare_models", lambda *one: make_comparison(values[one[3]]))
    findings = check_improvement(tmp_path, NO_SPREADS, ["sdp"], ["cml"])
    assert {one.sure for one in findings if one.direction == Direction.YES} == {"p < 0.01"}


def test_what_is_not_counted_is_not_in_the_family_of_holm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = [get_paper_value("ml-1m", model, "NDCG@10") for model in ("caser", "sdm", "prme")]
    assert printed[0] > printed[1] > printed[2]
    for model in ("sdm", "caser", "prme"):
        publish_model(tmp_path / "records" / "table3" / "ml-1m", model, 0.6)
    monkeypatch.setattr(claims_differences, "compare_models", lambda *_: make_comparison(0.03))
    findings = check_improvement(tmp_path, NO_SPREADS, ["sdm"], ["caser", "prme"], ["NDCG@10"])
    assert {one.dataset: one.direction for one in findings}["ml-1m"] == Direction.YES


def test_the_last_of_a_ranking_is_below_all_others(tmp_path: Path) -> None:
    for model in GENERAL:
        publish_model(tmp_path / "records" / "table3" / "ml-100k", model, 0.1 if model == "item-knn" else 0.5)
    (finding,) = check_ranking(tmp_path, NO_SPREADS, "item-knn", ["ml-100k"])
    assert finding.direction == Direction.YES


def test_one_seed_of_the_second_model_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_answers, "is_current", lambda record: True)
    folder = tmp_path / "records" / "table3" / "ml-100k"
    publish_model(folder, "sdp", 0.6, 2)
    publish_model(folder, "mf-bpr", 0.4, 1)
    findings = check_improvement(tmp_path, NO_SPREADS, ["sdp"], ["mf-bpr"])
    assert {one.dataset: one.note for one in findings}["ml-100k"] == " (one seed)"


def test_differences_among_all_items_are_tested_apart(tmp_path: Path) -> None:
    folder = tmp_path / "records" / "table3" / "ml-100k"
    for model, sampled, full, n_full in (("sdp", 0.6, 0.2, 300), ("mf-bpr", 0.4, 0.5, 200)):
        write_run_among_all(folder / f"{model}-0", model, make_ranks(sampled, 300), make_ranks(full, 300), n_full)
    finding = check_improvement(tmp_path, NO_SPREADS, ["sdp"], ["mf-bpr"])[0]
    assert (finding.dataset, finding.signs, finding.signs_among_all) == ("ml-100k", ["+", "+"], ["−", "−"])
    assert finding.evidence[-1] == "Among all items: −2 of 2 significant"
    publish_model(folder, "mf-bpr", 0.4, 1)  # without ranks among all items
    finding = check_improvement(tmp_path, NO_SPREADS, ["sdp"], ["mf-bpr"])[0]
    assert (finding.signs, finding.signs_among_all) == (["+", "+"], ())
    assert not any("all items" in line for line in finding.evidence)
