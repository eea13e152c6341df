import errno
import functools
import importlib
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sdmr.datasets.download import get_cache_folder, get_data_folder
from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.parsing import Layout, read_columns
from sdmr.datasets.prepare import compute_fingerprint, prepare
from sdmr.datasets.split import split
from sdmr.datasets.tabular import load_csv, load_frame
from sdmr.datasets.task import Task

n_loads = 0


def load_from_file(path: Path, first: int = 0) -> Interactions:
    """Load pairs from row `first` on, over a catalog of 200 items."""
    global n_loads
    n_loads += 1
    table = read_columns(path, Layout({"user": int, "item": int}), ["user", "item"])[first:]
    users, items = table["user"].to_numpy(), table["item"].to_numpy()
    return Interactions(users, items, np.arange(users.max() + 1), np.arange(200))


def load_ready_task(path: Path) -> Task:
    """Load a task whose split comes with the data."""
    return split(load_from_file(path), split_seed=7, n_candidates=5)


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "raw.tsv"
    path.write_text("".join(f"{row // 5}\t{row * 7 % 200}\n" for row in range(60)))
    return path


def list_cache_files(raw: Path) -> list[Path]:
    return sorted(path for path in (raw.parent / "cache" / "tasks").iterdir())


def count_loads(load: functools.partial[Interactions] | functools.partial[Task], **settings: int) -> tuple[int, str]:
    """Count the loads that the task needs, and return its fingerprint."""
    old = n_loads
    task = prepare(load, **settings)
    return n_loads - old, compute_fingerprint(task)


def test_a_task_is_loaded_and_split_once(raw: Path) -> None:
    load = functools.partial(load_from_file, raw)
    expected = split(load_from_file(raw))
    assert count_loads(load) == (1, compute_fingerprint(expected))
    assert count_loads(load) == (0, compute_fingerprint(expected))
    task = prepare(load)
    assert task.test.candidates.dtype == expected.test.candidates.dtype == np.int64
    assert task.test.contexts.last_n(4).tolist() == expected.test.contexts.last_n(4).tolist()
    assert (task.training.matrix != expected.training.matrix).nnz == 0


def load_with_times(path: Path) -> Interactions:
    data = load_from_file(path)
    return replace(data, items=data.items % 25, times=np.arange(60) * 7 % 60)


def test_a_task_that_is_split_by_time_is_cached_with_contexts_and_ranked_items_of_its_own(raw: Path) -> None:
    load, options = functools.partial(load_with_times, raw), {"test_item": "global-time", "validation_cut": 0.6}
    first, cached = prepare(load, **options), prepare(load, **options)
    assert compute_fingerprint(first) == compute_fingerprint(cached)
    assert first is not cached
    for task in (first, cached):
        assert len(task.test.contexts.items) > len(task.training.instances)
    for side in ("validation", "test"):
        sides = [task.test if side == "test" else task.training.validation for task in (first, cached)]
        assert sides[0].ranked_items.tolist() == sides[1].ranked_items.tolist()
        assert sides[0].contexts.last_n(9).tolist() == sides[1].contexts.last_n(9).tolist()
    assert (first.seen != cached.seen).nnz == 0


def test_other_settings_make_another_task(raw: Path) -> None:
    tasks = {
        count_loads(functools.partial(load_from_file, raw)),
        count_loads(functools.partial(load_from_file, raw, first=5)),
        count_loads(functools.partial(load_from_file, raw), split_seed=1),
        count_loads(functools.partial(load_from_file, raw), n_candidates=50),
    }
    assert len(tasks) == 4
    assert {count for count, _ in tasks} == {1}


def test_contexts_with_validation_items_come_from_the_cache_too(raw: Path) -> None:
    load, tasks = functools.partial(load_from_file, raw), []
    for expected in (1, 0):
        before = n_loads
        tasks.append(prepare(load, test_context="with-validation"))
        assert n_loads - before == expected
    assert compute_fingerprint(tasks[0]) == compute_fingerprint(tasks[1]) != compute_fingerprint(prepare(load))


def test_a_changed_raw_file_is_loaded_again(raw: Path) -> None:
    load = functools.partial(load_from_file, raw)
    _, old = count_loads(load)
    raw.write_text(raw.read_text().replace("\t7\n", "\t8\n"))
    count, new = count_loads(load)
    assert count == 1
    assert old != new
    assert count_loads(load) == (0, new)


