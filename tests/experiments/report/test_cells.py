"""Cells of Tables 3 and 4: means over seeds beside the paper's values."""

import math
import statistics
from pathlib import Path

import pandas as pd
import pytest

from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import MODELS, PAPER_ROWS, get_model
from sdmr.experiments.report.accuracy import describe_protocol
from sdmr.experiments.report.averages import average_seeds, list_rows
from sdmr.experiments.report.cells import INTERVAL_COLUMNS, make_cells
from sdmr.experiments.report.printed import METRICS, get_paper_value, read_groups, read_paper_values
from sdmr.experiments.report.published_rows import list_published
from sdmr.experiments.report.ranked_rows import read_seed_spreads
from tests.experiments.report.records import change_record, read_values, write_random_run

NO_SPREADS = read_seed_spreads(Path("nowhere"))


def test_spreads_are_those_of_published_models_with_three_seeds(tmp_path: Path) -> None:
    counts = {"ml-100k": {"sdm": 3, "mf-bpr": 2, "slim": 3}, "ml-1m": {"sdm": 4}}
    values = {}
    for dataset, models in counts.items():
        for model, count in models.items():
            parent = tmp_path / "records" / "table3" / dataset
            folders = [write_random_run(parent / f"{model}-{seed}", model, seed, 0.5) for seed in range(count)]
            values[dataset, model] = read_values(folders, "hit@10")
    spreads = read_seed_spreads(tmp_path)
    assert [tuple(row) for row in spreads[["model", "metric", "degrees"]].to_numpy()] == [
        *(("sdm", metric, 2) for metric in METRICS),
        *(("sdm", metric, 3) for metric in METRICS),
    ]
    expected = [statistics.variance(values[dataset, "sdm"]) for dataset in counts]
    assert list(spreads[spreads["metric"] == "hit@10"]["variance"]) == pytest.approx(expected)


def test_a_model_borrows_spreads_of_its_row_inside_the_papers_grid_too(tmp_path: Path) -> None:
    parent = tmp_path / "records" / "table3" / "ml-100k"
    folders = [write_random_run(parent / f"sdm-grid-{seed}", "sdm", seed, 0.5) for seed in range(3)]
    spreads = read_seed_spreads(tmp_path)
    assert set(spreads["model"]) == {"sdm"}
    (variance,) = spreads[spreads["metric"] == "hit@10"]["variance"]
    assert variance == pytest.approx(statistics.variance(read_values(folders, "hit@10")))


def test_cell_has_the_mean_and_the_sample_spread_over_seeds(tmp_path: Path) -> None:
    folders = [write_random_run(tmp_path / str(seed), "sdm", seed, 0.6, ties=9) for seed in range(3)]
    hit, ndcg = list_rows(make_cells("ml-100k", "sdm", folders, NO_SPREADS, settings="tuned"))
    assert (hit.metric, ndcg.metric) == METRICS
    assert (hit.paper, ndcg.paper) == (0.713, 0.435)
    for cell in (hit, ndcg):
        values = read_values(folders, cell.metric)
        assert len(set(values)) == 3
        assert cell.ours == pytest.approx(sum(values) / 3)
        squares = [(value - sum(values) / 3) ** 2 for value in values]
        assert cell.spread == pytest.approx((sum(squares) / 2) ** 0.5)
        assert cell.optimistic == pytest.approx(statistics.mean(read_values(folders, cell.metric, "optimistic")))
        assert cell.pessimistic == pytest.approx(statistics.mean(read_values(folders, cell.metric, "pessimistic")))
        assert (cell.seeds, cell.settings, cell.commit) == (3, "tuned", "c0ffee0, c0ffee1, c0ffee2")
    assert ndcg.pessimistic < ndcg.ours < ndcg.optimistic


def test_spread_of_one_seed_is_unknown(tmp_path: Path) -> None:
    cells = make_cells("ml-100k", "sdm", [write_random_run(tmp_path, "sdm", 0)], NO_SPREADS)
    assert list(cells["seeds"]) == [1, 1]
    assert cells["spread"].isna().all()


def test_untrained_model_counts_once(tmp_path: Path) -> None:
    folders = [write_random_run(tmp_path / str(seed), "slim", seed) for seed in range(3)]
    for cell in list_rows(make_cells("ml-100k", "slim", folders, NO_SPREADS)):
        assert [cell.ours] == read_values(folders[:1], cell.metric)
        assert (cell.seeds, cell.commit) == (1, "c0ffee0")


def test_every_seed_of_a_model_that_draws_random_numbers_counts(tmp_path: Path) -> None:
    folders = [write_random_run(tmp_path / str(seed), "ials", seed) for seed in range(3)]
    spreads = pd.DataFrame([("sdm", metric, 0.01, 2) for metric in METRICS], columns=NO_SPREADS.columns)
    for cell in list_rows(make_cells("ml-100k", "ials", folders, NO_SPREADS)):
        assert (cell.seeds, cell.spread > 0) == (3, True)
    alone, borrowed = (list_rows(make_cells("ml-100k", "ials", folders[:1], one)) for one in (NO_SPREADS, spreads))
    assert borrowed[0].high > alone[0].high


def test_untrained_class_of_a_user_counts_every_seed(tmp_path: Path) -> None:
    """It may draw random numbers all the same. Its row has its dotted path, and no value of the paper."""
    folders = [write_random_run(tmp_path / str(seed), "slim", seed) for seed in range(2)]
    (hit, _) = list_rows(make_cells("ml-100k", "my_models.SLIM", folders, NO_SPREADS))
    assert (hit.model, hit.seeds, hit.verdict) == ("my_models.SLIM", 2, "")
    assert math.isnan(hit.paper)


