"""The generated blocks of the pages, from few published records."""

from pathlib import Path

import numpy as np
import pytest

from sdmr.datasets.errors import DataError
from sdmr.experiments.report import claims_answers, comparability, summary
from sdmr.experiments.report.printed import get_paper_value
from sdmr.harness.metrics import summarize
from sdmr.harness.records import save_ranks
from tests.experiments.report.pages import fill, find_row, publish_few
from tests.experiments.report.published import make_ranks, publish_model
from tests.experiments.report.records import change_record

PAGE = "before\n<!-- generated: {} -->\nold\n<!-- end -->\nafter\n"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (comparability, claims_answers):  # take all records as made by the checkout's code
        monkeypatch.setattr(module, "is_current", lambda record: True)
    publish_few(tmp_path / "results")
    return tmp_path / "results"


def test_only_what_lies_in_a_block_is_made_anew() -> None:
    blocks = {"a-block": lambda: "new"}
    assert summary.fill_blocks(PAGE.format("a-block"), blocks) == PAGE.format("a-block").replace("old", "new")
    assert summary.fill_blocks("`<!-- generated: NAME -->`\n", blocks) == "`<!-- generated: NAME -->`\n"
    with pytest.raises(DataError, match="generated: other -->: there is no such block; there are a-block"):
        summary.fill_blocks(PAGE.format("other"), blocks)


