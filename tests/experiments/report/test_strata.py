"""Metrics on parts of the test instances."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.split import split
from sdmr.datasets.task import Task
from sdmr.experiments import table
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import parse_options
from sdmr.experiments.report import strata
from sdmr.experiments.report.gaps import measure_test_gaps
from sdmr.harness.metrics import Ranks
from sdmr.harness.records import save_ranks
from tests.experiments.report.commands import call
from tests.experiments.report.records import change_record, write_run

USERS, ITEMS = 40, 30
START = 10**9  # seconds


class FakeRun(NamedTuple):
    task: Task
    data: str = "data"  # as in the records of these tests
    config: dict[str, dict[str, str]] = {"dataset": {"_target_": ""}}  # noqa: RUF012

    def load_task(self) -> Task:
        return self.task


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Interactions:
    """Return histories of 3 to 12 items, the last of which comes 0, 30 or 100,000 s after the one before."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(USERS):
        items = rng.permutation(ITEMS)[: 3 + user % 10]
        times = START + 1000 * np.arange(len(items))
        times[-1] = times[-2] + (0, 30, 100_000)[user % 3]
        rows += [(user, item, time) for item, time in zip(items, times, strict=True)]
    interactions = Interactions.from_raw(*np.array(rows).T)
    task = split(interactions, n_candidates=10)
    monkeypatch.setattr(strata, "compose_task", lambda *_: FakeRun(task))
    monkeypatch.setattr(strata, "bind_reader", lambda _: lambda: interactions)
    return interactions


def publish_sdm(results: Path, above: np.ndarray, model: str = "sdm") -> None:
    folder = results / "records" / "table3" / "ml-100k" / f"{model}-0"
    write_run(folder, "sdm", 0, np.arange(USERS), Ranks(above, np.zeros_like(above)))


def test_ranges_of_time_gaps_end_where_their_names_say() -> None:
    gaps = pd.Series([0, 1, 60, 61, 3600, 3601, 86_400, 86_401.0])
    names = pd.cut(gaps, [-np.inf, *strata.GAPS.values()], labels=list(strata.GAPS)).tolist()
    assert names == ["same time", *["to a minute"] * 2, *["to an hour"] * 2, *["to a day"] * 2, "more than a day"]


def test_parts_have_the_metrics_of_their_instances(data: Interactions, tmp_path: Path) -> None:
    publish_sdm(tmp_path, np.where(np.arange(USERS) % 3 == 1, 0, 60))  # hits where the test item comes 30 s later
    cells = strata.collect_strata(3, tmp_path)
    assert list(cells["stratum"].unique()) == ["time gap", "popularity", "history"]
    gaps = cells[cells["stratum"] == "time gap"].set_index("range")
    assert gaps["hit@10"].to_dict() == {"same time": 0.0, "to a minute": 1.0, "more than a day": 0.0}
    assert gaps["instances"].to_dict() == {"same time": 14, "to a minute": 13, "more than a day": 13}
    task = split(data, n_candidates=10)
    for stratum in ("popularity", "history"):
        parts = cells[cells["stratum"] == stratum]
        assert parts["instances"].sum() == USERS
        for part in parts.rename(columns={"hit@10": "hit"}).itertuples():
            low, _, high = part.range.partition(" to ")
            users = task.training.instances.users
            items = task.training.instances.targets
            number = [
                (users == user).sum() if stratum == "history" else len(set(users[items == target]))
                for user, target in zip(task.test.users, task.test.targets, strict=True)
            ]
            rows = [n for n, count in enumerate(number) if int(low) <= count <= int(high or low)]
            assert part.instances == len(rows)
            assert part.hit == pytest.approx(np.mean([n % 3 == 1 for n in rows]))


def test_the_row_inside_the_papers_grid_has_parts_of_its_own(data: Interactions, tmp_path: Path) -> None:
    publish_sdm(tmp_path, np.zeros(USERS, int))
    publish_sdm(tmp_path, np.full(USERS, 60), "sdm-grid")
    cells = strata.collect_strata(3, tmp_path)
    assert cells.groupby("model")["hit@10"].unique().to_dict() == {"SDM": [1.0], "SDM (paper's grid)": [0.0]}


