"""Claims on attention and ties, which have rules of their own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sdmr.experiments.report import claims, claims_answers, claims_evidence
from sdmr.experiments.report.claims_answers import Direction
from sdmr.experiments.report.claims_evidence import check_attention, check_values
from sdmr.experiments.report.printed import METRICS
from sdmr.experiments.report.ranked_rows import read_seed_spreads
from tests.experiments.report.published import make_audit, make_history, make_record, publish_model
from tests.experiments.report.records import change_record


@pytest.fixture(autouse=True)
def _current(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take all records as made by the checkout's code."""
    monkeypatch.setattr(claims_answers, "is_current", lambda record: True)
    monkeypatch.setattr(claims_evidence, "compute_source", lambda config: "today's")


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
