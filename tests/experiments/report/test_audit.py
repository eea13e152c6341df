"""The audit's tables."""

from pathlib import Path

from sdmr.experiments.core.record import TieCounts
from sdmr.experiments.report import audit
from sdmr.experiments.report.audit_runs import Records, build_frame, summarize_seeds
from tests.experiments.report.published import make_audit, make_history, make_record


def format_factors(records: Records) -> list[str]:
    return audit.format_factors(summarize_seeds(build_frame(records))).splitlines()


def test_each_row_of_the_factors_reads_ties_by_its_policy() -> None:
    default = [
        ("ml-100k", "default", "sdmr", make_record(share, ties=9, config={"seed": n}))
        for n, share in enumerate((0.5, 0.7))
    ]
    lines = format_factors(make_audit(*default, ("ml-100k", "argsort", "sdmr", make_record(0.5))))
    row = {line.split("|")[1].strip(): line for line in lines if line.startswith("|")}
    assert "0.600 ± 0.141 / 0.600 ± 0.141 (2)" in row["default protocol, tie_policy: optimistic"]
    # Rank 10: 1 / log2(11) = .289 of .6.
    assert "0.600 ± 0.141 / 0.173" in row["default protocol, tie_policy: pessimistic"]
    assert "0.500 / 0.500 " in row["tie_policy: argsort-target-last"]
    assert not any(label.startswith("select_on") for label in row)


def test_the_factors_show_the_models_that_some_factor_was_asked_for() -> None:
    assert "Popularity" in format_factors(make_audit(("ml-100k", "default", "popularity", make_record())))[4]
    records = make_audit(("ml-100k", "default", "sdmr", make_record()), ("epinions", "file", "prme", make_record()))
    assert not any("PRME" in line for line in format_factors(records))
    assert format_factors(make_audit(("epinions", "file", "prme", make_record()))) == []


def test_ties_of_the_released_sdmr_are_shown_by_epoch() -> None:
    record = make_record(
        history=make_history({"optimistic": 0.548, "expected": 0.38}, {"optimistic": 0.705}),
        config={"seed": 0, "model": {part: {"optimization": {"epochs": n}} for part, n in (("sdp", 10), ("sdm", 4))}},
    )
    lines = audit.format_ties_by_epoch(make_audit(("ta-feng", "released", "sdmr", record)), "ta-feng").splitlines()
    assert "epochs of the parts: SDP 10, SDM 4" in lines[2]
    cells = ["1", "50%", "38%", "2.3", "0.548 / 0.548", "0.380 / 0.380", "0.100 / 0.100"]
    assert [cell.strip() for cell in lines[-2].split("|")[1:-1]] == cells


def test_ties_of_each_model_are_shown_with_what_they_are_worth() -> None:
    text = audit.format_ties(make_audit(("ml-100k", "default", "sdmr", make_record(ties=9))))
    cells = [cell.strip() for cell in text.splitlines()[-1].split("|")[1:4]]
    assert cells == ["SDMR", "100.0%", "9.0"]


def test_candidates_tied_are_averaged_over_the_tied_instances_of_all_seeds() -> None:
    counts = [(0.0, 0.0), (0.1, 2.0), (0.3, 4.0)]
    records = [make_record(ties=9, config={"seed": seed}) for seed in range(3)]
    records = [
        record.model_copy(update={"ties": TieCounts(tied_share=share, mean_tied=mean)})
        for record, (share, mean) in zip(records, counts, strict=True)
    ]
    text = audit.format_ties(make_audit(*(("ml-100k", "default", "sdmr", record) for record in records)))
    assert [cell.strip() for cell in text.splitlines()[-1].split("|")[1:4]] == ["SDMR", "13.3%", "3.5"]


def test_sasrec_by_its_papers_protocol_stands_beside_what_they_print() -> None:
    records = make_audit(("ml-1m", "sasrec-papers", "sasrec", make_record(0.7)))
    text = audit.format_literature(records)
    assert "model.context_length=200" in text
    assert "protocol.test_context=with-validation" in text
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in text.splitlines()[-2:]]
    assert rows == [["Kang & McAuley (2018)", "0.8245 / 0.5905"], ["SASRec here", "0.700 / 0.700"]]
    assert audit.format_literature({}) == ""


def test_the_settings_of_the_authors_readme_stand_beside_its_values() -> None:
    records = make_audit(("ml-1m", "authors-readme", "sdp", make_record(0.7)))
    text = audit.format_readme(summarize_seeds(build_frame(records)))
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in text.splitlines()[-4:]]
    assert rows[0] == ["SDP, ml-1m", "0.700 / 0.700", "0.703 / 0.424"]
    assert rows[3] == ["SDM, epinions-id-order", "–", "0.590 / 0.388"]
    other = make_audit(("ml-100k", "released", "sdp", make_record(0.7)))
    assert audit.format_readme(summarize_seeds(build_frame(other))) == ""


def test_a_report_of_other_settings_says_so(tmp_path: Path) -> None:
    assert "Every run was made with" not in audit.format_report({}, tmp_path, tmp_path)
    assert "**Every run was made with epochs=2**" in audit.format_report({}, tmp_path, tmp_path, ["epochs=2"])


def test_the_csv_has_a_row_for_each_cell_and_tie_policy() -> None:
    records = make_audit(
        *(("ml-100k", "default", "sdm", make_record(share, config={"seed": n})) for n, share in enumerate((0.5, 0.7))),
        ("ml-100k", "argsort", "sdm", make_record(0.4, deviations={"tie_policy": "argsort-target-last"})),
    )
    frame = audit.format_summary(records)
    first = frame.iloc[0]
    assert [first[name] for name in ("metric", "tie_policy", "mean", "spread", "seeds")] == [
        "hit@10",
        "expected",
        "0.6000",
        "0.1414",
        2,
    ]
    assert set(frame["spread"].fillna("")) == {"0.1414", ""}
    assert set(frame["deviations"]) == {"", "tie_policy=argsort-target-last"}
    assert len(frame) == 2 * 2 * 4
