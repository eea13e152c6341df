"""Claims on hops, attention and ties, which have rules of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sdmr.experiments.core.record import save_record
from sdmr.experiments.report import claims, claims_answers, claims_evidence
from sdmr.experiments.report.claims_answers import Direction
from sdmr.experiments.report.claims_evidence import check_attention, check_hops, check_values
from sdmr.experiments.report.printed import METRICS
from sdmr.experiments.report.ranked_rows import read_seed_spreads
from tests.experiments.report.published import make_audit, make_history, make_record, publish_model
from tests.experiments.report.records import change_record


@pytest.fixture(autouse=True)
def _current(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take all records as made by the checkout's code."""
    for module in (claims_answers, claims_evidence):
        monkeypatch.setattr(module, "is_current", lambda record: True)
    monkeypatch.setattr(claims_evidence, "compute_source", lambda config: "today's")


def publish_hops(
    results: Path, dataset: str, dim: int, shares: dict[int, Any], model: str = "sdm", seed: int = 0
) -> None:
    """Write a record for each number of hops; a pair has hit@10 and NDCG@10."""
    for hops, share in shares.items():
        pair = share if isinstance(share, tuple) else (share, share)
        test = {metric: {"expected": value} for metric, value in zip(METRICS, pair, strict=True)}
        folder = results / "records" / "figure6" / dataset / f"{model}-hops{hops}-d{dim}-s5-{seed}"
        folder.mkdir(parents=True)
        save_record(make_record(test=test), folder / "record.json")


def judge_hops(results: Path, dataset: str = "ml-100k") -> Any:
    return {one.dataset: one.direction for one in check_hops(results)}[dataset]


def test_gains_of_hops_are_corrected_for_the_number_of_data_sets(tmp_path: Path) -> None:
    """Gains of .07, .1 and .13 have p = .0295: significant alone, and not as one of two."""
    for dim, gain in ((8, 0.07), (16, 0.1), (32, 0.13)):
        publish_hops(tmp_path, "ml-100k", dim, {1: 0.3, 3: 0.3 + gain, 4: 0.3 + gain})
    assert judge_hops(tmp_path) == Direction.YES
    for dim, gain in ((8, 0.07), (16, 0.1), (32, 0.13)):
        publish_hops(tmp_path, "ml-1m", dim, {1: 0.3, 3: 0.3 + gain, 4: 0.3 + gain})
    assert judge_hops(tmp_path) == Direction.NOT_SHOWN


def test_hops_are_judged_by_the_papers_metric_of_figure_6(tmp_path: Path) -> None:
    for dim in (8, 16, 32):
        rest = (0.5 + dim / 1000, 0.3)
        publish_hops(tmp_path, "ml-100k", dim, {1: (0.4, 0.3), 3: rest, 4: rest})
        publish_hops(tmp_path, "ml-1m", dim, {1: (0.3, 0.4), 3: rest[::-1], 4: rest[::-1]})
    assert judge_hops(tmp_path) == Direction.YES
    assert judge_hops(tmp_path, "ml-1m") == Direction.NOT_SHOWN


def test_hops_that_hurt_contradict_the_claim(tmp_path: Path) -> None:
    for dim in (8, 16, 32):
        publish_hops(tmp_path, "ml-100k", dim, {1: 0.5, 3: 0.3 + dim / 1000, 4: 0.3})
    assert judge_hops(tmp_path) == Direction.OPPOSITE


def test_a_possible_gain_leaves_the_claim_on_ta_feng_open(tmp_path: Path) -> None:
    for dim, gain in ((8, -0.03), (16, 0.04), (32, 0.0)):
        publish_hops(tmp_path, "ta-feng", dim, {1: 0.4, 3: 0.4 + gain, 4: 0.4 + gain})
    assert judge_hops(tmp_path, "ta-feng") == Direction.NOT_SHOWN