def test_changed_code_loads_the_data_again(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = functools.partial(load_from_file, raw)
    count_loads(load)
    monkeypatch.setattr("sdmr.datasets.prepare._hash_code", lambda function: "other code")
    assert count_loads(load)[0] == 1
    assert count_loads(load)[0] == 0
    assert len(list_cache_files(raw)) == 1


@pytest.mark.parametrize(
    ("reader", "helper"),
    [("import prepared_helper", "prepared_helper"), ("from .helper import FIRST", "prepared_package/helper")],
)
def test_an_edited_helper_of_a_reader_loads_the_data_again(
    reader: str, helper: str, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = raw.parent / "prepared_package"
    package.mkdir()
    (package / "__init__.py").touch()
    code = f"{reader}\nfrom {__name__} import load_from_file\ndef load(path):\n    return load_from_file(path)\n"
    (package / "mine.py").write_text(code)
    monkeypatch.syspath_prepend(raw.parent)
    monkeypatch.chdir(raw.parent)
    counts = []
    for value in (1, 1, 2):
        (raw.parent / f"{helper}.py").write_text(f"FIRST = {value}\n")
        load = importlib.import_module("prepared_package.mine").load
        counts.append(count_loads(functools.partial(load, raw))[0])
    for name in [name for name in sys.modules if name.startswith("prepared_")]:
        del sys.modules[name]
    assert counts == [1, 0, 1]


def test_a_reader_of_a_notebook_is_called_each_time(raw: Path) -> None:
    cell = "def load(path):\n    return load_from_file(path)\n"
    notebook = {"__name__": "__main__", "load_from_file": load_from_file}
    exec(compile(cell, "<cell>", "exec"), notebook)
    load = functools.partial(notebook["load"], raw)  # type: ignore[call-overload]
    assert [count_loads(load)[0] for _ in range(2)] == [1, 1]


@pytest.mark.parametrize("damage", ["truncated", "emptied", "text", "array", "bits"])
def test_a_damaged_cache_file_is_created_again(raw: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    load = functools.partial(load_from_file, raw)
    _, expected = count_loads(load)
    (path,) = list_cache_files(raw)
    content = path.read_bytes()
    middle = len(content) // 2
    damaged = {"truncated": content[:middle], "emptied": b"", "text": b"user,item"}
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (0,)}".ljust(69) + b"\n"
    damaged["array"] = b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header
    damaged["bits"] = content[:middle] + b"?" + content[middle + 1 :]
    path.write_bytes(damaged[damage])
    assert count_loads(load) == (1, expected)
    assert f"{path} is damaged and is created again\n" in caplog.text  # without NumPy's advice on pickles
    assert path.read_bytes() == content
    assert count_loads(load) == (0, expected)


def test_the_report_and_the_ids_come_from_the_cache_too(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw.with_suffix(".csv").write_text("user,item\nann,1\nann,1\n" + raw.read_text().replace("\t", ","))
    load = functools.partial(load_csv, path=str(raw.with_suffix(".csv")))
    tasks = [prepare(load), prepare(load)]
    assert [dict(task.report) for task in tasks] == [
        {"duplicate_rows": 1, "users_that_only_train": 1, "users_with_fewer_candidates": 12}
    ] * 2
    message = "raw.csv: 1 duplicate rows, 1 users that only train, 12 users with fewer candidates"
    assert caplog.text.count(message) == 2
    for name in ("user_ids", "item_ids"):
        made, cached = (getattr(task.training, name) for task in tasks)
        assert made.dtype == cached.dtype
        assert made.tolist() == cached.tolist()
    assert tasks[1].test.n_candidates is not None
    assert compute_fingerprint(tasks[0]) == compute_fingerprint(tasks[1])


def test_data_that_leaves_nothing_to_hold_out_is_an_error_that_names_the_file(raw: Path) -> None:
    raw.with_suffix(".csv").write_text("user,item\nann,1\nbob,1\n")
    with pytest.raises(DataError, match=r"raw\.csv: no user has 3 interactions or more"):
        prepare(functools.partial(load_csv, path=str(raw.with_suffix(".csv"))))


def test_users_who_have_every_item_are_the_reason_if_nothing_can_be_held_out() -> None:
    with pytest.raises(DataError, match=r"no user has 3 .* and lacks an item \(9 users have every item\), so"):
        prepare(load_complete)


def load_complete() -> Interactions:
    """Load nine users who have every item."""
    return Interactions.from_raw(np.arange(9).repeat(5), np.tile(np.arange(5), 9))


@pytest.mark.parametrize("ids", [[1, 2**63], [2**64 - 1, 2**63], [-1, 2]])
def test_integer_ids_of_64_bits_come_from_the_cache_as_they_were(raw: Path, ids: list[int]) -> None:
    frame = pd.DataFrame({"user": np.array(ids)[[0] * 4 + [1] * 4], "item": [1, 2, 3, 4, 2, 3, 4, 5]})
    frame = frame.astype({"user": np.uint64 if min(ids) > 0 else np.int64})
    frame.to_parquet(raw.with_suffix(".parquet"))
    load = functools.partial(load_csv, path=str(raw.with_suffix(".parquet")))
    for _ in range(2):
        assert prepare(load).training.user_ids.tolist() == sorted(ids)  # type: ignore[union-attr]


def fill_disk(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_cache_that_cannot_be_written_is_a_warning(
    raw: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = functools.partial(load_from_file, raw)
    _, expected = count_loads(load)
    (path,) = list_cache_files(raw)
    path.unlink()
    path.mkdir()
    assert count_loads(load) == (1, expected)
    assert f"{path} cannot be written" in caplog.text
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill_disk)
        assert count_loads(load) == (1, expected)
    assert "No space left on device" in caplog.text
    assert list_cache_files(raw) == [path]
    path.rmdir()
    path.parent.rmdir()
    path.parent.touch()
    assert count_loads(load) == (1, expected)


def test_what_a_killed_process_was_writing_is_removed_from_the_cache(raw: Path) -> None:
    load = functools.partial(load_from_file, raw)
    count_loads(load)
    (path,) = list_cache_files(raw)
    old, new = (path.with_name(f".{path.name}.{name}") for name in ("old", "new"))
    for litter in (old, new):
        litter.touch()
    os.utime(old, (0, 0))
    count_loads(load, split_seed=1)
    assert not old.exists()
    assert new.exists()  # another process may be at work on it


def test_a_split_that_comes_with_the_data_is_used_unchanged(raw: Path) -> None:
    load = functools.partial(load_ready_task, raw)
    expected = compute_fingerprint(load_ready_task(raw))
    assert count_loads(load) == (1, expected)
    assert count_loads(load) == (0, expected)


def test_split_options_for_data_with_its_split_are_an_error(raw: Path) -> None:
    with pytest.raises(ValueError, match="comes with its split: n_candidates, test_item cannot be chosen"):
        prepare(functools.partial(load_ready_task, raw), n_candidates=99, test_item="random")


def test_a_lambda_is_not_cached(raw: Path) -> None:
    old = n_loads
    assert compute_fingerprint(prepare(lambda: load_from_file(raw))) == compute_fingerprint(
        prepare(lambda: load_from_file(raw, 0))
    )
    assert n_loads - old == 2
    assert not (raw.parent / "cache").exists()


REAL_FILES = [
    ("movielens.load_ml_1m", "ml-1m/interactions_chronological.tsv.gz", 15),
    ("epinions.load_epinions", "epinions/ratings_data_pairs.tsv.gz", 15),
    ("ta_feng.load_ta_feng", "ta-feng/ta_feng.csv.zip", 30),
]


@pytest.mark.slow
@pytest.mark.parametrize(("load", "file", "seconds"), REAL_FILES)
def test_real_files_are_prepared_within_time_and_memory_limits(
    load: str, file: str, seconds: int, tmp_path: Path
) -> None:
    """Check the limits: 3 GiB, `seconds` from the raw file, 2 seconds from the cache.

    The option `-s` shows the measurements.
    """
    folders = [folder for folder in (get_data_folder(), get_cache_folder() / "raw") if folder is not None]
    if (folder := next((folder for folder in folders if (folder / file).is_file()), None)) is None:
        pytest.skip(f"{file} is neither in SDMR_DATA nor in the cache")
    module, _, name = load.rpartition(".")
    program = f"""
import time
from functools import partial
from sdmr.datasets.prepare import prepare
from sdmr.datasets.{module} import {name}
from sdmr.harness.records import get_peak_memory
start = time.perf_counter()
prepare(partial({name}))
print(time.perf_counter() - start, get_peak_memory())
"""
    environment = os.environ | {"SDMR_DATA": str(folder), "SDMR_CACHE": str(tmp_path)}
    for limit in (seconds, 2):
        process = subprocess.run(
            [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
        )
        elapsed, mib = (float(value) for value in process.stdout.split())
        print(f"{name}: {elapsed:.1f} s of {limit} s, {mib:.0f} MiB")
        assert elapsed <= limit
        assert mib <= 3 * 1024


def load_by_itself(path: Path) -> Interactions:
    """Load pairs without the suite's functions, which note what they read."""
    rows = np.loadtxt(path, dtype=np.int64, ndmin=2)
    return Interactions.from_raw(rows[:, 0], rows[:, 1])


def test_a_file_that_the_settings_name_counts_also_if_the_reader_opens_it_by_itself(raw: Path) -> None:
    load = functools.partial(load_by_itself, raw)
    before = compute_fingerprint(prepare(load))
    raw.write_text("".join(raw.read_text().splitlines(keepends=True)[:30]))
    assert compute_fingerprint(prepare(load)) != before


def load_all_by_itself(paths: dict[str, list[Path]]) -> Interactions:
    """Load the pairs of files that a list in a mapping names."""
    return load_by_itself(paths["train"][0])


def test_a_file_that_a_list_or_a_mapping_names_counts_too(raw: Path) -> None:
    load = functools.partial(load_all_by_itself, {"train": [raw]})
    before = compute_fingerprint(prepare(load))
    raw.write_text("".join(raw.read_text().splitlines(keepends=True)[:30]))
    assert compute_fingerprint(prepare(load)) != before


def test_the_same_relative_path_in_another_folder_is_other_data(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, fingerprints = raw.read_text().splitlines(keepends=True), []
    for name, text in (("one", "".join(lines)), ("two", "".join(lines[:30]))):
        folder = raw.parent / name
        folder.mkdir()
        (folder / "pairs.txt").write_text(text)
        monkeypatch.chdir(folder)
        fingerprints.append(compute_fingerprint(prepare(functools.partial(load_by_itself, Path("pairs.txt")))))
    assert fingerprints[0] != fingerprints[1]


def load_folder(path: Path) -> Interactions:
    """Load the pairs of all files below a folder."""
    global n_loads
    n_loads += 1
    rows = np.concatenate([np.loadtxt(file, dtype=np.int64, ndmin=2) for file in sorted(path.rglob("*.txt"))])
    return Interactions.from_raw(rows[:, 0], rows[:, 1])


def test_files_at_any_depth_of_a_folder_that_the_settings_name_count(
    raw: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = raw.parent / "parts"
    (folder / "deep" / "deeper").mkdir(parents=True)
    lines = raw.read_text().splitlines(keepends=True)
    (folder / "deep" / "one.txt").write_text("".join(lines[:30]))
    load = functools.partial(load_folder, folder)
    assert count_loads(load)[0] == 1
    assert count_loads(load)[0] == 0
    (folder / "deep" / "one.txt").write_text("".join(lines[:40]))
    assert count_loads(load)[0] == 1
    (folder / "deep" / "deeper" / "two.txt").write_text("".join(lines[40:]))
    assert count_loads(load)[0] == 1
    assert count_loads(load)[0] == 0
    monkeypatch.setattr("sdmr.datasets.prepare.MAX_NAMED_FILES", 3)
    (folder / "deep" / "one.txt").write_text("".join(lines[:20]))
    assert [count_loads(load)[0] for _ in range(2)] == [1, 1]
    assert "folders of more than 3 files: the task is not cached" in caplog.text


def test_a_table_that_differs_from_another_one_in_its_middle_is_another_task(raw: Path) -> None:
    pairs = np.random.default_rng(0).permutation(30 * 50)[:600]
    frame = pd.DataFrame({"user": pairs // 50, "item": pairs % 50})
    other = frame.assign(item=np.where(frame.index // 100 == 3, 50 + frame.index, frame["item"]))
    tasks = [prepare(functools.partial(load_frame, one)) for one in (frame, other)]
    assert compute_fingerprint(tasks[0]) != compute_fingerprint(tasks[1])


def load_titled(path: Path) -> Interactions:
    table = read_columns(path, Layout({"user": int, "item": int}))
    data = Interactions.from_table(table)
    return replace(data, item_titles=np.array([f"title {item}" for item in data.item_ids], dtype=object))


def test_titles_come_from_the_cache_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    (tmp_path / "raw.tsv").write_text("".join(f"{row // 5}\t{row * 7 % 200}\n" for row in range(60)))
    tasks = [prepare(partial(load_titled, tmp_path / "raw.tsv")) for _ in range(2)]
    titles = [task.training.item_titles for task in tasks]
    assert titles[0] is not titles[1]
    assert titles[0] is not None
    assert titles[1] is not None
    assert titles[0].tolist() == titles[1].tolist()