def test_class_of_a_known_name_is_another_model() -> None:
    known = {model.name for model in MODELS.values()} | set(read_groups())
    assert not known & {get_model(f"{module}.SLIM").name for module in ("mine", "theirs")}
    assert get_model("mine.SLIM").name != get_model("theirs.SLIM").name


def test_cell_without_records_has_the_papers_value_alone() -> None:
    cells = make_cells("ta-feng", "sdmr", [], NO_SPREADS)
    assert list(cells["paper"]) == [0.627, 0.559]
    assert list(cells["seeds"]) == [0, 0]
    assert cells[["ours", "spread", "optimistic", "pessimistic", *INTERVAL_COLUMNS]].isna().all(axis=None)
    assert (cells[["verdict", "settings", "commit"]] == "").all(axis=None)


@pytest.mark.parametrize(("quality", "verdict"), [(0.2, "paper higher"), (0.713, "inside"), (0.95, "paper lower")])
def test_verdict_compares_our_value_with_the_papers(quality: float, verdict: str, tmp_path: Path) -> None:
    folders = [write_random_run(tmp_path / str(seed), "sdm", seed, quality) for seed in range(3)]
    (hit, _) = list_rows(make_cells("ml-100k", "sdm", folders, NO_SPREADS))
    assert hit.verdict == verdict


def test_verdict_is_empty_where_the_paper_prints_nothing(tmp_path: Path) -> None:
    (hit, _) = list_rows(make_cells("ml-100k", "popularity", [write_random_run(tmp_path, "popularity", 0)], NO_SPREADS))
    assert math.isnan(hit.paper)
    assert hit.verdict == ""


def test_a_substitute_for_the_papers_data_has_no_verdict(tmp_path: Path) -> None:
    folders = [write_random_run(tmp_path, "sdm", 0)]
    (hit, _) = list_rows(make_cells("ijcai-15", "sdm", folders, NO_SPREADS))
    assert hit.paper == get_paper_value("ijcai-15", "sdm", "hit@10")
    assert hit.verdict == ""


@pytest.mark.parametrize("deviation", [{"test_item": "global-time"}, {"candidates": "all"}])
def test_no_printed_value_stands_beside_other_test_items_or_candidates(
    deviation: dict[str, str], tmp_path: Path
) -> None:
    folders = [write_random_run(tmp_path / str(seed), "sdm", seed) for seed in (0, 1)]
    cells = make_cells("ml-100k", "sdm", folders, NO_SPREADS, printed="ml-1m")
    assert cells["paper"].tolist() == [get_paper_value("ml-1m", "sdm", metric) for metric in METRICS]
    change_record(folders[1], deviations=deviation)
    cells = make_cells("ml-100k", "sdm", folders, NO_SPREADS)
    assert cells["paper"].isna().all()
    assert cells["verdict"].tolist() == ["", ""]
    records = [load_record(folder / "record.json") for folder in folders]
    (line,) = describe_protocol("ml-100k", records, is_tuned=True)
    assert line.startswith("ml-100k: the test items or candidates are drawn by another rule than in the paper. Values")
    assert line.endswith(" The tuned settings were chosen under the default protocol.")
    assert describe_protocol("ml-100k", records[:1], is_tuned=True) == []
    (line,) = describe_protocol("ml-100k", records[1:], is_tuned=False)
    assert line.endswith(" All metrics are those among all items.") == (deviation == {"candidates": "all"})


def test_values_read_ties_by_the_policy(tmp_path: Path) -> None:
    folders = [write_random_run(tmp_path, "sdm", 0, ties=9)]
    optimistic, expected = (
        average_seeds("ml-100k", "sdm", folders, policy)["ours"][1] for policy in ("optimistic", "expected")
    )
    assert optimistic == read_values(folders, "NDCG@10", "optimistic")[0]
    assert optimistic > expected


def test_paper_prints_every_model_but_popularity_in_table_3_and_no_general_one_in_table_4() -> None:
    assert [model.name for model in PAPER_ROWS.values()] == [
        "Popularity",
        *("Item-KNN", "SLIM", "MF-BPR", "CML", "NeuMF++", "CMN++", "PRME", "PRME_s", "TransRec", "Caser"),
        *("SDP", "SDM", "SDMR"),
    ]
    printed = {name for dataset, name, _ in read_paper_values().index if dataset == "ta-feng"}
    assert printed == {"PRME", "PRME_s", "TransRec", "Caser", "SDP", "SDM", "SDMR"}
    assert set(read_groups()) == {model.name for model in PAPER_ROWS.values()} - {"Popularity"}
    assert math.isnan(get_paper_value("ml-100k", "popularity", "hit@10"))


def test_other_data_set_has_neither_values_of_the_paper_nor_published_records(tmp_path: Path) -> None:
    assert math.isnan(get_paper_value("netflix-sample", "sdm", "hit@10"))
    assert list_published(tmp_path, "netflix-sample", "sdm") == []


@pytest.mark.parametrize("deviation", ["test_item", "equal_times", "candidates"])
def test_every_deviation_of_the_test_items_hides_the_printed_value(deviation: str, tmp_path: Path) -> None:
    folder = write_random_run(tmp_path, "sdm", 0)
    change_record(folder, deviations={deviation: "other"})
    assert average_seeds("ml-100k", "sdm", [folder])["paper"].isna().all()


def test_verdict_is_by_the_interval_for_one_new_run(tmp_path: Path) -> None:
    folders = [write_random_run(tmp_path / str(seed), "sdm", seed, 0.61) for seed in range(3)]
    (hit, _) = list_rows(make_cells("ml-100k", "sdm", folders, NO_SPREADS))
    assert hit.high < hit.paper < hit.run_high
    assert hit.verdict == "inside"
