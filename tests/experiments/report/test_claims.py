"""The claims: judged by nothing but records."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from sdmr.experiments.core.registry import get_model
from sdmr.experiments.report import claims, claims_answers, claims_differences
from sdmr.experiments.report.claims import Claim
from sdmr.experiments.report.claims_answers import Direction
from sdmr.experiments.report.comparisons import Comparison
from sdmr.experiments.report.printed import read_groups
from tests.experiments.report.published import make_audit, make_history, make_record, publish_model
from tests.experiments.report.records import change_record
from tests.experiments.report.test_claims_differences import make_comparison

ITEM_KNN_VALUES = "Item-KNN's values, on ML-100k .166 / .073"
SDMR_VALUE = claims.SDMR_VALUES
EPINIONS = "SDM gets .575 / .390 on Epinions"


@pytest.fixture(autouse=True)
def _current(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take all records as made by the checkout's code."""
    monkeypatch.setattr(claims_answers, "is_current", lambda record: True)


def get_answers(judged: list[Claim]) -> dict[str, dict[str, str]]:
    return {claim.text: {finding.dataset: finding.answer for finding in claim.findings} for claim in judged}


def judge(folder: Path) -> dict[str, dict[str, str]]:
    return get_answers(claims.judge_claims(folder, folder, {}))


def test_without_records_nothing_is_tested(tmp_path: Path) -> None:
    judged = claims.judge_claims(tmp_path, tmp_path, {})
    assert {answer for answers in get_answers(judged).values() for answer in answers.values()} == {Direction.NOT_TESTED}
    assert len(judged) == 15
    assert "- **ml-100k, ml-1m, netflix, epinions: not tested**" in claims.format_claims(judged)


def test_sdm_and_sdmr_are_compared_with_every_baseline_of_the_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = set()

    def note_pairs(*arguments: Any) -> list[Any]:
        pairs.update(product(*arguments[2:4]))
        return []

    monkeypatch.setattr(claims, "check_improvement", note_pairs)
    claims.judge_claims(tmp_path, tmp_path, {})
    for model in ("sdm", "sdmr"):
        compared = {get_model(other).name for one, other in pairs if one == model and other != "sdm"}
        assert compared == set(read_groups()) - {"SDP", "SDM", "SDMR"}


def test_a_model_is_judged_against_all_that_it_is_compared_with(tmp_path: Path) -> None:
    folder = tmp_path / "records" / "table3" / "ml-100k"
    for model, share in {"sdp": 0.6, "mf-bpr": 0.4, "cml": 0.6, "sdm": 0.7, "cmn": 0.5, "neumf": 0.8}.items():
        publish_model(folder, model, share)
    judged = claims.judge_claims(tmp_path, tmp_path, {})
    answers = get_answers(judged)
    assert answers["SDP is better than MF-BPR"]["ml-100k"] == "yes; larger"
    assert answers["SDP is better than CML"]["ml-100k"] == "not shown; absent"
    assert answers["SDM is better than CMN++ and NeuMF++"]["ml-100k"] == "mixed; 2 larger, 2 opposite"
    counts = {claim.text: claim.findings[0].counts for claim in judged}  # on ML-100k
    assert counts["SDP is better than MF-BPR"] == "+2 of 2"
    assert counts["SDP is better than CML"] == "0 of 2"
    assert counts["SDM is better than CMN++ and NeuMF++"] == "+2 −2 of 4"
    assert counts["SDM is better than Item-KNN and SLIM"] == ""
    assert answers["SDM is better than Item-KNN and SLIM"]["ml-100k"] == Direction.NOT_TESTED
    assert {answers["SDP is better than CML"][one] for one in ("ml-1m", "netflix", "epinions")} == {
        Direction.NOT_TESTED
    }
    text = claims.format_claims(judged)
    assert "SDP − MF-BPR, hit@10: +0.200 (+0.1" in text
    assert "paper +0.062: `+` larger, p = " in text
    (line,) = (line for line in text.splitlines() if line.startswith("| SDP is better than CML"))
    assert [cell.strip() for cell in line.split("|")[2:-1]] == ["not shown; absent"]  # no other data set has answers


def test_a_missing_model_leaves_a_claim_reproduced_in_part(tmp_path: Path) -> None:
    folder = tmp_path / "records" / "table3" / "ml-100k"
    publish_model(folder, "sdm", 0.7)
    publish_model(folder, "slim", 0.5)
    assert judge(tmp_path)["SDM is better than Item-KNN and SLIM"]["ml-100k"].startswith("in part; ")


def test_printed_values_are_judged_by_the_interval_for_one_new_run(tmp_path: Path) -> None:
    folder = tmp_path / "records" / "table3" / "ml-100k"
    publish_model(folder, "popularity", 0.4)
    assert judge(tmp_path)[ITEM_KNN_VALUES]["ml-100k"] == Direction.NOT_TESTED
    for share, answer in ((0.6, "larger"), (0.166, "1 as printed, 1 larger"), (0.01, "smaller")):  # .166 / .073
        publish_model(folder, "item-knn", share)
        assert judge(tmp_path)[ITEM_KNN_VALUES]["ml-100k"] == answer