def test_pages_change_with_the_results_of_their_checkout_alone(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "README.md"
    page.write_text(PAGE.format("claims"))
    fill(results)
    (results / summary.CLAIMS).unlink()
    summary.update_pages(results)
    assert not (results / summary.CLAIMS).exists()
    monkeypatch.setattr(summary, "CHECKOUT", tmp_path)
    summary.update_pages(results)
    assert find_row(page.read_text().splitlines(), "SDMR is better than SDM on NDCG@10") == ["opposite"]


def test_the_best_row_and_the_cheapest_in_its_interval_have_their_minutes(results: Path) -> None:
    row = find_row(fill(results, "choice"), "ML-100k", "100 items")
    assert row == ["Caser 0.900", "11", "31", "Item-KNN 0.890", "0.1", "–", "SDM 0.700"]


def rank_among_all(results: Path, *names: str) -> None:
    """Give published records of ML-100k ranks among all items."""
    for name in names:
        folder, full = results / "records" / "table3" / "ml-100k" / name, make_ranks(0.3, 300)
        change_record(folder, test_all=summarize(full))
        save_ranks(folder / "ranks.npz", np.arange(300), make_ranks(0.7, 300), (np.arange(300), full))


def test_what_a_record_does_not_have_is_a_dash(results: Path) -> None:
    lines = fill(results, "tables")
    assert find_row(lines, "Caser")[-3:] == ["–", "2", "9 of 20!"]
    assert find_row(lines, "SDM")[-3:] == ["–", "2", "–"]
    rank_among_all(results, "sdm-0")
    assert find_row(fill(results, "tables"), "SDM")[-3:] == ["0.300", "2", "–"]


def test_a_best_row_among_all_items_needs_all_rows_ranked_so(results: Path) -> None:
    names = [path.name for path in (results / "records" / "table3" / "ml-100k").iterdir() if path.is_dir()]
    rank_among_all(results, *(name for name in names if not name.startswith("sdm-")))
    assert not [line for line in fill(results, "choice") if "all items" in line]
    rank_among_all(results, *names)
    assert find_row(fill(results, "choice"), "ML-100k", "all items")


def test_seeds_are_those_of_trained_rows(results: Path) -> None:
    assert find_row(fill(results, "coverage"), "ML-100k")[5] == "2"
    publish_model(results / "records" / "table3" / "ml-100k", "prme", 0.5, seeds=1)
    assert find_row(fill(results, "coverage"), "ML-100k")[5] == "1 to 2"


def test_a_row_of_older_code_and_every_interval_is_in_the_tables(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caser = find_row(fill(results, "tables"), "Caser")
    assert caser[6] == "0.866 … 0.934"  # .9 ± 1.96 √(.9 · .1 / 300), and no variance between seeds
    monkeypatch.setattr(comparability, "is_current", lambda record: False)
    assert find_row(fill(results, "tables"), "Caser †") == caser


def test_models_that_are_not_in_the_paper_have_a_heading_of_their_own(results: Path) -> None:
    assert not any("not in the paper" in line for line in fill(results, "tables"))
    publish_model(results / "records" / "table3" / "ml-100k", "ease", 0.5)
    names = [line.split("|")[1].strip() for line in fill(results, "tables") if line.startswith("|")]
    assert names[-3:] == ["SDMR", "*not in the paper*", "EASE"]


def test_data_sets_beside_the_tables_have_a_table_with_the_values_of_the_printed_one(results: Path) -> None:
    publish_model(results / "records" / "table3" / "netflix-sample", "sdm", 0.5, seeds=1)
    lines = fill(results, "tables", "coverage")
    start = lines.index("### Netflix, sample")
    printed = get_paper_value("netflix", "sdm", "hit@10")
    assert find_row(lines[start:], "SDM")[:3] == [f"{printed:.3f}", "0.500", "–"]
    assert any(line.startswith("A substitute for the paper's data") for line in lines[start:])
    sizes = ["2,496 (paper 1,888)", "1,342 (paper 3,724)", "99,272 (paper 103,254)"]
    assert find_row(lines, "Netflix, sample", "a substitute")[:5] == [*sizes, "1 of 20", "1"]
    assert find_row(lines, "ML-1M", "as in the paper") == ["6,040", "3,706", "1,000,209", "0 of 20", "–", "all"]


def test_costs_count_searches_and_parts_once_and_other_runs_in_full(results: Path) -> None:
    sweeps = results / "sweeps" / "ml-100k"
    sweeps.mkdir(parents=True)
    (sweeps / "sdm.csv").write_text("trial,cpu_seconds\n0,3600\n1,7200\n2,\n")
    (sweeps / "caser.csv").write_text("stage,seconds\n1,3600\n")  # of an earlier version
    for seed in range(2):
        folder = results / "records" / "table3" / "ml-100k" / f"sdm-{seed}"
        seconds = {"fit": 3600.0, "rank": 720.0, "rank_all": 720.0}
        change_record(folder, cpu_seconds=seconds, seconds={"fit": 1.0, "parts": 1440.0}, parts={"sdp": "SDP-0"})
    change_record(folder.with_name("sdm-0"), trained="SDM-0")  # by the search
    assert find_row(fill(results, "costs"), "ML-100k") == ["1", "3.0", "2", "2.2", "5.2", "0.0"]
    change_record(folder.with_name("sdm-0"), run="SDP-0")  # the part is published, too
    assert find_row(fill(results, "costs"), "ML-100k") == ["1", "3.0", "2", "1.8", "4.8", "0.0"]
    for seed in range(2):
        change_record(folder.with_name(f"sdm-{seed}"), seconds={"fit": 6480.0, "rank": 1440.0, "rank_all": 720.0})
    assert find_row(fill(results, "costs"), "ML-100k")[-1] == "1.7"  # of the clock, by CPU


def test_costs_count_figures_audit_and_other_splits_too_and_sum_them(results: Path) -> None:
    assert find_row(fill(results, "costs"), "all")[:5:2] == ["0", "0", "0.0"]
    folders = {"records/figure6/ml-100k": 1, "records/audit/ta-feng": 2, "splits/split-1/records/table3/ml-100k": 4}
    for folder, hours in folders.items():
        publish_model(results / folder, "sdm", 0.5, seeds=1)
        seconds = {"fit": hours * 3600.0, "rank": 0.0, "parts": 1800.0}
        change_record(results / folder / "sdm-0", cpu_seconds={}, seconds=seconds, parts={"sdp": "SDP-0"})
    lines = fill(results, "costs")
    assert find_row(lines, "Figure 6") == ["0", "0.0", "1", "1.5", "1.5", "–"]
    assert find_row(lines, "Audit")[-2] == "2.5"
    assert find_row(lines, "ML-100k, split seeds 1 to 4")[-2] == "4.5"
    assert find_row(lines, "all") == ["0", "0.0", "3", "8.5", "8.5", "–"]


def test_other_splits_have_their_spread_over_split_seeds_and_their_values(results: Path) -> None:
    for split, shares in {"split-1": (0.8, 0.6), "split-2": (0.9, 0.95), "global-time": (0.3, 0.2)}.items():
        folder = results / "splits" / split / "records" / "table3" / "ml-100k"
        for model, share in zip(("sdm", "caser"), shares, strict=True):
            publish_model(folder, model, share, seeds=1)
    rank_among_all(results, *(f"{model}-{seed}" for model in ("sdm", "caser") for seed in range(2)))
    for split in ("split-1", "split-2", "global-time"):
        rank_among_all(results / "splits" / split, "sdm-0", "caser-0")
    assert find_row(fill(results, "splits"), "SDM") == ["0.800 ± 0.100", "0.800 ± 0.100", "0.300 ± 0.000", "1 to 2"]
    assert find_row(fill(results, "splits"), "Caser")[-1] == "1 to 2"
    assert find_row(fill(results, "global-time"), "Caser") == ["0.200", "0.200", "0.300"]


def test_ranking_among_all_items_is_compared_with_the_mean_epoch_or_the_training(results: Path) -> None:
    folder = results / "records" / "table3" / "ml-100k"
    history = [{"epoch": 0}, {"epoch": 1, "fit_cpu_seconds": 1.0}, {"epoch": 2, "fit_cpu_seconds": 3.0}]
    change_record(folder / "sdm-0", cpu_seconds={"fit": 9.0, "rank": 1.0, "rank_all": 0.5}, history=history)
    change_record(folder / "item-knn-0", cpu_seconds={"fit": 0.5, "rank": 1.0, "rank_all": 1.0}, history=None)
    lines = fill(results, "ranking-costs")
    assert find_row(lines, "SDM") == ["2.00", "0.50", "0.25"]
    assert find_row(lines, "Item-KNN") == ["0.50", "1.00", "2.00"]
    assert not [line for line in lines if "Caser" in line]
