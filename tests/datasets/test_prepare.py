from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.parsing import Layout, read_columns
from sdmr.datasets.prepare import fingerprint, prepare
from sdmr.datasets.sources import cache_folder, data_folder
from sdmr.datasets.split import split
from sdmr.datasets.task import Task

calls = 0


def from_file(path: Path, first: int = 0) -> Interactions:
    """Pairs from a file, from row `first` on, over a catalogue of 200 items."""
    global calls
    calls += 1
    table = read_columns(path, Layout({"user": int, "item": int}), ["user", "item"])[first:]
    users, items = table["user"].to_numpy(), table["item"].to_numpy()
    return Interactions(users, items, np.arange(users.max() + 1), np.arange(200))


def ready_task(path: Path) -> Task:
    """A task whose split came with the data."""
    return split(from_file(path), split_seed=7, n_candidates=5)


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "raw.tsv"
    path.write_text("".join(f"{row // 5}\t{row * 7 % 200}\n" for row in range(60)))
    return path


def entries(raw: Path) -> list[Path]:
    return sorted(path for path in (raw.parent / "cache" / "tasks").iterdir())


def reads(read: functools.partial[Interactions] | functools.partial[Task], **settings: int) -> tuple[int, str]:
    """How often the raw file is read for the task, and the task's fingerprint."""
    before = calls
    task = prepare(read, **settings)
    return calls - before, fingerprint(task)


def test_a_task_is_read_and_split_once(raw: Path) -> None:
    read = functools.partial(from_file, raw)
    expected = split(from_file(raw))
    assert reads(read) == (1, fingerprint(expected))
    assert reads(read) == (0, fingerprint(expected))
    task = prepare(read)
    assert task.test.candidates.dtype == expected.test.candidates.dtype == np.int64
    assert task.test.contexts.latest(4).tolist() == expected.test.contexts.latest(4).tolist()
    assert (task.training.matrix != expected.training.matrix).nnz == 0


def test_other_settings_make_another_task(raw: Path) -> None:
    tasks = {
        reads(functools.partial(from_file, raw)),
        reads(functools.partial(from_file, raw, first=5)),
        reads(functools.partial(from_file, raw), split_seed=1),
        reads(functools.partial(from_file, raw), n_candidates=50),
    }
    assert len(tasks) == 4
    assert {count for count, _ in tasks} == {1}


def test_a_changed_raw_file_is_read_anew(raw: Path) -> None:
    read = functools.partial(from_file, raw)
    _, before = reads(read)
    raw.write_text(raw.read_text().replace("\t7\n", "\t8\n"))
    again, after = reads(read)
    assert again == 1
    assert before != after
    assert reads(read) == (0, after)


def test_changed_code_reads_anew(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = functools.partial(from_file, raw)
    reads(read)
    monkeypatch.setattr("sdmr.datasets.prepare._code", lambda function: "of another day")
    assert reads(read)[0] == 1
    assert reads(read)[0] == 0
    assert len(entries(raw)) == 1


@pytest.mark.parametrize("damage", ["cut off", "emptied", "bits"])
def test_a_damaged_entry_is_made_anew(raw: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    read = functools.partial(from_file, raw)
    _, expected = reads(read)
    (entry,) = entries(raw)
    content = entry.read_bytes()
    middle = len(content) // 2
    damaged = {"cut off": content[:middle], "emptied": b"", "bits": content[:middle] + b"?" + content[middle + 1 :]}
    entry.write_bytes(damaged[damage])
    assert reads(read) == (1, expected)
    assert f"{entry} is damaged" in caplog.text
    assert entry.read_bytes() == content
    assert reads(read) == (0, expected)


def test_a_split_that_came_with_the_data_is_kept_as_it_is(raw: Path) -> None:
    read = functools.partial(ready_task, raw)
    expected = fingerprint(ready_task(raw))
    assert reads(read) == (1, expected)
    assert reads(read) == (0, expected)


def test_a_split_that_came_with_the_data_cannot_be_made_in_another_way(raw: Path) -> None:
    with pytest.raises(ValueError, match="comes with its split: n_candidates, test_item cannot be chosen"):
        prepare(functools.partial(ready_task, raw), n_candidates=99, test_item="random")


def test_a_function_without_a_name_is_not_cached(raw: Path) -> None:
    before = calls
    assert fingerprint(prepare(lambda: from_file(raw))) == fingerprint(prepare(lambda: from_file(raw, 0)))
    assert calls - before == 2
    assert not (raw.parent / "cache").exists()


TRUE_FILES = [
    ("movielens.ml_1m", "ml-1m/interactions_chronological.tsv.gz", 15),
    ("epinions.epinions", "epinions/ratings_data_pairs.tsv.gz", 15),
    ("ta_feng.ta_feng", "ta-feng/ta_feng.csv.zip", 30),
]


@pytest.mark.slow
@pytest.mark.parametrize(("read", "file", "seconds"), TRUE_FILES)
def test_the_true_files_are_prepared_soon_and_in_little_memory(
    read: str, file: str, seconds: int, tmp_path: Path
) -> None:
    """From the raw file within so many seconds and 3 GiB, from the cache within 2 seconds; `-s` shows the figures."""
    folders = [folder for folder in (data_folder(), cache_folder() / "raw") if folder is not None]
    if (folder := next((folder for folder in folders if (folder / file).is_file()), None)) is None:
        pytest.skip(f"{file} is neither in SDMR_DATA nor in the cache")
    module, _, name = read.rpartition(".")
    program = f"""
import time
from functools import partial
from sdmr.datasets.prepare import prepare
from sdmr.datasets.{module} import {name}
from sdmr.harness.records import peak_memory
start = time.perf_counter()
prepare(partial({name}))
print(time.perf_counter() - start, peak_memory())
"""
    environment = os.environ | {"SDMR_DATA": str(folder), "SDMR_CACHE": str(tmp_path)}
    for limit in (seconds, 2):
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
        )
        taken, mib = (float(value) for value in done.stdout.split())
        print(f"{name}: {taken:.1f} s of {limit} s, {mib:.0f} MiB")
        assert taken <= limit
        assert mib <= 3 * 1024