def test_what_the_paper_prints_the_other_way_round_is_not_counted(tmp_path: Path) -> None:
    """On ML-1M the paper's SDM is below Caser, and above the other three."""
    folder = tmp_path / "records" / "table3" / "ml-1m"
    for model, share in {"sdm": 0.7, "sdmr": 0.9, "prme": 0.5, "prme-s": 0.5, "transrec": 0.5, "caser": 0.8}.items():
        publish_model(folder, model, share)
    judged = claims.judge_claims(tmp_path, tmp_path, {})
    answer = get_answers(judged)["SDM and SDMR are better than PRME, PRME_s, TransRec and Caser"]["ml-1m"]
    assert answer.startswith("yes; ")
    assert "paper −0.010: not counted; effect" in claims.format_claims(judged)


@pytest.mark.parametrize(
    ("epochs", "answer"),
    [
        ([{"optimistic": 0.55, "expected": 0.38, "pessimistic": 0.3}], "optimistic; both values: none"),
        ([{"optimistic": 0.57, "expected": 0.55, "pessimistic": 0.3}], "optimistic, expected; both values: none"),
        ([{"optimistic": 0.5, "expected": 0.46, "pessimistic": 0.4}], "none; both values: none"),
        ([{"expected": 0.55, "hit@10 expected": 0.7}], "expected; both values: expected"),
        # Each value is near in one epoch, but not both in the same one.
        ([{"expected": 0.55}, {"hit@10 expected": 0.7}], "expected; both values: none"),
    ],
)
def test_tie_policies_are_named_that_reach_sdmrs_ndcg_and_the_printed_pair(
    epochs: list[dict[str, float]], answer: str, tmp_path: Path
) -> None:
    history = make_history(*epochs, {})
    for entry, changes in zip(history[1:], epochs, strict=False):
        entry.update({key: value for key, value in changes.items() if " " in key})
    records = make_audit(("ml-100k", "released", "sdmr", make_record(0.4, history=history)))
    judged = claims.judge_claims(tmp_path, tmp_path, records)
    assert get_answers(judged)[SDMR_VALUE] == {
        "ml-100k": f"ties that reach the NDCG@10: {answer}",
        **dict.fromkeys(("ml-1m", "netflix", "epinions", "ta-feng", "ijcai-15"), Direction.NOT_TESTED),
    }
    assert "released models and protocol, 1 seed(s): the highest NDCG@10" in claims.format_claims(judged)


def test_only_epochs_that_all_seeds_have_count_for_a_tie_policy(tmp_path: Path) -> None:
    low = {"optimistic": 0.5}
    histories = [make_history(low), make_history(low, {"optimistic": 0.57, "expected": 0.57})]
    records = make_audit(*(("ml-100k", "released", "sdmr", make_record(history=history)) for history in histories))
    answers = get_answers(claims.judge_claims(tmp_path, tmp_path, records))[SDMR_VALUE]
    assert answers["ml-100k"] == "ties that reach the NDCG@10: none; both values: none"


def test_the_row_inside_the_papers_grid_is_judged_first(tmp_path: Path) -> None:
    claim, folder = "SDM is better than CMN++ and NeuMF++", tmp_path / "records" / "table3" / "ml-100k"
    for model, share in {"sdm": 0.7, "cmn": 0.5, "neumf": 0.5}.items():
        publish_model(folder, model, share)
    tuned = judge(tmp_path)[claim]["ml-100k"]
    publish_model(folder, "sdm-grid", 0.3)
    judged = {one.text: one for one in claims.judge_claims(tmp_path, tmp_path, {})}[claim]
    assert judged.answers == {"ml-100k": f"opposite (tuned: {tuned})"}
    text = judged.format_section()
    assert "SDM (paper's grid) − CMN++, hit@10: −0.200" in text
    assert f"With settings that the paper does not search: {tuned}\n  - SDM − CMN++, hit@10: +0.200" in text
    folder = tmp_path / "records" / "table3" / "epinions-id-order"
    publish_model(folder, "sdm", 0.575)
    publish_model(folder, "sdm-grid", 0.8)
    assert judge(tmp_path)[EPINIONS] == {"epinions-id-order": "larger"}


def test_epinions_is_judged_on_the_order_of_ids_alone(tmp_path: Path) -> None:
    records = make_audit(*(("epinions", order, "popular", make_record(0.8)) for order in ("file", "random")))
    publish_model(tmp_path / "records" / "table3" / "epinions", "sdm", 0.575)
    judged = claims.judge_claims(tmp_path, tmp_path, records)
    assert get_answers(judged)[EPINIONS] == {"epinions-id-order": Direction.NOT_TESTED}
    assert "the most popular one after it" in claims.format_claims(judged)
    for share, answer in ((0.575, "1 as printed, 1 larger"), (0.8, "larger")):  # .575 / .390 is printed
        publish_model(tmp_path / "records" / "table3" / "epinions-id-order", "sdm", share)
        assert judge(tmp_path)[EPINIONS] == {"epinions-id-order": answer}


