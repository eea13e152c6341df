"""The command `table` for Tables 3 and 4: what is run, and what is printed."""

import re
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest

from sdmr.datasets.errors import DataError
from sdmr.experiments import table
from sdmr.experiments.core import plan
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.estimate import estimate_time
from sdmr.experiments.core.options import parse_options
from sdmr.experiments.core.parallel import Outcome
from sdmr.experiments.core.plan import PlannedRun, plan_runs, read_tie_policy
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.registry import get_model
from sdmr.experiments.core.run import Run
from sdmr.experiments.report.averages import read_metric
from sdmr.experiments.report.terminal_table import NOT_IN_PAPER
from tests.experiments.report.commands import call, compose_fake_run, hide_tuned_settings
from tests.experiments.report.records import change_record, read_values, write_random_run, write_runs

COLUMNS = "dataset,model,metric,paper,ours,spread,seeds,optimistic,pessimistic,low,high,"
COLUMNS += "verdict,settings,marks,run_low,run_high,search"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of runs that nothing is trained into."""

    def run_all(tasks: Sequence[tuple[str, ...]], runs: Path, workers: int) -> list[Outcome]:
        assert not tasks, "nothing is to be trained here"
        return []

    monkeypatch.setattr(plan, "compose_run", compose_fake_run)
    monkeypatch.setattr(plan, "run_all", run_all)
    monkeypatch.setattr(table, "describe_task", lambda record: [f"facts of {record.dataset}"])
    return tmp_path / "runs"


def test_table_runs_only_what_is_missing_and_reports_a_failure(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, ...]] = []

    def run_all(tasks: Sequence[tuple[str, ...]], runs: Path, workers: int) -> list[Outcome]:
        asked.extend(tasks)
        outcomes = []
        for overrides in tasks:
            model, seed = overrides[0].partition("=")[2], int(overrides[2].partition("=")[2])
            if model == "cml":
                outcomes.append(Outcome(overrides, None, "MemoryError: too much"))
                continue
            folder = write_random_run(runs / "ml-100k" / f"{model}-{seed}", model, seed, 0.5)
            outcomes.append(Outcome(overrides, load_record(folder / "record.json")))
        return outcomes

    monkeypatch.setattr(plan, "run_all", run_all)
    cached = write_random_run(runs / "ml-100k" / "sdm-0", "sdm", 0, 0.7)
    published = tmp_path / "results" / "records" / "table3" / "ml-100k"
    shares = [write_random_run(published / f"sdm-{seed}", "sdm", seed, 0.65) for seed in range(3)]
    (published / "sdm.yaml").write_text("model: {hops: 3}\n")
    options = ("seeds=2", "epochs=2", "workers=2", "models=[popularity,cml,sdmr,sdm]")
    assert call(table, tmp_path, "number=3", *options) == 1
    assert sorted(overrides[0].partition("=")[2] + overrides[2].partition("=")[2] for overrides in asked) == [
        *("cml0", "cml1", "popularity0", "sdm1", "sdmr0", "sdmr1")
    ]
    assert [overrides[0] for overrides in asked][-2:] == ["model=sdmr"] * 2  # SDMR waits for the others
    assert asked[0][0] == "model=sdm"
    assert all(overrides[-1] == "epochs=2" for overrides in asked)
    printed = capsys.readouterr()
    assert "FAILED model=cml dataset=ml-100k seed=0 epochs=2: MemoryError: too much" in printed.err
    assert "1 cached, 6 to run, 2 workers" in printed.out
    values = read_values([cached, runs / "ml-100k" / "sdm-1"], "hit@10")
    mean, spread = statistics.mean(values), statistics.stdev(values)
    caption = "Table 3, ml-100k: paper | published (tuned settings) | this machine (default settings, epochs=2;"
    assert caption in printed.out
    lines = {line.split()[0]: line for line in printed.out.splitlines() if " | " in line}
    known = statistics.mean(read_values(shares, "hit@10"))
    assert f"0.713 | {known:.3f} | {mean:.3f} ±{spread:.3f}" in lines["SDM"]
    assert lines["CML"].split()[1:] == ["0.596", "|", "–", "|", "–", "0.326", "|", "–", "|", "–"]
    assert lines["Popularity"].split()[1:4] == ["–", "|", "–"]


def test_rows_are_also_listed_by_their_values(tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {}
    for model, quality in {"mf-bpr": 0.4, "cml": 0.2, "sdm": 0.6}.items():
        folder = write_random_run(runs / "ml-100k" / f"{model}-0", model, 0, quality)
        (values[get_model(model).name],) = read_values([folder], "NDCG@10")
    assert call(table, tmp_path, "models=[cml,mf-bpr,sdm]") == 0
    names = ", ".join(f"{name} {values[name]:.3f}" for name in ("SDM", "MF-BPR", "CML"))
    assert f"ml-100k, the highest NDCG@10 first: {names}." in capsys.readouterr().out.splitlines()


def test_models_that_are_not_in_the_paper_come_last(
    tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user_class = "sdmr.baselines.popularity.Popularity"
    models = ["ease", "sdm", user_class, "slim"]
    for model in models:
        write_random_run(runs / "ml-100k" / f"{model}-0", model, 0)
    assert call(table, tmp_path, f"models=[{','.join(models)}]") == 0
    lines = capsys.readouterr().out.partition("hit@10")[2].splitlines()[2:]
    assert [re.split(r"\s{2,}", line)[0] for line in lines[:5]] == ["SDM", "SLIM", NOT_IN_PAPER, "EASE", user_class]
    assert call(table, tmp_path, f"models=[sdm,{user_class},slim]") == 0
    assert NOT_IN_PAPER not in capsys.readouterr().out


def test_absent_data_set_is_looked_for_once_and_stops_no_other(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def compose_run(overrides: Sequence[str], runs: Path) -> Run:
        if "dataset=ijcai-15" in overrides:
            asked.append("ijcai-15")
            raise DataError("user_log_format1.csv cannot be found")
        return compose_fake_run(overrides, runs)

    monkeypatch.setattr(plan, "compose_run", compose_run)
    for model in ("sdm", "prme"):
        write_random_run(runs / "ta-feng" / f"{model}-0", model, 0)
    assert call(table, tmp_path, "number=4", "datasets=[ijcai-15,ta-feng]", "models=[prme,sdm]") == 1
    printed = capsys.readouterr()
    assert asked == ["ijcai-15"]
    assert printed.err == "FAILED ijcai-15: user_log_format1.csv cannot be found\n"
    assert "2 cached, 0 to run" in printed.out
    assert re.search(r"^SDM +0\.646 \| +– \| 0\.\d{3}", printed.out, re.M)


def test_published_records_are_no_runs_of_this_machine(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_all(tasks: Sequence[tuple[str, ...]], runs: Path, workers: int) -> list[Outcome]:
        return [Outcome(overrides, None, "no") for overrides in tasks]

    monkeypatch.setattr(plan, "run_all", run_all)
    folder = write_random_run(tmp_path / "results" / "records" / "table3" / "ml-100k" / "sdm-0", "sdm", 0)
    values = {"expected": 0.66454, "optimistic": 0.66454, "pessimistic": 0.66454}
    change_record(folder, test={"hit@10": values, "NDCG@10": values})
    assert call(table, tmp_path, "models=sdm") == 1
    printed = capsys.readouterr().out
    assert re.search(r"^SDM +0\.713 \| 0\.665 \| –", printed, re.M)  # rounded once, not by way of 0.6645
    assert "no estimate" not in printed


def test_table_names_the_deviations_of_its_runs(tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_random_run(runs / "ml-100k" / "sdm-0", "sdm", 0)
    assert call(table, tmp_path, "models=sdm") == 0
    assert "Deviations" not in capsys.readouterr().out
    change_record(folder, deviations={"candidates": "all"})
    assert call(table, tmp_path, "models=sdm", "protocol.candidates=all") == 0
    printed = capsys.readouterr().out
    assert "this machine (default settings, protocol.candidates=all; ± over seeds)" in printed
    assert "the paper's models: candidates=all (SDM on ml-100k)." in printed


def test_table_tells_what_its_test_items_measure(
    tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_random_run(runs / "ml-100k" / "sdm-0", "sdm", 0)
    assert call(table, tmp_path, "models=sdm", "epochs=2", "protocol.candidates=50") == 0
    assert "facts of ml-100k\n" in capsys.readouterr().out


def test_published_values_of_other_candidates_are_left_out(
    tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = tmp_path / "results" / "records" / "table3" / "ml-100k"
    write_random_run(published / "sdm-0", "sdm", 0)
    made = write_random_run(runs / "ml-100k" / "sdm-0", "sdm", 0)
    assert call(table, tmp_path, "models=sdm") == 0
    (value,) = read_values([made], "hit@10")
    assert f"0.713 | {value:.3f} | {value:.3f}" in capsys.readouterr().out
    change_record(made, deviations={"candidates": 50})
    assert call(table, tmp_path, "models=sdm", "protocol.candidates=50") == 0
    printed = capsys.readouterr().out
    assert re.search(rf"^SDM +– \| +– \| {value:.3f}", printed, re.M)
    assert "Published values of other data or another protocol are left out: SDM.\n" in printed


def test_table_says_what_the_data_left_out(tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        folder = write_random_run(runs / "ml-100k" / f"sdm-{seed}", "sdm", seed)
        change_record(folder, data_report={"duplicate_rows": 1200, "users_with_fewer_candidates": 3})
    assert call(table, tmp_path, "models=sdm", "seeds=2") == 0
    line = "Data of ml-100k: 1,200 duplicate rows, 3 users with fewer candidates.\n"
    assert capsys.readouterr().out.count(line) == 1


def test_damaged_published_record_is_named_before_any_run_starts(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_random_run(tmp_path / "results" / "records" / "table3" / "ml-100k" / "sdm-1", "sdm", 1)
    (folder / "record.json").write_text("{")
    monkeypatch.setattr(plan, "compose_run", None)
    with pytest.raises(DataError, match=rf"^{folder}/record\.json is damaged: "):
        call(table, tmp_path, "models=sdm")


def test_table_reads_ties_by_the_policy(tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [write_random_run(runs / "ml-100k" / "sdm-0", "sdm", 0, ties=9)]
    assert call(table, tmp_path, "models=sdm", "protocol.tie_policy=optimistic") == 0
    (value,) = read_values(folders, "NDCG@10", "optimistic")
    assert f"0.435 |     – | {value:.3f}\n" in capsys.readouterr().out
    write_random_run(tmp_path / "results" / "records" / "table3" / "ml-100k" / "sdm-0", "sdm", 0, ties=9)
    assert call(table, tmp_path, "models=sdm", "protocol.tie_policy=optimistic") == 0
    assert f"0.435 | {value:.3f} | {value:.3f}\n" in capsys.readouterr().out  # published ones likewise
    assert read_tie_policy(["epochs=2", "protocol.tie_policy=pessimistic"]) == "pessimistic"
    assert read_tie_policy(["epochs=2"]) == "expected"


def test_metrics_among_all_items_and_other_cutoffs_stand_beside_the_sampled_ones(
    tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = write_runs(runs, n_sampled=150)
    write_random_run(runs / "ml-100k" / "slim-0", "slim", 0)  # an older record
    models = ",".join([*folders, "slim"])
    assert call(table, tmp_path, f"models=[{models}]") == 0
    header, *lines = [line for line in capsys.readouterr().out.splitlines() if "|" in line or "hit@" in line][1:]
    assert header.split() == ["model", "hit@10", "NDCG@10", "hit@10", "all", "NDCG@10", "all"]
    rows = {line.split()[0]: [cell.split() for cell in line.split("|")] for line in lines if "|" in line}
    values = [read_metric(path, load_record(path / "record.json"), "hit@10 all") for (path,) in folders.values()]
    assert [float(row[6][0]) for row in list(rows.values())[:5]] == [round(one["expected"], 3) for one in values]
    assert (rows["SLIM"][6][0], rows["SLIM"][8]) == ("–", ["–"])
    assert call(table, tmp_path, f"models=[{models}]", "cutoffs=[3,10]", "metrics=[hit,MRR]") == 0
    printed = capsys.readouterr().out
    assert ["model", "hit@3", "hit@10", "MRR", "hit@3", "all", "hit@10", "all", "MRR", "all"] in map(
        str.split, printed.splitlines()
    )
    assert "150 of 200 test instances for Popularity, MF-BPR, CML, SDP, SDM." in printed
    assert re.search(r"Kendall's τ between the orders of 5 rows .*: hit@3 .*; hit@10 .*; MRR \d\.\d\d \[", printed)


def test_the_best_and_the_second_best_of_each_column_stand_out_on_a_terminal(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = list(write_runs(runs))  # whose values grow
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert call(table, tmp_path, f"models=[{','.join(models)}]", "metrics=[hit,mean-rank]") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " | " in line][1:]
    marks = [re.findall(r"\| (?:\033\[(\d)m)?\d+\.\d{3}(?:\033\[0m)?", line) for line in lines]
    assert marks == [[""] * 4] * 3 + [["4"] * 4, ["1"] * 4]


# --- planned runs ---


def test_model_without_tuned_settings_is_left_out(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [one.overrides for one in plan_runs(["sdm"], ["ml-100k"], 2, "tuned", ["epochs=2"])] == [
        ("model=sdm", "dataset=ml-100k", f"seed={seed}", "settings=tuned", "epochs=2") for seed in range(2)
    ]
    write_random_run(runs / "ta-feng" / "sdm-0", "sdm", 0)
    hide_tuned_settings(tmp_path, monkeypatch, "ta-feng", kept="sdm")
    options = ("number=4", "settings=tuned", "models=[cml,sdm]")
    assert call(table, tmp_path, *options) == 0
    assert "CML on ta-feng is left out: cml on ta-feng has no tuned settings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        *((setting, "has no effect here") for setting in ("threads=2", "force=true", "hydra.verbose=true")),
        *((setting, "is the same in every run") for setting in ("test=false", "seed=5", "model=sdm")),
    ],
)
def test_setting_that_is_not_for_the_tables_runs_is_an_error(setting: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(setting)}.* {reason}"):
        table.main(parse_options(table.Options, [setting, "models=popularity"]))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("settings=plain", "must be 'default' or 'tuned'"),
        ("settings=chosen", "must be 'default' or 'tuned'"),
        ("number=5", "must be 1, 2, 3 or 4"),
        ("seeds=0", "greater than or equal to 1"),
        ("models=[sdm,sdn]", "model=sdn: there is none of this name"),
        ("models=[]", r"models=\[\]: expected at least one value"),
        ("datasets=[]", r"datasets=\[\]: expected at least one value"),
        ("metrics=[hit,mrr]", "metrics=mrr: there is none of this name; there are hit, NDCG, MRR, AUC, mean-rank"),
        ("cutoffs=0", "cutoffs.*=0: must be greater than or equal to 1|greater than 0"),
        ("datasets=movies", "dataset=movies: there is none of this name"),
    ],
)
def test_wrong_option_is_an_error_that_names_what_is_allowed(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        table.main(parse_options(table.Options, [argument]))


def test_estimate_is_the_mean_of_the_published_seconds_over_the_workers(tmp_path: Path) -> None:
    for seed, fit in enumerate((117.0, 237.0)):  # with prepare and rank: 121 and 241 s
        folder = write_random_run(tmp_path / "ml-100k" / f"sdm-{seed}", "sdm", seed)
        change_record(folder, seconds={"prepare": 1.0, "fit": fit, "rank": 3.0})
    pending = [PlannedRun("sdm", "ml-100k", s, published=tmp_path / "ml-100k" / f"sdm-{s}") for s in range(4)]
    assert estimate_time(pending, 2).startswith("about 6 min")
    others = [PlannedRun("sdm", "ml-1m", seed, published=tmp_path / "ml-1m" / f"sdm-{seed}") for seed in range(2)]
    assert "no estimate for 2 of them" in estimate_time([*pending, *others], 2)
    (folder / "record.json").write_text("{")  # a damaged record is left out
    assert estimate_time(pending, 2).startswith("about 4 min")
    assert estimate_time(others, 2) == "no estimate of the time: the results have no record of these runs"


def test_estimate_counts_parts_that_are_planned_themselves_once(tmp_path: Path) -> None:
    folder = write_random_run(tmp_path / "ml-100k" / "sdmr-0", "sdmr", 0)
    change_record(folder, parts={"sdp": "SDP-1", "sdm": "SDM-2"}, seconds={"fit": 60.0, "parts": 600.0})
    sdp, sdm, sdmr = (
        PlannedRun(model, "ml-100k", published=tmp_path / "ml-100k" / f"{model}-0") for model in ("sdp", "sdm", "sdmr")
    )
    assert estimate_time([sdp, sdm, sdmr], 1).startswith("about 1 min")
    assert estimate_time([sdm, sdmr], 1).startswith("about 11 min")
