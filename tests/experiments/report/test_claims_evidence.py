"""Claims on hops, attention and ties, which have rules of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdmr.experiments.core.record import save_record
from sdmr.experiments.report import claims
from sdmr.experiments.report.claims_differences import Direction
from sdmr.experiments.report.claims_evidence import check_attention, check_hops, check_values
from sdmr.experiments.report.printed import METRICS
from sdmr.experiments.report.ranked_rows import read_seed_spreads
from tests.experiments.report.published import make_audit, make_history, make_record, publish_model
from tests.experiments.report.records import change_record


def publish_hops(results: Path, dataset: str, dim: int, shares: dict[int, Any], model: str = "sdm") -> None:
    """Write a record for each number of hops; a pair has hit@10 and NDCG@10."""
    for hops, share in shares.items():
        pair = share if isinstance(share, tuple) else (share, share)
        test = {metric: {"expected": value} for metric, value in zip(METRICS, pair, strict=True)}
        folder = results / "records" / "figure6" / dataset / f"{model}-hops{hops}-d{dim}-s5-0"
        folder.mkdir(parents=True)
        save_record(make_record(test=test), folder / "record.json")


def judge_hops(results: Path, dataset: str = "ml-100k") -> Any:
    return {one.dataset: one.direction for one in check_hops(results)}[dataset]


def test_gains_of_hops_are_corrected_for_the_number_of_tests(tmp_path: Path) -> None:
    for dim, gain in ((8, 0.07), (16, 0.1), (32, 0.13)):
        publish_hops(tmp_path, "ml-100k", dim, {1: 0.3, 3: 0.3 + gain, 4: 0.3 + gain})
    assert judge_hops(tmp_path) == Direction.NOT_SHOWN


def test_a_possible_gain_of_either_metric_leaves_the_claim_open(tmp_path: Path) -> None:
    for dim, gain in ((8, -0.03), (16, 0.04), (32, 0.0)):
        rest = (0.4 + gain, 0.4 + gain / 1000)
        publish_hops(tmp_path, "ta-feng", dim, {1: (0.4, 0.4), 3: rest, 4: rest})
    assert judge_hops(tmp_path, "ta-feng") == Direction.NOT_SHOWN


def test_incomplete_settings_of_hops_do_not_count(tmp_path: Path) -> None:
    for dim in (8, 16, 32):
        publish_hops(tmp_path, "ml-100k", dim, {1: 0.3, 3: 0.5 + dim / 1000, 4: 0.5})
    publish_hops(tmp_path, "ml-100k", 64, {1: 0.3})
    (finding,) = (one for one in check_hops(tmp_path) if one.dataset == "ml-100k")
    assert finding.direction == Direction.YES
    assert "mean over 3 settings" in finding.evidence[0]
    assert "nan" not in finding.evidence[0]


def test_the_gain_of_hops_is_the_mean_of_three_and_four(tmp_path: Path) -> None:
    for dim in (8, 16, 32):
        publish_hops(tmp_path, "ml-100k", dim, {1: 0.4, 3: 0.3 + (dim - 18) / 1000, 4: 0.5})
    assert judge_hops(tmp_path) == Direction.NOT_SHOWN


def test_one_setting_of_hops_is_no_test_and_other_models_are_none(tmp_path: Path) -> None:
    publish_hops(tmp_path, "ml-100k", 8, {1: 0.3, 3: 0.5, 4: 0.5})
    for dim in (8, 16, 32):
        publish_hops(tmp_path, "ml-1m", dim, {1: 0.3, 3: 0.5, 4: 0.5 + dim / 1000}, "sdmr")
    assert judge_hops(tmp_path) == Direction.NOT_TESTED
    assert judge_hops(tmp_path, "ml-1m") == Direction.NOT_TESTED


def test_equal_gains_of_hops_show_nothing(tmp_path: Path) -> None:
    for dim in (8, 16, 32):
        publish_hops(tmp_path, "ml-100k", dim, {1: 0.5, 3: 0.5, 4: 0.5})
    assert judge_hops(tmp_path) == Direction.NOT_SHOWN


def write_correlations(folder: Path, rows: Sequence[tuple[int, float, float, float]]) -> Path:
    lines = ["hops,hop,seed,r,low,high,paper,pairs,dropped_share"]
    lines += [f"{hops},{hops},0,{r},{low},{high},,9,0" for hops, r, low, high in rows]
    (folder / "figure5-correlations.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_correlations_that_grow_inside_their_intervals_are_not_shown(tmp_path: Path) -> None:
    rows = [(hops, 0.05 + 0.05 * hops, 0.05 * hops - 0.05, 0.05 * hops + 0.15) for hops in (1, 2, 3, 4)]
    (finding,) = check_attention(write_correlations(tmp_path, rows))
    assert finding.direction == Direction.NOT_SHOWN


def test_the_widest_interval_of_the_seeds_counts(tmp_path: Path) -> None:
    rows = [(hops, 0.1 * hops, 0.1 * hops - 0.05, 0.1 * hops + 0.05) for hops in (1, 1, 2, 3, 4)]
    rows[1] = (1, 0.1, 0.0, 0.36)
    (finding,) = check_attention(write_correlations(tmp_path, rows))
    assert finding.direction == Direction.NOT_SHOWN


def test_the_start_does_not_reach_a_printed_value(tmp_path: Path) -> None:
    history = make_history({"optimistic": 0.3})
    history[0]["NDCG@10 optimistic"] = 0.57
    records = make_audit(("ml-100k", "released", "sdmr", make_record(0.4, history=history)))
    (claim,) = (one for one in claims.judge_claims(tmp_path, tmp_path, records) if one.text == claims.SDMR_VALUES)
    assert claim.findings[0].answer == "ties that reach the NDCG@10: none; both values: none"


def test_values_of_another_protocol_are_not_judged(tmp_path: Path) -> None:
    folder = tmp_path / "records" / "table3" / "ml-100k"
    for model in ("popularity", "sdmr"):
        publish_model(folder, model, 0.5)

    def judge() -> Any:
        findings = check_values(tmp_path, read_seed_spreads(tmp_path), "sdmr")
        return next((one.direction, len(one.sizes), len(one.evidence)) for one in findings if one.dataset == "ml-100k")

    assert judge() == (None, len(METRICS), 2)
    for seed in range(2):
        change_record(folder / f"sdmr-{seed}", deviations={"candidates": 99})
    assert judge() == (Direction.NOT_TESTED, 0, 0)