def test_gaps_are_seconds_whatever_the_unit_of_the_times(data: Interactions) -> None:
    task = split(data, n_candidates=10)
    seconds = measure_test_gaps(task, data)
    assert seconds.tolist() == [(0, 30, 100_000)[user % 3] for user in task.training.user_ids[task.test.users]]
    milliseconds = Interactions.from_raw(data.user_ids[data.users], data.item_ids[data.items], 1000 * data.times)
    assert measure_test_gaps(split(milliseconds, n_candidates=10), milliseconds).tolist() == seconds.tolist()
    days = Interactions.from_raw(data.users, data.items, data.times // 86_400)
    assert measure_test_gaps(split(days, n_candidates=10), days) is None


def test_row_numbers_in_place_of_times_have_no_gaps(
    data: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Interactions.from_raw(data.users, data.items, np.arange(len(data)))
    monkeypatch.setattr(strata, "bind_reader", lambda _: lambda: rows)
    publish_sdm(tmp_path, np.zeros(USERS, dtype=int))
    assert "time gap" not in set(strata.collect_strata(3, tmp_path)["stratum"])


def test_equal_values_are_in_one_part() -> None:
    parts = strata.cut_quarters(np.array([1, 1, 1, 1, 1, 2, 3, 9]))
    assert list(parts) == ["1"] * 5 + ["2", "3 to 9", "3 to 9"]


def test_ranks_of_other_instances_are_refused(
    data: Interactions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_sdm(tmp_path, np.zeros(USERS, dtype=int))
    task = split(data, n_candidates=10)
    monkeypatch.setattr(strata, "compose_task", lambda *_: FakeRun(task, "other"))
    with pytest.raises(DataError, match="its test instances are not those of dataset=ml-100k"):
        strata.collect_strata(3, tmp_path)


def test_command_writes_both_files(data: Interactions, tmp_path: Path) -> None:
    publish_sdm(tmp_path / "results", np.zeros(USERS, dtype=int))
    options = parse_options(table.Options, ["strata=true", f"results={tmp_path / 'results'}"])
    assert table.main(options) == 0
    text = (tmp_path / "results" / "table3-strata.md").read_text()
    assert "## ml-100k, time gap" in text
    assert "same time (14)" in text
    lines = (tmp_path / "results" / "table3-strata.csv").read_text().splitlines()
    assert lines[:2] == [
        "dataset,stratum,range,instances,model,hit@10,NDCG@10,hit@10 all,NDCG@10 all",
        "ml-100k,time gap,same time,14,SDM,1.000000,1.000000,,",
    ]
    for arguments, message in (
        ("number=1 strata=true", "Table 1 has no models"),
        ("strata=true models=sdm", "models"),
    ):
        with pytest.raises(UsageError, match=message):
            call(table, tmp_path, *arguments.split())


def test_metrics_among_all_items_are_those_of_the_ranked_sample(data: Interactions, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "records" / "table3" / "ml-100k" / "sdm-0"
    publish_sdm(tmp_path / "results", np.zeros(USERS, dtype=int))
    rows = np.arange(0, USERS, 2)
    above = np.where(rows % 3 == 1, 0, 60)  # hits where the test item comes 30 s later
    full = (rows, Ranks(above, np.zeros_like(above), others=np.full_like(above, 99)))
    save_ranks(folder / "ranks.npz", np.arange(USERS), Ranks(*np.zeros((2, USERS), dtype=int)), full)
    change_record(folder, test_all={name: {"expected": 0.0} for name in ("hit@10", "NDCG@10")})
    cells = strata.collect_strata(3, tmp_path / "results")
    gaps = cells[cells["stratum"] == "time gap"].set_index("range")
    assert gaps["hit@10 all"].to_dict() == {"same time": 0.0, "to a minute": 1.0, "more than a day": 0.0}
    assert gaps["hit@10"].to_dict() == dict.fromkeys(gaps.index, 1.0)
    assert "## ml-100k, time gap, among all items" in strata.format_strata(3, cells)


def test_metrics_of_parts_are_means_over_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.arange(USERS)
    interactions = Interactions.from_raw(*np.array([(u, (u + n) % 30, 10**9 + n) for u in numbers for n in range(6)]).T)
    task = split(interactions, n_candidates=10)
    monkeypatch.setattr(strata, "compose_task", lambda *_: FakeRun(task))
    monkeypatch.setattr(strata, "bind_reader", lambda _: lambda: interactions)
    for seed, above in ((0, 0), (1, 60)):
        folder = tmp_path / "records" / "table3" / "ml-100k" / f"sdm-{seed}"
        write_run(folder, "sdm", seed, numbers, Ranks(np.full(40, above), np.zeros(40, int)))
    assert strata.collect_strata(3, tmp_path)["hit@10"].unique().tolist() == [0.5]


def test_gap_of_a_users_first_item_is_infinite() -> None:
    rows = [(user, (user + number) % 12, START + 100 * number) for user in range(6) for number in range(4)]
    data = Interactions.from_raw(*np.array(rows).T)
    task = split(data, n_candidates=2, test_item="random")
    is_row = (data.users[:, None] == task.test.users) & (data.items[:, None] == task.test.targets)
    assert data.times is not None
    is_first = data.times[is_row.argmax(axis=0)] == START
    assert task.test.users[is_first].max() > 0
    assert (measure_test_gaps(task, data) == np.where(is_first, np.inf, 100)).all()