def test_an_answer_that_rests_on_one_seed_of_a_stochastic_model_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "records" / "table3" / "ml-100k"
    for model, share, seeds in (("sdm", 0.7, 2), ("item-knn", 0.5, 1), ("slim", 0.5, 1), ("sdp", 0.6, 1)):
        publish_model(folder, model, share, seeds)
    publish_model(folder, "mf-bpr", 0.4)
    answers = {claim.text: claim.answers for claim in claims.judge_claims(tmp_path, tmp_path, {})}
    assert "(one seed)" not in answers["SDM is better than Item-KNN and SLIM"]["ml-100k"]
    assert answers["SDP is better than MF-BPR"]["ml-100k"] == "yes; larger (one seed)"


def test_an_answer_with_a_row_of_older_code_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_answers, "is_current", lambda record: record.metrics()["hit@10"]["expected"] != 0.6)
    for model, share in {"sdp": 0.6, "mf-bpr": 0.4, "sdm": 0.7, "slim": 0.4, "item-knn": 0.4}.items():
        publish_model(tmp_path / "records" / "table3" / "ml-100k", model, share)
    answers = {claim.text: claim.answers for claim in claims.judge_claims(tmp_path, tmp_path, {})}
    assert answers["SDP is better than MF-BPR"]["ml-100k"] == "yes; larger (older code)"
    assert "older code" not in answers["SDM is better than Item-KNN and SLIM"]["ml-100k"]


def test_one_seed_of_older_code_makes_an_answer_one_of_older_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims_answers, "is_current", lambda record: record.run != "Net-old")
    folder = tmp_path / "records" / "table3" / "ml-100k"
    for model, share in {"sdp": 0.6, "mf-bpr": 0.4}.items():
        publish_model(folder, model, share)
    change_record(folder / "mf-bpr-1", run="Net-old")
    answers = {claim.text: claim.answers for claim in claims.judge_claims(tmp_path, tmp_path, {})}
    assert answers["SDP is better than MF-BPR"]["ml-100k"] == "yes; larger (older code)"


def test_an_answer_on_a_substitute_says_so(tmp_path: Path) -> None:
    for model, share in {"sdm": 0.4, "sdmr": 0.6}.items():
        publish_model(tmp_path / "records" / "table4" / "ijcai-15", model, share)
    answers = {claim.text: claim.answers for claim in claims.judge_claims(tmp_path, tmp_path, {})}
    answer = answers["SDMR is better than SDM on NDCG@10"]["ijcai-15"]
    assert answer.startswith("yes; ")
    assert answer.endswith(" (a substitute for the paper's data)")


@pytest.mark.parametrize(
    ("p", "run", "answer"),
    [
        (0.2, (-0.02, 0.06), "not shown; undecided"),
        (0.2, (-0.01, 0.01), "not shown; absent"),
        (0.03, (-0.02, 0.06), "not shown; undecided"),  # not after Holm's correction of two p values
        (0.01, (-0.02, 0.06), "yes; as printed"),
        (0.01, (0.001, 0.01), "yes; smaller"),
    ],
)
def test_direction_follows_from_the_corrected_test_and_size_from_the_interval_for_one_run(
    p: float, run: tuple[float, float], answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in ("sdp", "cml"):
        publish_model(tmp_path / "records" / "table3" / "ml-100k", model, 0.6)
    test = Comparison(0.004, 0.001, 0.01, *run, p, 0.1, 0.2, 0.7, 0.1)
    monkeypatch.setattr(claims_differences, "compare_models", lambda *_: test)
    assert judge(tmp_path)["SDP is better than CML"]["ml-100k"] == answer  # printed +0.020 and +0.023


def test_all_data_sets_of_a_claim_are_one_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for dataset in ("ml-100k", "ml-1m"):
        for model in ("sdp", "cml"):
            publish_model(tmp_path / "records" / "table3" / dataset, model, 0.6)
    monkeypatch.setattr(claims_differences, "compare_models", lambda *_: make_comparison(0.02))
    judged = claims.judge_claims(tmp_path, tmp_path, {})
    assert get_answers(judged)["SDP is better than CML"]["ml-1m"] == "not shown; undecided"
    assert "p = 0.08" in claims.format_claims(judged)


def test_a_substitute_is_not_in_the_family_of_the_papers_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for dataset in ("ta-feng", "ijcai-15"):
        for model in ("sdm", "sdmr"):
            publish_model(tmp_path / "records" / "table4" / dataset, model, 0.6)
    monkeypatch.setattr(claims_differences, "compare_models", lambda *_: make_comparison(0.03))
    answers = judge(tmp_path)["SDMR is better than SDM on NDCG@10"]
    assert {answers[dataset].partition(";")[0] for dataset in ("ta-feng", "ijcai-15")} == {Direction.YES}
