"""The command `publish`: which records are copied, and the tables that are written from them."""

import re
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sdmr.datasets.errors import DataError
from sdmr.experiments import publish
from sdmr.experiments.core import plan, store, tuned
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import parse_options
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import PAPER_ROWS
from sdmr.experiments.core.run import Run
from sdmr.experiments.report.printed import METRICS
from tests.experiments.report.commands import call, compose_fake_run, hide_tuned_settings
from tests.experiments.report.records import change_record, read_cells, read_values, write_random_run, write_runs

Cells = dict[tuple[str, str, str], dict[str, str]]


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of runs; no data are read."""
    monkeypatch.setattr(plan, "compose_run", compose_fake_run)
    return tmp_path / "runs"


def test_published_cells_stay_until_all_seeds_of_new_runs_are_made(tmp_path: Path, runs: Path) -> None:
    def publish_seeds(seeds: int) -> Cells:
        assert call(publish, tmp_path, f"seeds={seeds}", "models=[popularity,mf-bpr,sdm]") == 0
        return read_cells(tmp_path / "results" / "table3.csv")

    records = tmp_path / "results" / "records" / "table3" / "ml-100k"
    old = [write_random_run(runs / "ml-100k" / f"sdm-{seed}", "sdm", seed, 0.6) for seed in range(2)]
    write_random_run(runs / "ml-100k" / "popularity-0", "popularity", 0, 0.3)
    first = publish_seeds(2)
    sdm = first["ml-100k", "SDM", "hit@10"]
    values = read_values(old, "hit@10")
    assert (sdm["ours"], sdm["seeds"]) == (f"{statistics.mean(values):.6f}", "2")
    assert sdm["spread"] == f"{statistics.stdev(values):.6f}"
    assert first["ml-100k", "Popularity", "hit@10"]["spread"] == ""
    assert first["ml-100k", "MF-BPR", "hit@10"]["ours"] == ""
    assert first["ml-100k", "MF-BPR", "hit@10"]["paper"] == "0.554"
    assert {str(path.relative_to(records)) for path in records.glob("*/*")} == {
        f"{name}/{file}" for name in ("sdm-0", "sdm-1", "popularity-0") for file in ("record.json", "ranks.npz")
    }

    # SDM's runs are gone from this machine, MF-BPR has come, with two of three seeds.
    for folder in old:
        (folder / "record.json").unlink()
    for seed in range(2):
        write_random_run(runs / "ml-100k" / f"mf-bpr-{seed}", "mf-bpr", seed, 0.4)
    assert publish_seeds(3) == first
    third = write_random_run(runs / "ml-100k" / "mf-bpr-2", "mf-bpr", 2, 0.4)
    second = publish_seeds(3)
    assert second["ml-100k", "SDM", "hit@10"] == sdm
    assert second["ml-100k", "MF-BPR", "hit@10"]["seeds"] == "3"
    assert (records / "mf-bpr-2" / "record.json").read_text() == (third / "record.json").read_text()

    # SDM anew: one seed does not replace the two that are published, two do.
    new = [write_random_run(runs / "ml-100k" / "sdm-0", "sdm", 7, 0.9)]
    assert publish_seeds(1)["ml-100k", "SDM", "hit@10"] == sdm
    new.append(write_random_run(runs / "ml-100k" / "sdm-1", "sdm", 8, 0.9))
    last = publish_seeds(2)["ml-100k", "SDM", "hit@10"]
    assert (last["ours"], last["seeds"]) == (f"{statistics.mean(read_values(new, 'hit@10')):.6f}", "2")


def test_the_pages_are_filled_from_what_is_published(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled: list[Path] = []
    monkeypatch.setattr(publish, "update_pages", filled.append)
    write_random_run(runs / "ml-100k" / "popularity-0", "popularity", 0, 0.3)
    assert call(publish, tmp_path, "models=[popularity]") == 0
    assert filled == [tmp_path / "results"]


def test_who_publishes_waits_for_another_that_does(tmp_path: Path, runs: Path) -> None:
    write_random_run(runs / "ml-100k" / "popularity-0", "popularity", 0, 0.3)
    with ThreadPoolExecutor(1) as thread:
        with store.lock_results(tmp_path / "results"):
            waiting = thread.submit(call, publish, tmp_path, "models=[popularity]")
            with pytest.raises(TimeoutError):
                waiting.result(timeout=1)
            assert not (tmp_path / "results" / "table3.csv").exists()
        assert waiting.result() == 0
    assert (tmp_path / "results" / "table3.csv").exists()


def test_published_settings_are_those_of_the_runs(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = tmp_path / "tuned.yaml"
    tuned.write_text("model: {hops: 3}\ntuning: {trials: 20, planned: 20, cpu_minutes: 31.4}\n")
    monkeypatch.setattr(store, "get_tuned_path", lambda dataset, model: tuned)
    for model in ("sdm", "mf-bpr"):
        write_random_run(runs / "ml-100k" / f"{model}-0", model, 0)
    sweep = tmp_path / "results" / "sweeps" / "ml-100k" / "sdm.csv"
    sweep.parent.mkdir(parents=True)
    sweep.write_text("seconds\n90\n\n30\n")
    published = {}
    for settings, model in (("tuned", "sdm"), ("default", "mf-bpr")):
        assert call(publish, tmp_path, f"settings={settings}", f"models={model}") == 0
        cells = read_cells(tmp_path / "results" / "table3.csv")
        published[settings] = [cells["ml-100k", name, "hit@10"]["settings"] for name in ("SDM", "MF-BPR")]
    assert published == {"tuned": ["tuned", ""], "default": ["tuned", "default"]}
    assert [cells["ml-100k", name, "hit@10"]["search"] for name in ("SDM", "MF-BPR")] == ["20 of 20, 31 min", ""]
    copy = tmp_path / "results" / "records" / "table3" / "ml-100k" / "sdm.yaml"
    assert copy.read_text() == tuned.read_text()
    text = (tmp_path / "results" / "table3.md").read_text()
    assert "validation items of ml-100k, results/sweeps/ml-100k/: 2 runs, 2 single-thread minutes." in text
    assert "20 of 20, 31 min" in text
    assert "% ml-100k, tuned settings: SDM" in (tmp_path / "results" / "table3.tex").read_text()
    assert call(publish, tmp_path, "models=sdm", "replace=true") == 0
    assert read_cells(tmp_path / "results" / "table3.csv")["ml-100k", "SDM", "hit@10"]["settings"] == "default"
    assert not copy.exists()
    assert "single-thread minutes" not in (tmp_path / "results" / "table3.md").read_text()  # no row is a tuned one


def test_rows_with_tuned_settings_are_replaced_by_default_ones_only_if_asked_for(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = tmp_path / "tuned.yaml"
    tuned.write_text("model: {hops: 3}\n")
    monkeypatch.setattr(store, "get_tuned_path", lambda dataset, model: tuned)
    write_random_run(runs / "ml-100k" / "sdm-0", "sdm", 0, 0.6)
    assert call(publish, tmp_path, "settings=tuned", "models=sdm") == 0
    before = (tmp_path / "results" / "table3.csv").read_text()
    write_random_run(runs / "ml-100k" / "sdm-0", "sdm", 1, 0.3)
    capsys.readouterr()
    assert call(publish, tmp_path, "models=sdm") == 0
    assert (tmp_path / "results" / "table3.csv").read_text() == before
    assert "SDM on ml-100k keeps its published tuned settings; replace=true replaces them" in capsys.readouterr().err
    assert call(publish, tmp_path, "models=sdm", "replace=true") == 0
    assert read_cells(tmp_path / "results" / "table3.csv")["ml-100k", "SDM", "hit@10"]["settings"] == "default"
    assert call(publish, tmp_path, "settings=tuned", "models=sdm") == 0  # the other way round it needs no asking
    assert read_cells(tmp_path / "results" / "table3.csv")["ml-100k", "SDM", "hit@10"]["settings"] == "tuned"


def split_row(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_published_table_is_readable(tmp_path: Path, runs: Path) -> None:
    folders = [write_random_run(runs / "ml-100k" / f"sdm-{seed}", "sdm", seed, 0.5, ties=20) for seed in range(2)]
    mean = statistics.mean(read_values(folders, "hit@10"))
    for seed in range(2):
        write_random_run(runs / "ml-100k" / f"mf-bpr-{seed}", "mf-bpr", seed, 0.4)
    assert call(publish, tmp_path, "seeds=2", "models=[mf-bpr,sdm]") == 0
    cells = read_cells(tmp_path / "results" / "table3.csv")
    assert [name for _, name, metric in cells if metric == "hit@10"] == [model.name for model in PAPER_ROWS.values()]
    hit, ndcg = (cells["ml-100k", "SDM", metric] for metric in METRICS)
    text = (tmp_path / "results" / "table3.md").read_text()
    head, *lines = (split_row(line) for line in text.splitlines() if line.startswith("|"))
    rows = {cells[0]: dict(zip(head, cells, strict=True)) for cells in lines if len(cells) == len(head)}
    sdm = rows["SDM"]
    assert sdm["hit@10: paper"] == "0.713"
    interval = f"[{float(hit['low']):.3f}, {float(hit['high']):.3f}]"
    assert sdm["hit@10: ours"] == f"<u>{mean:.3f} ± {float(hit['spread']):.3f} {interval}</u>"
    assert re.fullmatch(r"\*\*0\.\d{3} .*\]\*\*", rows["MF-BPR"]["hit@10: ours"])
    assert (hit["verdict"], sdm["hit@10: Δ"]) == ("paper higher", f"−{0.713 - mean:.3f}°")
    assert sdm["hit@10: one run"] == f"{float(hit['run_low']):.3f}, {float(hit['run_high']):.3f}"
    ties = [float(side) for side in sdm["ties"].split(" … ")]
    assert ties == pytest.approx([float(ndcg["pessimistic"]), float(ndcg["optimistic"])], abs=0.001)
    assert (sdm["settings"], sdm["seeds"], sdm["commit"]) == ("default", "2", "c0ffee0, c0ffee1")
    missing = [rows["CML"][column] for column in ("hit@10: paper", "hit@10: ours", "hit@10: Δ", "ties", "seeds")]
    assert missing == ["0.596", "not run", "–", "–", "0"]
    assert "Popularity" not in rows  # neither printed in the paper nor run
    gain = 100 * (float(hit["ours"]) / float(cells["ml-100k", "MF-BPR", "hit@10"]["ours"]) - 1)
    improvement = rows["SDM over the best general baseline"]
    assert improvement["hit@10: paper"] == "+14.4 %"
    assert float(improvement["hit@10: ours"].removesuffix(" %").replace("−", "-")) == pytest.approx(gain, abs=0.1)
    assert "Made from 4 records on abacus, 1 thread(s); torch 2.0; 24 s in all, " in text
    assert {len(split_row(line)) for line in text.splitlines() if line.startswith("|")} == {len(head), 8}
    latex = (tmp_path / "results" / "table3.tex").read_text()
    assert r"PRME\_s" in latex
    assert rf"0.713 $|$ \underline{{{mean:.3f} $\pm$ {float(hit['spread']):.3f}}}$^{{\circ}}$" in latex
    assert r"0.554 $|$ \textbf{0." in latex
    assert "\\midrule\nSDM over the best general baseline" in latex
    assert len({line.count(" & ") for line in latex.splitlines() if line.startswith(("SD", "CML", "MF"))}) == 1


def test_models_that_are_not_in_the_paper_have_a_group_below_its_rows(tmp_path: Path, runs: Path) -> None:
    for model in ("mf-bpr", "sdm", "ease", "ials"):
        write_random_run(runs / "ml-100k" / f"{model}-0", model, 0, 0.4)
    assert call(publish, tmp_path, "models=[mf-bpr,sdm]") == 0
    paths = [tmp_path / "results" / f"table3.{suffix}" for suffix in ("csv", "md", "tex")]
    csv, text, latex = (path.read_text() for path in paths)
    assert call(publish, tmp_path, "models=[ials,ease]") == 0
    first, *rest = paths[0].read_text().removeprefix(csv).splitlines()
    assert first.startswith("ml-100k,EASE,hit@10,,0.")
    assert [row.split(",")[:4] for row in rest] == [
        ["ml-100k", "EASE", "NDCG@10", ""],
        ["ml-100k", "iALS", "hit@10", ""],
        ["ml-100k", "iALS", "NDCG@10", ""],
    ]
    names = [split_row(line)[0] for line in paths[1].read_text().splitlines() if line.startswith("|")]
    start = names.index("*not in the paper*")
    assert names[start - 1] == "SDMR over the best sequential baseline"
    assert names[start + 1 : start + 3] == ["EASE", "iALS"]
    changed = ("| EASE", "| iALS", "| *not in the paper*", "One seed", "Made ")
    kept = [line for line in paths[1].read_text().splitlines() if not line.startswith(changed)]
    assert kept == [line for line in text.splitlines() if not line.startswith(changed)]
    rows = [line for line in paths[2].read_text().splitlines() if line not in latex.splitlines()]
    assert [row.split(" &")[0] for row in rows if not row.startswith("%")] == ["EASE", "iALS"]
    assert "\\midrule\nEASE" in paths[2].read_text()


def test_metrics_among_all_items_are_further_rows_and_columns(tmp_path: Path, runs: Path) -> None:
    write_random_run(runs / "ml-100k" / "slim-0", "slim", 0)  # an older record
    assert call(publish, tmp_path, "models=slim") == 0
    assert {metric for *_, metric in read_cells(tmp_path / "results" / "table3.csv")} == set(METRICS)
    folders = write_runs(runs)
    assert call(publish, tmp_path, f"models=[{','.join(folders)}]", "cutoffs=5") == 0
    cells = read_cells(tmp_path / "results" / "table3.csv")
    assert [metric for _, name, metric in cells if name == "SDM"] == [
        *("hit@10", "NDCG@10", "hit@10 all", "NDCG@10 all", "hit@5", "NDCG@5", "hit@5 all", "NDCG@5 all")
    ]
    assert call(publish, tmp_path, "models=sdm") == 0
    cells = read_cells(tmp_path / "results" / "table3.csv")
    text = (tmp_path / "results" / "table3.md").read_text()
    head, *lines = (split_row(line) for line in text.splitlines() if line.startswith("|"))
    rows = {one[0]: dict(zip(head, one, strict=True)) for one in lines if len(one) == len(head)}
    assert head[9:11] == ["hit@10 all", "NDCG@10 all"]
    sdm = cells["ml-100k", "SDM", "hit@10 all"]
    shown = [float(number) for number in re.findall(r"\d\.\d+", rows["SDM"]["hit@10 all"])]
    assert shown == pytest.approx([float(sdm[column]) for column in ("ours", "low", "high")], abs=0.001)
    assert rows["SLIM"]["hit@10 all"] == cells["ml-100k", "SLIM", "hit@10 all"]["ours"] == ""
    assert [rows[name]["hit@10 all"][:2] for name in ("CML", "SDP", "SDM")] == ["0.", "<u", "**"]
    assert "\n\nml-100k: Kendall's τ between the orders of 5 rows among the sampled candidates" in text
    assert "with *all* behind their name" in text
    latex = (tmp_path / "results" / "table3.tex").read_text()
    assert "NDCG@10 all" in latex
    assert r"\begin{tabular}{lrrrr}" in latex


def test_new_and_repeated_targets_stand_apart_where_there_are_baskets(tmp_path: Path, runs: Path) -> None:
    values = {"new": [0.2, 0.4], "repeated": [0.9, 0.8]}
    for seed in range(2):
        sides = {
            f"test_{side}": {"instances": 5000 if side == "new" else 700}
            | {metric: {"expected": one[seed]} for metric in METRICS}
            for side, one in values.items()
        }
        change_record(write_random_run(runs / "ta-feng" / f"sdm-{seed}", "sdm", seed), **sides)
    assert call(publish, tmp_path, "number=4", "seeds=2", "models=sdm") == 0
    text = (tmp_path / "results" / "table4.md").read_text()
    *_, head, _, row = text.splitlines()
    assert "\n\n## ta-feng, 5,000 new and 700 repeated targets\n" in text
    assert split_row(head) == ["model", "hit@10, new", "NDCG@10, new", "hit@10, repeated", "NDCG@10, repeated"]
    assert split_row(row) == ["SDM", "0.300", "0.300", "0.850", "0.850"]
    write_random_run(runs / "ml-100k" / "sdm-0", "sdm", 0)
    assert call(publish, tmp_path, "number=3", "models=sdm") == 0
    assert "repeated" not in (tmp_path / "results" / "table3.md").read_text()


def test_a_substitute_for_the_papers_data_is_labeled(tmp_path: Path, runs: Path) -> None:
    write_random_run(runs / "ijcai-15" / "sdm-0", "sdm", 0)
    write_random_run(runs / "ta-feng" / "sdm-0", "sdm", 0)
    assert call(publish, tmp_path, "number=4", "datasets=[ijcai-15,ta-feng]", "models=sdm") == 0
    text = (tmp_path / "results" / "table4.md").read_text()
    assert "\n\nijcai-15 is a substitute. The paper's random sample of 20,000 transactions is not public." in text
    assert text.count("is a substitute") == 1


def test_epinions_in_the_order_of_ids_is_in_no_table(tmp_path: Path, runs: Path) -> None:
    """One claim needs its published record. The table has the data sets that the paper prints."""
    for dataset in ("epinions", "epinions-id-order"):
        write_random_run(runs / dataset / "sdm-0", "sdm", 0)
    assert call(publish, tmp_path, "datasets=[epinions,epinions-id-order]", "models=sdm") == 0
    assert (tmp_path / "results" / "records" / "table3" / "epinions-id-order" / "sdm-0" / "record.json").exists()
    assert {dataset for dataset, *_ in read_cells(tmp_path / "results" / "table3.csv")} == {"epinions"}


def test_the_other_table_borrows_the_variance_of_new_seeds(tmp_path: Path, runs: Path) -> None:
    def read_interval() -> str:
        return read_cells(tmp_path / "results" / "table4.csv")["ta-feng", "SDM", "hit@10"]["low"]

    write_random_run(runs / "ta-feng" / "sdm-0", "sdm", 0, 0.6)
    assert call(publish, tmp_path, "number=4", "datasets=[ta-feng]", "models=sdm") == 0
    alone = read_interval()
    for seed in range(3):
        write_random_run(runs / "ml-100k" / f"sdm-{seed}", "sdm", seed, 0.4 + 0.1 * seed)
    assert call(publish, tmp_path, "number=3", "seeds=3", "models=sdm") == 0
    assert float(read_interval()) < float(alone)


def test_nothing_to_publish_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no run of Table 4 to publish; `sdmr table number=4` makes them$"):
        call(publish, tmp_path, "number=4", "models=sdm")
    assert not (tmp_path / "results").exists()


def test_model_without_tuned_settings_is_left_out(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random_run(runs / "ta-feng" / "sdm-0", "sdm", 0)
    hide_tuned_settings(tmp_path, monkeypatch, "ta-feng", kept="sdm")
    assert call(publish, tmp_path, "number=4", "settings=tuned", "models=[cml,sdm]") == 0
    assert "CML on ta-feng is left out: cml on ta-feng has no tuned settings" in capsys.readouterr().out
    cells = read_cells(tmp_path / "results" / "table4.csv")
    assert [cells["ta-feng", name, "hit@10"]["seeds"] for name in ("SDM", "CML")] == ["1", "0"]


def test_absent_data_set_keeps_its_published_cells(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random_run(runs / "ml-1m" / "sdm-0", "sdm", 0)
    assert call(publish, tmp_path, "models=sdm", "datasets=ml-1m") == 0
    before = (tmp_path / "results" / "table3.csv").read_text()

    def compose_run(overrides: Sequence[str], runs: Path) -> Run:
        raise DataError("ratings.dat cannot be found")

    monkeypatch.setattr(plan, "compose_run", compose_run)
    assert call(publish, tmp_path, "models=sdm", "datasets=ml-1m") == 0
    assert (tmp_path / "results" / "table3.csv").read_text() == before
    assert capsys.readouterr().err == "FAILED ml-1m: ratings.dat cannot be found\n"


def test_published_table_names_the_deviations_of_its_records(tmp_path: Path, runs: Path) -> None:
    for model, deviations in (("sdm", {"select_on": "test", "validation_item": "next-to-last"}), ("sdp", {})):
        change_record(write_random_run(runs / "ml-100k" / f"{model}-0", model, 0), deviations=deviations)
    assert call(publish, tmp_path, "models=[sdp,sdm]") == 0
    text = (tmp_path / "results" / "table3.md").read_text()
    assert "**Deviations from the default protocol and the paper's models: select_on=test, validation_item=" in text
    assert "next-to-last (SDM on ml-100k).**" in text


def test_models_that_ranked_other_candidates_are_not_published_beside(
    tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in ("sdm", "mf-bpr"):
        write_random_run(runs / "ml-100k" / f"{model}-0", model, 0)
    assert call(publish, tmp_path, "models=sdm") == 0
    change_record(runs / "ml-100k" / "mf-bpr-0", deviations={"candidates": 99})
    assert call(publish, tmp_path, "models=mf-bpr") == 0
    assert "MF-BPR on ml-100k is left out" in capsys.readouterr().out
    assert not read_cells(tmp_path / "results" / "table3.csv")["ml-100k", "MF-BPR", "hit@10"]["ours"]
    (runs / "ml-100k" / "sdm-0" / "record.json").unlink()  # so that its published cell stays, though it is named
    assert call(publish, tmp_path, "models=[sdm,mf-bpr]") == 0
    assert "MF-BPR on ml-100k is left out" in capsys.readouterr().out
    change_record(runs / "ml-100k" / "mf-bpr-0", deviations={"model.hops": 2})  # which concerns the model alone
    assert call(publish, tmp_path, "models=mf-bpr") == 0
    assert read_cells(tmp_path / "results" / "table3.csv")["ml-100k", "MF-BPR", "hit@10"]["ours"]


@pytest.fixture
def grid_settings(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write tuned runs of CML, of SDM, and of SDM inside the paper's grid; return the settings of the last one."""
    files = {model: tmp_path / f"{model}.yaml" for model in ("sdm", "sdm-grid", "cml")}
    for model in files:
        files[model].write_text("model: {hops: 3}\ntuning: {trials: 20, planned: 20, cpu_minutes: 31.4}\n")
        write_random_run(runs / "ml-100k" / f"{model}-0", model, 0)
    for module in (store, tuned):
        monkeypatch.setattr(module, "get_tuned_path", lambda dataset, model: files[model])
    return files["sdm-grid"]