def test_seeds_of_a_size_are_one_setting_of_hops(tmp_path: Path) -> None:
    """Two sizes gain .05 and .15: p = .30, however often they are repeated."""
    for dim, gain in ((8, 0.05), (16, 0.15)):
        for seed in range(5):
            publish_hops(tmp_path, "ml-100k", dim, {1: 0.3, 3: 0.3 + gain, 4: 0.3 + gain}, seed=seed)
    (finding,) = (one for one in check_hops(tmp_path) if one.dataset == "ml-100k")
    assert finding.direction == Direction.NOT_SHOWN
    assert "mean over 2 settings" in finding.evidence[0]
    assert finding.note == ""


def test_hops_of_one_seed_are_named(tmp_path: Path) -> None:
    for dim in (8, 16, 32):
        publish_hops(tmp_path, "ml-100k", dim, {1: 0.5, 3: 0.5, 4: 0.5})
    (finding,) = (one for one in check_hops(tmp_path) if one.dataset == "ml-100k")
    assert finding.note == " (one seed)"


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


PUBLISHED_FIGURE = "ml-100k,64,,today's"


def write_correlations(
    folder: Path, rows: Sequence[tuple[int, float, float, float]], settings: str = PUBLISHED_FIGURE
) -> Path:
    lines = ["hops,hop,seed,r,low,high,paper,pairs,dropped_share,dataset,dim,settings,source"]
    lines += [f"{hops},{hops},0,{r},{low},{high},,9,0,{settings}" for hops, r, low, high in rows]
    (folder / "figure5-correlations.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_correlations_that_grow_inside_their_intervals_are_not_shown(tmp_path: Path) -> None:
    rows = [(hops, 0.05 + 0.05 * hops, 0.05 * hops - 0.05, 0.05 * hops + 0.15) for hops in (1, 2, 3, 4)]
    (finding,) = check_attention(write_correlations(tmp_path, rows))
    assert finding.direction == Direction.NOT_SHOWN


@pytest.mark.parametrize(("sign", "direction"), [(1, Direction.YES), (-1, Direction.OPPOSITE)])
def test_correlations_that_are_apart_have_a_direction(sign: int, direction: Direction, tmp_path: Path) -> None:
    values = [(hops, sign * 0.1 * hops) for hops in (1, 2, 3, 4)]
    rows = [(hops, r, r - 0.02, r + 0.02) for hops, r in values]
    (finding,) = check_attention(write_correlations(tmp_path, rows))
    assert finding.direction == direction
    assert finding.note == " (one seed)"
    (finding,) = check_attention(write_correlations(tmp_path, rows, "ml-100k,64,,another"))
    assert finding.note == " (one seed, older code)"


def test_correlations_that_are_apart_but_do_not_grow_show_the_claim_in_part(tmp_path: Path) -> None:
    rows = [(hops, r, r - 0.05, r + 0.05) for hops, r in enumerate((0.1, 0.3, 0.2, 0.4), start=1)]
    path = write_correlations(tmp_path, rows) / "figure5-correlations.csv"
    earlier = [f"{hops},1,0,0.9,0.8,1.0,,9,0,{PUBLISHED_FIGURE}" for hops in (2, 3, 4)]  # hops that do not count
    path.write_text(path.read_text() + "\n".join(earlier) + "\n")
    (finding,) = check_attention(tmp_path)
    assert finding.direction == Direction.PARTLY


@pytest.mark.parametrize("settings", ["ml-1m,64,,today's", "ml-100k,8,,today's", "ml-100k,64,epochs=1,today's"])
def test_a_figure_of_other_settings_does_not_answer_the_claim(settings: str, tmp_path: Path) -> None:
    rows = [(hops, 0.1 * hops, 0.1 * hops - 0.02, 0.1 * hops + 0.02) for hops in (1, 2, 3, 4)]
    (finding,) = check_attention(write_correlations(tmp_path, rows, settings))
    assert finding.direction == Direction.NOT_TESTED
    (finding,) = check_attention(write_correlations(tmp_path, [rows[0], rows[3]]))
    assert finding.direction == Direction.NOT_TESTED  # without two and three hops


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
