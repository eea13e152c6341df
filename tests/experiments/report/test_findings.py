"""The findings of the pages, from few published records."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sdmr.experiments.core.paths import CHECKOUT
from sdmr.experiments.report import claims_answers, comparability, findings
from sdmr.experiments.report.claims import SDMR_VALUES
from sdmr.experiments.report.claims_evidence import REACHING
from tests.experiments.report.pages import SEARCH, fill, find_row, publish_few
from tests.experiments.report.published import make_ranks, publish_model
from tests.experiments.report.records import change_record, write_run_among_all

SEQUENTIAL = "SDM and SDMR are better than PRME, PRME_s, TransRec and Caser"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (comparability, claims_answers):
        monkeypatch.setattr(module, "is_current", lambda record: record.source != "old")
    publish_few(tmp_path / "results")
    return tmp_path / "results"


def read_bullets(results: Path, block: str = "findings") -> dict[str, str]:
    """Return the text of each bullet, by its title."""
    text = " ".join(" ".join(fill(results, block)).partition("| claim")[0].split())
    return {title: bullet.strip(" -") for title, bullet in (one.split("**", 1) for one in text.split("- **")[1:])}


def test_a_table_counts_the_significant_differences_of_each_claim(results: Path) -> None:
    for dataset, share in (("ml-1m", 0.2), ("epinions", 0.4)):
        folder = results / "records" / "table3" / dataset
        for model, value in {"sdm": share, "cmn": 0.3, "neumf": 0.3}.items():
            publish_model(folder, model, value)
    lines = fill(results, "front-findings")
    assert find_row(lines, "claim") == ["ML-100k", "ML-1M", "Epinions"]
    assert find_row(lines, "SDM is better than CMN++ and NeuMF++") == ["–", "−4 of 4", "**+4 of 4**"]
    assert find_row(lines, SEQUENTIAL) == ["−4 of 4 ‡", "–", "–"]  # Caser has 9 trials
    claims = [line.split("|")[1].strip() for line in lines if line.startswith("|")][2:]
    assert all(" better than " in claim for claim in claims)
    lines = fill(results, "findings")
    assert find_row(lines, "SDM is better than CMN++ and NeuMF++") == ["–", "opposite: −4 of 4", "**yes: +4 of 4**"]


def test_the_first_bullet_sums_the_differences_of_claims(results: Path) -> None:
    for dataset, share in (("ml-1m", 0.2), ("epinions", 0.4)):
        folder = results / "records" / "table3" / dataset
        for model, value in {"sdm": share, "cmn": 0.3, "neumf": 0.3, "slim": 0.3}.items():
            publish_model(folder, model, value)
    general = "better in 4 of 8 on ML-100k and 6 of 6 on Epinions, worse in 4 of 8 on ML-100k and 6 of 6 on ML-1M"
    assert read_bullets(results)["The claims."].partition(". ")[2] == (
        f"SDM and SDMR against the general baselines: {general}. SDM and SDMR against the sequential ones: worse in 4 "
        "of 4 on ML-100k. SDMR against SDM: worse in 1 of 1 on ML-100k."
    )


def test_a_bullet_sums_the_differences_among_all_items(results: Path) -> None:
    folder = results / "records" / "table3" / "ml-1m"
    for model, sampled, full in (("sdp", 0.6, 0.2), ("mf-bpr", 0.4, 0.5)):
        write_run_among_all(folder / f"{model}-0", model, make_ranks(sampled, 300), make_ranks(full, 300), 300)
    bullets = read_bullets(results)
    assert "SDP against MF-BPR and CML: better in 2 of 2 on ML-1M" in bullets["The claims."]
    assert bullets["Among all items."].partition(". ")[2] == "SDP against MF-BPR and CML: worse in 2 of 2 on ML-1M."
    assert "Among all items." not in read_bullets(results, "front-findings")


def test_each_comparison_of_models_belongs_to_one_group() -> None:
    claims = [one for one in read_claims() if " better than " in one]
    assert len(claims) > 5
    assert all(sum(bool(re.match(one, claim)) for one in findings.GROUPS.values()) == 1 for claim in claims)


def read_claims() -> set[str]:
    return set(pd.read_csv(CHECKOUT / "results" / "claims.csv")["claim"])


def test_claims_on_single_values_have_a_size_and_ties_are_in_a_bullet(results: Path) -> None:
    lines = fill(results, "findings")
    assert find_row(lines, "Item-KNN's values, on ML-100k .166 / .073") == ["larger"]
    assert not [line for line in lines if line.startswith(f"| {SDMR_VALUES}")]


def test_a_cell_is_empty_where_the_paper_makes_no_claim(results: Path) -> None:
    folder = results / "records" / "table4" / "ta-feng"
    for model, share in {"sdm": 0.5, "sdmr": 0.6}.items():
        publish_model(folder, model, share)
    lines = fill(results, "front-findings")
    assert find_row(lines, "claim") == ["ML-100k", "Ta-Feng"]
    assert find_row(lines, "SDMR is better than SDM on NDCG@10") == ["−1 of 1", "**+1 of 1**"]
    assert find_row(lines, "SDM is better than Item-KNN and SLIM") == ["−2 of 2", ""]


def test_substitutes_have_no_column(results: Path) -> None:
    for model, share in {"sdm": 0.5, "sdmr": 0.6}.items():
        publish_model(results / "records" / "table4" / "ijcai-15", model, share)
    assert find_row(fill(results, "findings"), "claim") == ["ML-100k"]
    assert find_row(fill(results, "claims"), "claim") == ["ML-100k"]
    assert "IJCAI-15" not in " ".join(read_bullets(results).values())


def test_the_best_row_names_a_short_search_and_much_cheaper_rows_follow(results: Path) -> None:
    text = read_bullets(results)["What to use."]
    assert text.startswith("Highest NDCG@10 among 100 items: Caser on ML-100k (9 trials). ")
    assert text.endswith("at half its training time or less: Item-KNN on ML-100k.")
    search = yaml.safe_dump({"model": {}, "tuning": SEARCH | {"trials": 12}})
    (results / "records" / "table3" / "ml-100k" / "caser.yaml").write_text(search)
    change_record(results / "records" / "table3" / "ml-100k" / "item-knn-0", seconds={"fit": 960.0})
    assert read_bullets(results)["What to use."] == "Highest NDCG@10 among 100 items: Caser on ML-100k."


def test_rows_that_are_equal_to_three_decimals_are_all_the_best(results: Path) -> None:
    publish_model(results / "records" / "table3" / "ml-100k", "prme", 0.9)
    assert "Highest NDCG@10 among 100 items: PRME and Caser on ML-100k." in read_bullets(results)["What to use."]


def test_the_readme_has_three_findings(results: Path) -> None:
    publish_model(results / "records" / "table3" / "ml-100k", "transitions", 0.65)
    assert list(read_bullets(results, "front-findings")) == list(findings.FRONT)
    assert list(read_bullets(results)) == [
        "The claims.",
        "Printed values.",
        "What to use.",
        "A simple baseline.",
        "How sure.",
    ]


def test_printed_values_are_compared_with_the_intervals(results: Path) -> None:
    text = read_bullets(results)["Printed values."]
    values = (
        "SDM's hit@10: yes on ML-100k. SDM's NDCG@10: ours is higher on ML-100k."  # .713 / .435 is printed, ours .7
    )
    assert text.startswith(f"{findings.QUESTION} {values} SDMR's NDCG@10: yes on ML-100k.")  # .562, ours .6
    assert text.endswith("Of the baselines' 3 values of NDCG@10, 3 have an interval above the printed value.")
    publish_model(results / "records" / "table3" / "ml-100k", "sdmr", 0.2)
    publish_model(results / "records" / "table3" / "ml-1m", "sdmr", 0.2)
    publish_model(results / "records" / "table3" / "epinions", "sdmr", 0.2)  # other test items than the authors'
    assert "SDMR's NDCG@10: ours is lower on ML-100k and ML-1M." in read_bullets(results)["Printed values."]


def test_ties_explain_sdmrs_value_where_only_optimistic_ones_reach_it() -> None:
    answers = {"ml-100k": "optimistic", "ta-feng": "optimistic, expected", "ml-1m": "none"}
    claims = pd.DataFrame(
        [(SDMR_VALUES, dataset, f"{REACHING}{ties}; both values: none", "") for dataset, ties in answers.items()],
        columns=["claim", "dataset", "answer", "note"],
    )
    text = findings.describe_ties(claims)
    value = "The authors' model reaches this value on ML-100k only if every tie counts as a win"
    assert text == f"{value}, and never with the printed hit@10."
    claims["answer"] = claims["answer"].str.replace("values: none", "values: optimistic")
    assert findings.describe_ties(claims) == f"{value}."
    assert "on ML-100k (one seed) only if" in findings.describe_ties(claims.assign(note=" (one seed)"))


def test_models_of_sequences_below_transition_counts_are_named(results: Path) -> None:
    assert "A simple baseline." not in read_bullets(results)
    folder = results / "records" / "table3" / "ml-100k"
    for model, share in {"transitions": 0.65, "gru4rec": 0.6, "sasrec": 0.66}.items():
        publish_model(folder, model, share)
    assert read_bullets(results)["A simple baseline."].endswith(
        "a lower mean NDCG@10 (not tested). Among 100 items: SDMR, GRU4Rec on ML-100k."
    )  # nor MF-BPR
    for model, sampled, full in (("transitions", 0.65, 0.5), ("gru4rec", 0.7, 0.4)):
        ranks = make_ranks(sampled, 300), make_ranks(full, 300)
        write_run_among_all(folder / f"{model}-0", model, *ranks, 300)
    assert read_bullets(results)["A simple baseline."].endswith(
        "Among 100 items: SDMR on ML-100k. Among all items: GRU4Rec on ML-100k."
    )


def test_rows_of_older_code_are_named(results: Path) -> None:
    folder = results / "records" / "table3" / "ml-100k"
    publish_model(folder, "transitions", 0.8)
    assert find_row(fill(results, "front-findings"), "SDMR is better than SDM on NDCG@10") == ["−1 of 1"]
    for name in ("caser-0", "caser-1", "sdm-0", "sdmr-0"):
        change_record(folder / name, source="old")
    bullets = read_bullets(results)
    assert "Highest NDCG@10 among 100 items: Caser on ML-100k (older code)." in bullets["What to use."]
    assert (
        "a lower mean NDCG@10 (not tested). Among 100 items: SDM (older code), SDMR (older code) on ML-100k."
        in bullets["A simple baseline."]
    )
    assert find_row(fill(results, "front-findings"), "SDMR is better than SDM on NDCG@10") == ["−1 of 1 †"]


def test_data_sets_with_older_code_one_seed_or_short_searches_are_named(results: Path) -> None:
    sound, brief = "This version's code, several seeds: ML-100k.", "Fewer than 12 trials: Caser on ML-100k."
    assert read_bullets(results)["How sure."] == f"{sound} {brief}"
    publish_model(results / "records" / "table3" / "ml-1m", "sdm", 0.5, seeds=1)
    assert read_bullets(results)["How sure."] == f"{sound} One seed: SDM on ML-1M. {brief}"
    change_record(results / "records" / "table3" / "ml-1m" / "sdm-0", source="old")
    publish_model(results / "records" / "table3" / "ml-1m", "mf-bpr", 0.5)
    older = "Provisional, with older code: ML-1M (1 of 2 rows; 1 with one seed)."
    assert read_bullets(results)["How sure."] == f"{sound} {older} {brief}"
    publish_model(results / "records" / "table3" / "ml-1m", "sdm", 0.5, seeds=2)
    change_record(results / "records" / "table3" / "ml-1m" / "sdm-0", source="old")
    older = "Provisional, with older code: ML-1M (1 of 2 rows)."
    assert read_bullets(results)["How sure."] == f"{sound} {older} {brief}"


@pytest.mark.parametrize(("trials", "named"), [(9, "SDP"), (20, "SDP (paper's grid)")])
def test_a_short_search_is_not_named_twice(trials: int, named: str, results: Path) -> None:
    folder = results / "records" / "table3" / "ml-1m"
    for model, count in {"sdp": trials, "sdp-grid": 9}.items():
        publish_model(folder, model, 0.5)
        (folder / f"{model}.yaml").write_text(yaml.safe_dump({"model": {}, "tuning": SEARCH | {"trials": count}}))
    assert read_bullets(results)["How sure."].endswith(f"Fewer than 12 trials: Caser on ML-100k; {named} on ML-1M.")