def test_a_row_inside_the_papers_grid_is_published_below_its_model_and_goes_with_its_settings(
    tmp_path: Path, grid_settings: Path
) -> None:
    options = ("models=[cml,sdm]", "settings=tuned")
    assert call(publish, tmp_path, *options) == 0
    cells = read_cells(tmp_path / "results" / "table3.csv")
    names = [model for _, model, metric in cells if metric == "hit@10"]
    row = "SDM (paper's grid)"
    assert names.index(row) == names.index("SDM") + 1
    assert (cells["ml-100k", row, "hit@10"]["paper"], cells["ml-100k", row, "hit@10"]["seeds"]) == ("0.713", "1")
    grid_settings.unlink()  # the best settings are inside
    assert call(publish, tmp_path, *options) == 0
    assert ("ml-100k", row, "hit@10") not in read_cells(tmp_path / "results" / "table3.csv")
    assert not [*(tmp_path / "results").rglob("sdm-grid*")]


def test_a_row_inside_the_papers_grid_stays_if_its_model_is_left_out(
    tmp_path: Path, runs: Path, grid_settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(publish, tmp_path, "models=[cml,sdm]", "settings=tuned") == 0
    before = (tmp_path / "results" / "table3.csv").read_text()
    grid_settings.unlink()
    change_record(runs / "ml-100k" / "sdm-0", deviations={"candidates": 99})
    assert call(publish, tmp_path, "models=sdm", "settings=tuned") == 0
    assert "SDM on ml-100k is left out" in capsys.readouterr().out
    assert (tmp_path / "results" / "table3.csv").read_text() == before
    assert [*(tmp_path / "results").rglob("sdm-grid-0/record.json")]


def test_a_row_that_goes_may_have_ranked_other_candidates_than_its_model(
    tmp_path: Path, runs: Path, grid_settings: Path
) -> None:
    for model in ("sdm", "sdm-grid"):
        change_record(runs / "ml-100k" / f"{model}-0", deviations={"candidates": 99})
    assert call(publish, tmp_path, "models=sdm", "settings=tuned") == 0
    grid_settings.unlink()
    write_random_run(runs / "ml-100k" / "sdm-0", "sdm", 0)
    assert call(publish, tmp_path, "models=sdm", "settings=tuned") == 0
    records = tmp_path / "results" / "records" / "table3" / "ml-100k"
    assert sorted(path.name for path in records.iterdir()) == ["sdm-0", "sdm.yaml"]
    assert not load_record(records / "sdm-0" / "record.json").deviations


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["epochs=2"],
            "epochs=2 is not for published tables; there are datasets, models, seeds, settings, ",
        ),
        (["foo=1"], "runs, results, dataset.*, protocol.*, split_seed"),
        (["models=[]"], "models=[]: expected at least one value"),
        (
            ["models=[sdm,my_models.Net]"],
            "models=my_models.Net: there is none of this name; there are popularity, item-knn",
        ),
        (["datasets=[ml-100k,ta-feng]"], "datasets=ta-feng: there is none of this name; there are ml-100k"),
        (["protocol.tie_policy=optimistic"], "published ties count with their expected value"),
        (["number=1"], "number=1: must be 3 or 4"),
        (["settings=chosen"], "settings=chosen: must be 'default' or 'tuned'"),
    ],
)
def test_what_cannot_be_published_is_an_error(arguments: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        publish.main(parse_options(publish.Options, [*arguments, f"results={tmp_path / 'results'}"]))
    assert not (tmp_path / "results").exists()
