"""The page of `sdmr report`: its numbers are those of the tables, and it needs no other file."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sdmr.datasets.errors import DataError
from sdmr.experiments.core import cli
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.report import comparability
from sdmr.experiments.report.accuracy import collect_published
from sdmr.experiments.report.claims import judge_claims
from sdmr.experiments.report.comparisons import compare_models
from sdmr.experiments.report.page import collect_page, format_page
from sdmr.experiments.report.page_dataset import EVERY_METRIC
from sdmr.experiments.report.ranked_rows import load_row, read_seed_spreads
from sdmr.experiments.report.uncertainty import correct_by_holm, estimate_mean
from sdmr.experiments.report.user_rows import list_user_rows
from sdmr.harness.metrics import Ranks
from sdmr.harness.records import save_ranks
from tests.experiments.report.records import change_record, write_random_run, write_run, write_runs

HISTORY = [{"epoch": 0}, {"epoch": 1, "validation": 0.3, "loss": 0.7}, {"epoch": 2, "validation": 0.4, "loss": 0.6}]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with published rows of five models, ranked among all items, too."""
    folder = tmp_path_factory.mktemp("published") / "results"
    for paths in write_runs(folder / "records" / "table3").values():
        change_record(paths[0], history=HISTORY, best_epoch=2)
    return folder


@pytest.fixture(scope="module")
def text(results: Path) -> str:
    return format_page(collect_page(results, results / "plots"))


@pytest.fixture(scope="module")
def data(text: str) -> dict[str, Any]:
    return read_page(text)["datasets"]["ml-100k"]


