"""What the check of a submitted result prints, for a complete one and for each fault."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdmr.datasets.errors import DataError
from sdmr.experiments.core import cli
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.finished import find_runs
from sdmr.experiments.core.record import save_record
from sdmr.experiments.report import submission
from sdmr.experiments.report.compared_rows import collect_rows
from sdmr.experiments.report.submission import DESCRIPTION, add_runs, check_submission, read_description
from sdmr.experiments.report.user_rows import list_user_rows
from sdmr.harness.metrics import Ranks, summarize
from sdmr.harness.records import compute_run_key, save_ranks
from tests.experiments.report.published import make_ranks, make_record, publish_model
from tests.experiments.report.records import change_record

FIELDS: dict[str, Any] = {
    "model": "Net",
    "authors": ["Ada Author"],
    "contact": "ada@example.org",
    "links": ["https://example.org/net"],
    "license": "MIT",
    "trials": 12,
    "tuned_on": "validation",
    "commands": "sdmr run -m model=my.Net dataset=ml-100k seed=0,1",
}
USERS = 30


def write_run(parent: Path, seed: int, **fields: Any) -> Path:
    """Write a run of `my.Net` on ML-100k under its own name, and return its folder."""
    config = {"seed": seed} | fields.pop("config", {})
    ranks = make_ranks(0.5 + seed / 10, USERS)
    known = {"data": "", "source": "", "test": summarize(ranks), "history": []} | fields
    run = f"Net-{compute_run_key(config, known['data'], known['source'])}"
    folder = parent / "ml-100k" / run
    folder.mkdir(parents=True)
    save_record(make_record(run=run, config=config, **known), folder / "record.json")
    save_ranks(folder / "ranks.npz", range(USERS), ranks)
    return folder


def describe(folder: Path, **changes: Any) -> None:
    fields = {key: value for key, value in (FIELDS | changes).items() if value is not None}
    (folder / DESCRIPTION).write_text(json.dumps(fields))  # which is YAML, too


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The published records of two models."""
    for model in ("sdp", "sdm"):
        publish_model(tmp_path / "results" / "records" / "table3" / "ml-100k", model, 0.5, users=USERS)
    return tmp_path / "results"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A submission with two seeds."""
    folder = tmp_path / "net"
    for seed in range(2):
        write_run(folder, seed)
    describe(folder)
    return folder


def check(folder: Path, results: Path) -> tuple[int, list[str]]:
    return cli.main(["check", f"submission={folder}", f"results={results}"]), list(check_submission(folder, results))


def test_a_complete_submission_passes_with_a_line_for_each_check(folder: Path, results: Path) -> None:
    status, lines = check(folder, results)
    runs = sorted(path.name for path in (folder / "ml-100k").iterdir())
    assert (status, lines) == (
        0,
        [
            "passed  description.yaml",
            "passed  files: 0.01 of at most 10 MiB",
            *(f"passed  ml-100k/{run}: record and ranks" for run in runs),
            "passed  ml-100k, Net: comparable with the published rows",
            "note    ml-100k, Net: 2 runs with the same settings (seed 0, 1)",
            f"note    to compare: sdmr compare 'runs=[{folder / 'ml-100k'},table3/ml-100k]'",
        ],
    )


def test_commands_read_a_submission_by_its_folder(folder: Path, results: Path) -> None:
    (row,) = collect_rows(find_runs("runs", [str(folder)], Path("runs"), results))
    assert [record.config["seed"] for record in row.records] == [0, 1]
    (row,) = list_user_rows([str(folder)], results)
    assert row.name == "Net (yours)"


def test_scores_made_elsewhere_are_submitted_as_their_record(folder: Path, results: Path) -> None:
    write_run(folder, 2, model="Elsewhere", config={"scores": "scores.csv"}, validation={}, history=None)
    status, lines = check(folder, results)
    assert (status, "passed  ml-100k, Elsewhere: comparable with the published rows" in lines) == (0, True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"license": None, "links": None}, "lacks links, license; docs/submitting has an example"),
        ({"trials": "many"}, "trials=many: must be a valid integer"),
        ({"tuned_on": "test"}, "tuned_on=test: must be 'validation'"),
        ({"links": ["example.org"]}, "links=example.org: "),
        ({"authors": []}, "authors=[]: expected at least one value"),
        ({"mail": "ada@example.org"}, "mail=ada@example.org: extra inputs are not permitted"),
    ],
)
def test_a_description_that_lacks_something_says_what(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    describe(tmp_path, **changes)
    with pytest.raises(DataError) as error:
        read_description(tmp_path / DESCRIPTION)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("content", ["[", "text", "\xff"])
def test_a_damaged_description_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / DESCRIPTION).write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=r"^(cannot be read: |lacks model, authors, ).*docs/submitting has an example$"):
        read_description(tmp_path / DESCRIPTION)


def add_file(run: Path) -> None:
    ids = run.parent / "ids-0123456789ab"
    ids.mkdir()
    (ids / "users.csv").write_text("user,id\n0,Ada\n")


def rename(run: Path) -> None:
    run.rename(run.with_name("mine"))


def exchange_ranks(run: Path) -> None:
    save_ranks(run / "ranks.npz", range(USERS), make_ranks(0.9, USERS))


def change_users(run: Path) -> None:
    save_ranks(run / "ranks.npz", range(1, USERS + 1), make_ranks(0.5, USERS))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (add_file, "files: .* remove ml-100k/ids-0123456789ab/users.csv: expected description.yaml and, for each run,"),
        (rename, r"ml-100k/mine: record and ranks: expected the folder ml-100k/Net-\w+, as in runs/"),
        (exchange_ranks, r"hit@1 \(expected\) is 0.5000 in record.json, but 0.9000 by ranks.npz"),
        (change_users, "comparable with the published rows: ranks.npz has other test instances"),
        (lambda run: (run / "ranks.npz").unlink(), "ranks.npz is missing"),
        (lambda run: (run / "record.json").write_text("{"), "record.json is damaged"),
        (lambda run: change_record(run, config={"seed": 5}), r"record.json was changed after the run: its settings, "),
        (
            lambda run: change_record(run, test_all=summarize(make_ranks(0.5))),
            "ranks.npz is damaged: it holds no ranks",
        ),
        (lambda run: change_record(run, schema_version=3), "schema_version=3: must be 2"),
        (lambda run: change_record(run, test=None), "a search run never ranks the test items"),
        (
            lambda run: change_record(run, deviations={"candidates": 99}),
            "record.json was changed after the run: its deviations name candidates=99, its settings none",
        ),
    ],
)
def test_a_fault_of_a_run_fails_the_check_that_names_it(
    spoil: Callable[[Path], object], message: str, tmp_path: Path, results: Path
) -> None:
    folder = tmp_path / "net"
    spoil(write_run(folder, 0))
    describe(folder)
    status, lines = check(folder, results)
    (failed,) = (line for line in lines if line.startswith("FAILED"))
    assert status == 1
    assert re.search(message, failed), failed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"config": {"model": {"_target_": "my.Net", "items": "/home/ada/items.npy"}}},
            "record and ranks: model.items=/home/ada/items.npy may hold your name; ",
        ),
        ({"data": "f" * 64}, "ml-100k, Net: comparable with the published rows: data: "),
        (
            {"config": {"protocol": {"candidates": 99}}, "deviations": {"candidates": 99}},
            "ml-100k, Net: comparable with the published rows: candidates: default of Net-0, 99 of Net-",
        ),
        (
            {"config": {"protocol": {"select_on": "test"}}},
            "was changed after the run: its deviations name none, its settings select_on=test",
        ),
    ],
)
def test_paths_of_the_machine_and_other_protocols_are_refused(
    fields: dict[str, Any], message: str, tmp_path: Path, results: Path
) -> None:
    folder = tmp_path / "net"
    write_run(folder, 0, **fields)
    describe(folder)
    (failed,) = (line for line in check(folder, results)[1] if line.startswith("FAILED"))
    assert message in failed


def test_a_data_set_without_published_rows_has_nothing_to_compare_with(folder: Path, tmp_path: Path) -> None:
    last = check(folder, tmp_path / "none")[1][-2]
    assert last.endswith(f"comparable with the published rows: {tmp_path / 'none'} has no record of ml-100k")


def test_few_trials_one_seed_and_changed_code_are_notes(tmp_path: Path, results: Path) -> None:
    write_run(tmp_path / "net", 0, environment={"commit": "c0ffee+"}, deviations={"gmf.layers": 2})
    describe(tmp_path / "net", trials=3)
    status, lines = check(tmp_path / "net", results)
    notes = [line.removeprefix("note    ") for line in lines if line.startswith("note")]
    assert (status, notes[:-1]) == (
        0,
        [
            "ml-100k, Net: Fewer than 12 trials (3)",
            "ml-100k, Net: One seed",
            "ml-100k, Net: 1 run (seed 0)",
            "ml-100k, Net: Made with uncommitted changes to the suite (c0ffee+)",
            "Deviations from the default protocol and the paper's models: gmf.layers=2 (Net on ml-100k).",
        ],
    )


def test_runs_are_copied_without_their_other_files_and_without_search_runs(
    tmp_path: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, search_run = (write_run(tmp_path / "runs", seed) for seed in range(2))
    (run / "model.pt").write_bytes(b"0")
    change_record(search_run, test=None)
    add_runs(tmp_path / "net", results, ["Net-*"], tmp_path / "runs")
    assert capsys.readouterr().out == f"note    {search_run} is left out: a search run never ranks the test items\n"
    copied = [path for path in (tmp_path / "net").rglob("*") if path.is_file()]
    assert sorted(copied) == [tmp_path / "net" / "ml-100k" / run.name / name for name in ("ranks.npz", "record.json")]


def test_an_absent_folder_and_an_empty_one_are_named(tmp_path: Path, results: Path) -> None:
    with pytest.raises(UsageError, match="net: there is no such folder; runs="):
        list(check_submission(tmp_path / "net", results))
    assert "there is no" in check(results, results)[1][-1]


def test_metrics_among_all_items_are_checked_against_their_ranks(tmp_path: Path) -> None:
    folder, users = write_run(tmp_path, 0), np.arange(USERS)
    sampled, full = (make_ranks(share, len(users)) for share in (0.5, 0.2))
    save_ranks(folder / "ranks.npz", users, sampled, (users, full))
    change_record(folder, test_all=summarize(full))
    submission.check_run(folder / "record.json")
    change_record(folder, test_all=summarize(sampled))
    with pytest.raises(DataError, match=r"hit@1 all \(expected\) is 0.5000 in record.json, but 0.2000"):
        submission.check_run(folder / "record.json")


def test_other_users_of_any_seed_are_a_fault(tmp_path: Path) -> None:
    users = USERS
    publish_model(tmp_path / "results" / "records" / "table3" / "ml-100k", "sdm", 0.5, users=users)
    folders = [write_run(tmp_path / "net", seed) for seed in range(2)]
    save_ranks(folders[1] / "ranks.npz", np.arange(1, users + 1), make_ranks(0.6, users))
    describe(tmp_path / "net")
    (failed,) = (one for one in submission.check_submission(tmp_path / "net", tmp_path / "results") if "FAILED" in one)
    assert "ranks.npz has other test instances" in failed


def test_a_large_submission_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, 0)
    monkeypatch.setattr(submission, "MAX_MIB", 0.001)
    with pytest.raises(DataError, match="submit fewer runs"):
        submission.check_files(tmp_path)


def test_a_record_with_ties_passes_by_every_policy(tmp_path: Path) -> None:
    folder, ranks = write_run(tmp_path, 0), make_ranks(0.5, USERS, ties=30)
    ranks = Ranks(ranks.above, ranks.tied)
    save_ranks(folder / "ranks.npz", range(USERS), ranks)
    change_record(folder, test=summarize(ranks))
    submission.check_run(folder / "record.json")