def read_page(text: str) -> dict[str, Any]:
    """Return the content of the page as a browser reads it."""
    (content,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    page: dict[str, Any] = json.loads(content)
    return page


def make_page(results: Path, names: Sequence[Path]) -> dict[str, Any]:
    """Return the content of the page with a user's runs."""
    return read_page(
        format_page(collect_page(results, results / "plots", list_user_rows(list(map(str, names)), results)))
    )


def read_frame(part: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(part["data"], columns=part["columns"])


def write_user_run(folder: Path, model: str = "my.Net", seed: int = 0, **changes: Any) -> Path:
    """Write a run of the users and candidates of the published ones."""
    above = np.where(np.random.default_rng(seed).random(200) < 0.7, 0, 60)
    write_run(folder, "sdm", seed, np.arange(200), Ranks(above, np.zeros(200, int)))
    change_record(folder, **{"model": model, "dataset": "ml-100k", "history": HISTORY} | changes)
    return folder


def make_config(dim: int, seed: int) -> dict[str, Any]:
    return {"seed": seed, "model": {"_target_": "my.Net", "dim": dim}}


def test_cells_are_those_of_the_table(results: Path, data: dict[str, Any]) -> None:
    cells = read_frame(data["cells"]).set_index(["model", "metric"])
    table = collect_published(3, results, EVERY_METRIC, ["NDCG@10"])
    assert table is not None
    expected = table.cells.set_index(["model", "metric"])
    assert list(cells.index) == list(expected.index)
    for column in ("paper", "ours", "low", "high", "run_low", "run_high"):
        assert cells[column].to_numpy(float) == pytest.approx(expected[column].to_numpy(float), abs=1e-5, nan_ok=True)
    assert list(cells["marks"]) == list(expected["marks"])
    assert list(cells["verdict"]) == list(expected["verdict"])


@pytest.mark.parametrize("metric", ["NDCG@10", "hit@10 all"])
def test_differences_are_those_of_the_comparisons(results: Path, data: dict[str, Any], metric: str) -> None:
    pairs = read_frame(data["pairs"][metric])
    folders = {model: [results / "records" / "table3" / "ml-100k" / f"{model}-0"] for model in ("sdm", "cml")}
    expected = compare_models(folders, "cml", "sdm", metric, read_seed_spreads(results, [metric]))
    (one,) = pairs[(pairs["model"] == "CML") & (pairs["other"] == "SDM")].itertuples()
    fields = [getattr(one, name) for name in expected._fields]
    assert fields == pytest.approx(list(expected), abs=1e-5)
    assert len(pairs) == 10
    assert pairs["corrected"].tolist() == pytest.approx(correct_by_holm(pairs["p"].tolist()), abs=1e-3)
    for model in {*pairs["model"], *pairs["other"]}:
        is_first, is_second = (pairs[side] == model for side in ("model", "other"))
        family = pairs[is_first | is_second]
        expected_p = correct_by_holm(family["p"].tolist())
        p = family["model_p"].where(is_first, family["other_p"])
        assert p.tolist() == pytest.approx(expected_p, abs=1e-4)


def test_row_says_how_it_was_made(data: dict[str, Any]) -> None:
    row = data["rows"]["SDM"]
    (seed,) = row["seeds"]
    assert (seed["seed"], seed["commit"], seed["best_epoch"], seed["epochs"]) == (0, "c0ffee0", 2, 2)
    assert seed["record"] == "results/records/table3/ml-100k/sdm-0"
    assert (row["data"], row["source"], row["choice"]) == ("data", "source", "default")
    assert row["command"] == "sdmr run model=sdm dataset=ml-100k seed=0"
    assert row["marks"] == ["One seed", "Made by other code than this version's: commit c0ffee0"]
    assert row["incomparable"] == ""


def test_curve_has_every_epoch_after_the_start(data: dict[str, Any]) -> None:
    (one,) = [curve for curve in data["curves"] if curve["model"] == "SDM"]
    assert one == {"model": "SDM", "seed": 0, "best": 2, "epoch": [1, 2], "validation": [0.3, 0.4], "loss": [0.7, 0.6]}


def test_claims_are_those_of_the_records(text: str, results: Path) -> None:
    claims = {claim["text"]: claim["answers"] for claim in read_page(text)["claims"]}
    judged = [claim for claim in judge_claims(results, results / "plots", {}) if claim.answers]
    assert any(claim.text == "SDP is better than MF-BPR" for claim in judged)
    for claim in judged:
        for finding in (one for one in claim.findings if one.dataset in claim.answers):
            answer = claims[claim.text][finding.dataset]
            assert answer["direction"] == finding.direction
            assert answer["answer"] == finding.answer + finding.note
            assert answer["lines"] == finding.evidence


def test_page_names_no_other_file(text: str) -> None:
    assert set(re.findall(r"https?://[^\s\"'`<]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\ssrc=|@import|url\(|\bfetch\(|XMLHttpRequest|import\(", text)
    assert re.findall(r'href="([^"#]*)', text.replace('href="#', "")) == ["data:,"]
    assert "default-src 'none'" in text
    assert not re.search(r"{{[A-Z]+}}", text)


def test_text_of_a_record_does_not_end_the_data(tmp_path: Path) -> None:
    name = "my.</script><script>alert(1)</script>"
    run = write_user_run(tmp_path / "net", name)
    page = format_page(collect_page(tmp_path, tmp_path, list_user_rows([str(run)], tmp_path)))
    assert page.lower().count("<script") == 2
    assert list(read_page(page)["datasets"]["ml-100k"]["rows"]) == [f"{name.rpartition('.')[2]} (yours)"]


def test_users_seeds_are_one_row_beside_the_published_ones(results: Path, tmp_path: Path) -> None:
    runs, other = (
        [
            write_user_run(tmp_path / f"{dim}-{seed}", seed=seed, run=f"Net-{dim}{seed}", config=make_config(dim, seed))
            for seed in (1, 0)
        ]
        for dim in (4, 8)
    )
    data = make_page(results, [*runs, *other])["datasets"]["ml-100k"]
    row = data["rows"]["Net, dim=4 (yours)"]
    assert [seed["seed"] for seed in row["seeds"]] == [0, 1]
    assert (row["group"], row["incomparable"]) == ("yours", "")
    assert "Net, dim=8 (yours)" in data["rows"]
    pairs = read_frame(data["pairs"]["NDCG@10"])
    folders = {"mine": runs[::-1], "sdm": [results / "records" / "table3" / "ml-100k" / "sdm-0"]}
    expected = compare_models(folders, "sdm", "mine", "NDCG@10", read_seed_spreads(results))
    (one,) = pairs[(pairs["model"] == "SDM") & (pairs["other"] == "Net, dim=4 (yours)")].itertuples()
    assert (one.difference, one.low, one.p) == pytest.approx((expected.difference, expected.low, expected.p), abs=1e-5)


def test_users_one_seed_borrows_the_spread_of_its_model(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for model, quality in (("sdp", 0.5), ("sdm", 0.6)):
        for seed in range(3):
            folder = results / "records" / "table3" / "ml-100k" / f"{model}-{seed}"
            write_random_run(folder, model, seed, quality if model == "sdm" else quality + 0.2 * seed)
    run = write_random_run(tmp_path / "mine" / "sdm", "sdm", 5, 0.6)
    change_record(run, dataset="ml-100k")
    data = make_page(results, [run])["datasets"]["ml-100k"]
    cell = read_frame(data["cells"]).set_index(["model", "metric"]).loc[("SDM (yours)", "NDCG@10")]
    estimate = estimate_mean(*load_row("sdm", [run], "NDCG@10", read_seed_spreads(results)))
    assert (cell["low"], cell["high"]) == pytest.approx(tuple(estimate.interval()), abs=1e-5)
    assert np.isnan(cell["paper"])


def test_users_row_whose_epoch_is_chosen_on_test_items_says_so(results: Path, tmp_path: Path) -> None:
    run = write_user_run(tmp_path / "net", config={"seed": 0, "protocol": {"select_on": "test"}})
    data = make_page(results, [run])["datasets"]["ml-100k"]
    assert data["rows"]["Net (yours)"]["incomparable"] == "protocol.select_on test, not validation"
    assert "Net (yours)" not in set(read_frame(data["speed"])["model"])


def test_users_row_of_other_test_items_says_so_and_is_in_no_difference(results: Path, tmp_path: Path) -> None:
    run = write_user_run(tmp_path / "net", data="other", config={"seed": 0, "protocol": {"test_item": "random"}})
    data = make_page(results, [run])["datasets"]["ml-100k"]
    assert data["rows"]["Net (yours)"]["incomparable"] == "protocol.test_item random, not last"
    pairs = read_frame(data["pairs"]["NDCG@10"])
    assert "Net (yours)" not in {*pairs["model"], *pairs["other"]}


@pytest.fixture
def full_ranking(tmp_path: Path) -> tuple[Path, Path]:
    """Return results and a run of the same test items with `protocol.candidates=all`."""
    results, run = tmp_path / "published" / "results", tmp_path / "net"
    for paths in write_runs(results / "records" / "table3").values():
        change_record(paths[0], test_items="same")
    ranks = Ranks(np.where(np.arange(200) < 150, 0, 60), np.zeros(200, int), others=np.full(200, 1000))
    write_run(run, "sdm", 0, np.arange(200), ranks)
    save_ranks(run / "ranks.npz", np.arange(200), ranks)
    config = make_config(4, 0) | {"protocol": {"candidates": "all"}}
    changes = {"config": config, "data": "other", "deviations": {"candidates": "all"}, "test_items": "same"}
    change_record(run, model="my.Net", dataset="ml-100k", history=HISTORY, **changes)
    return results, run


def test_users_row_among_all_items_stands_under_these_metrics_alone(full_ranking: tuple[Path, Path]) -> None:
    results, run = full_ranking
    data = make_page(results, [run])["datasets"]["ml-100k"]
    cells = read_frame(data["cells"])
    cells = cells[cells["model"] == "Net (yours)"].set_index("metric")
    assert all(metric.endswith(" all") for metric in cells.index)
    assert cells["ours"]["hit@10 all"] == pytest.approx(0.75)
    assert data["rows"]["Net (yours)"]["incomparable"] == ""
    pairs = {metric: read_frame(frame) for metric, frame in data["pairs"].items()}
    assert "Net (yours)" not in {*pairs["hit@10"]["model"], *pairs["hit@10"]["other"]}
    (one,) = pairs["hit@10 all"][pairs["hit@10 all"]["other"] == "Net (yours)"].query("model == 'SDM'").itertuples()
    assert one.difference == pytest.approx(read_all_hits(results, "sdm") - 0.75, abs=1e-5)
    assert "Net (yours)" not in {curve["model"] for curve in data["curves"]}
    assert "Net (yours)" not in set(read_frame(data["speed"])["model"])


def read_all_hits(results: Path, model: str) -> float:
    """Read a published hit@10 among all items."""
    record = json.loads((results / "records" / "table3" / "ml-100k" / f"{model}-0" / "record.json").read_text())
    return float(record["test_all"]["hit@10"]["expected"])


def test_users_row_among_other_items_has_no_difference(full_ranking: tuple[Path, Path]) -> None:
    results, run = full_ranking
    ranks = Ranks(np.zeros(200, int), np.zeros(200, int), others=np.full(200, 999))
    save_ranks(run / "ranks.npz", np.arange(200), ranks)
    pairs = read_frame(make_page(results, [run])["datasets"]["ml-100k"]["pairs"]["hit@10 all"])
    assert "Net (yours)" not in {*pairs["model"], *pairs["other"]}


def test_users_row_among_all_items_of_other_test_items_says_so(full_ranking: tuple[Path, Path]) -> None:
    results, run = full_ranking
    change_record(run, test_items="different")
    row = make_page(results, [run])["datasets"]["ml-100k"]["rows"]["Net (yours)"]
    assert "data hash other, not data" in row["incomparable"]


def test_runs_on_data_of_their_own_need_no_published_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_user_run(tmp_path / name, f"my.{name}", dataset="mine") for name in ("Net", "Tree")]
    data = make_page(tmp_path / "nothing", runs)["datasets"]["mine"]
    assert list(data["rows"]) == ["Net (yours)", "Tree (yours)"]
    assert len(data["pairs"]["NDCG@10"]["data"]) == 1
    assert "no published records; results=CHECKOUT/results shows them beside yours" in capsys.readouterr().err


def test_rows_among_all_items_need_no_published_rows(full_ranking: tuple[Path, Path], tmp_path: Path) -> None:
    _, run = full_ranking
    change_record(run, dataset="mine")
    data = make_page(tmp_path / "nothing", [run])["datasets"]["mine"]
    assert read_frame(data["cells"])["metric"].str.endswith(" all").all()
    assert read_frame(data["speed"]).empty


def test_scores_made_elsewhere_are_a_row_without_seconds_to_train(results: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "config": {"scores": "s.csv"},
        "validation": {},
        "seconds": {"prepare": 1.0, "rank": 3.0},
    }
    run = write_user_run(tmp_path / "scores", "Elsewhere", **changes)
    data = make_page(results, [run])["datasets"]["ml-100k"]
    assert data["rows"]["Elsewhere (yours)"]["incomparable"] == ""
    assert read_frame(data["speed"])["model"].tolist() == ["Popularity", "MF-BPR", "CML", "SDP", "SDM"]


def test_published_row_of_other_code_than_the_others_says_so(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparability, "is_current", lambda record: "SDM" not in record.model)
    rows = make_page(results, [])["datasets"]["ml-100k"]["rows"]
    assert rows["SDM"]["incomparable"] == "made by other code, commit c0ffee0"
    assert rows["SDP"]["incomparable"] == ""


def test_nothing_to_show_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no published records; `sdmr publish` copies them there"):
        collect_page(tmp_path, tmp_path)


def test_search_run_is_refused(tmp_path: Path) -> None:
    run = write_user_run(tmp_path / "net", test=None)
    with pytest.raises(UsageError, match="test=true"):
        list_user_rows([str(run)], tmp_path)


def test_command_writes_the_page(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.html"
    assert cli.main(["report", f"to={path}", f"results={results}", f"plots={tmp_path}"]) == 0
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert f"{path}, 0." in capsys.readouterr().out
