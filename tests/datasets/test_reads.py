"""A task from the cache is one of the files that are there: also those that only the reader's code knows."""

import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sdmr.datasets.interactions import Interactions
from sdmr.datasets.prepare import prepare
from sdmr.datasets.reads import track_reads

n_loads = 0
Column = Callable[[str], list[int]]


def read_by_open(path: str) -> list[int]:
    with open(path) as file:
        return [int(line) for line in file]


def read_by_pandas(path: str) -> list[int]:
    return pd.read_csv(path, header=None)[0].tolist()


def read_by_numpy(path: str) -> list[int]:
    return np.loadtxt(path, dtype=np.int64).tolist()


def read_by_descriptor(path: str) -> list[int]:
    descriptor = os.open(path, os.O_RDONLY)
    content = os.read(descriptor, 1 << 16)
    os.close(descriptor)
    return list(map(int, content.split()))


def read_by_pyarrow(path: str) -> list[int]:
    with pa.memory_map(path) as file:
        return list(map(int, file.read().split()))


READERS = (read_by_open, read_by_pandas, read_by_numpy, read_by_descriptor)


def load_columns(prefix: str, number: int) -> Interactions:
    """Load the columns of PREFIX.users and PREFIX.items."""
    global n_loads
    n_loads += 1
    read = [*READERS, read_by_pyarrow][number]
    return Interactions.from_raw(read(f"{prefix}.users"), read(f"{prefix}.items"))


def load_from_here(number: int) -> Interactions:
    """Load columns whose path no setting names."""
    return load_columns("linked/columns", number)


def load_listed(prefix: str) -> Interactions:
    """Load the columns of all files of a folder that no setting names."""
    users = [user for file in sorted(Path("linked").glob("*.users")) for user in read_by_open(str(file))]
    return Interactions.from_raw(users, read_by_open(f"{prefix}.items")[: len(users)])


def load_by_program(number: int) -> Interactions:
    """Load columns that another program reads, whose path no setting names."""
    global n_loads
    n_loads += 1
    users = read_by_open("linked" + "/columns.users")
    items = subprocess.check_output(["cat", "linked" + "/columns.items"], text=True)
    return Interactions.from_raw(users, list(map(int, items.split())))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make columns in a folder, and a linked folder, below the current one."""
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep" / "folder").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "deep" / "folder")
    write(tmp_path / "linked" / "columns.users", [row // 5 for row in range(60)])
    write(tmp_path / "linked" / "columns.items", [row * 7 % 200 for row in range(60)])
    return tmp_path


def write(path: Path, values: list[int]) -> None:
    path.write_text("".join(f"{value}\n" for value in values))


def count_loads(load: functools.partial[Interactions]) -> int:
    before = n_loads
    prepare(load)
    return n_loads - before


@pytest.mark.parametrize("number", range(len(READERS)))
@pytest.mark.parametrize("load", [load_from_here, functools.partial(load_columns, "linked/columns")])
def test_an_edited_file_that_the_reader_opens_is_read_again(
    folder: Path, load: Callable[..., Interactions], number: int
) -> None:
    call = functools.partial(load, number=number)
    assert [count_loads(call) for _ in range(2)] == [1, 0]
    write(folder / "deep" / "folder" / "columns.items", [row * 7 % 190 for row in range(60)])
    assert [count_loads(call) for _ in range(2)] == [1, 0]


def test_a_file_that_python_does_not_open_counts_if_its_name_begins_with_a_setting(folder: Path) -> None:
    call = functools.partial(load_columns, "linked/columns", len(READERS))
    assert [count_loads(call) for _ in range(2)] == [1, 0]
    write(folder / "deep" / "folder" / "columns.items", [row * 7 % 190 for row in range(60)])
    assert [count_loads(call) for _ in range(2)] == [1, 0]


def test_a_reader_of_files_that_cannot_be_seen_is_called_each_time(folder: Path) -> None:
    assert [count_loads(functools.partial(load_from_here, len(READERS))) for _ in range(2)] == [1, 1]


def test_a_reader_that_starts_another_program_is_called_each_time(folder: Path) -> None:
    assert [count_loads(functools.partial(load_by_program, 0)) for _ in range(2)] == [1, 1]


def test_a_new_file_in_a_folder_that_the_reader_lists_is_read(folder: Path) -> None:
    call = functools.partial(load_listed, "linked/columns")
    assert prepare(call).training.n_users == 12
    write(folder / "linked" / "another.users", [100] * 5)
    (folder / "linked" / "columns.users").unlink()
    write(folder / "linked" / "third.users", [101] * 5)
    assert prepare(call).training.n_users == 2


def test_a_linked_folder_that_a_setting_names_counts_with_its_files(folder: Path) -> None:
    (folder / "links").mkdir()
    (folder / "links" / "one").symlink_to(folder / "deep" / "folder")
    call = functools.partial(load_whole_folder, "links")
    assert [count_loads(call) for _ in range(2)] == [1, 0]
    write(folder / "deep" / "folder" / "columns.items", [row * 7 % 190 for row in range(60)])
    assert count_loads(call) == 1


def load_whole_folder(path: str) -> Interactions:
    return load_columns(f"{path}/one/columns", len(READERS))


def test_a_file_that_the_readers_module_names_counts_though_python_does_not_open_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"user": [row // 5 for row in range(60)], "item": [row * 7 % 200 for row in range(60)]})
    pq.write_table(pa.table(frame), folder / "pairs.parquet")
    code = "import pyarrow.parquet as pq\nfrom sdmr.datasets.interactions import Interactions\n"
    code += "def load():\n    table = pq.read_table('pairs.parquet').to_pandas()\n"
    (folder / "read_pairs.py").write_text(f"{code}    return Interactions.from_table(table)\n")
    monkeypatch.syspath_prepend(folder)
    call = functools.partial(importlib.import_module("read_pairs").load)
    n_items = []
    for share in (1, 2):
        pq.write_table(pa.table(frame.assign(item=frame["item"] // share)), folder / "pairs.parquet")
        n_items.append(prepare(call).training.n_items)
    del sys.modules["read_pairs"]
    assert n_items[1] < n_items[0]


def test_only_files_that_are_opened_for_reading_and_are_no_code_are_tracked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lately_imported.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(folder)
    with track_reads(is_watching=True) as files:
        importlib.import_module("lately_imported")
        for mode in ("w", "w+", "a", "a+"):
            (folder / "written").open(mode).close()
        for path in (Path("/proc/self/stat"), Path(pd.__file__), Path(functools.__file__)):
            path.read_bytes()
        (folder / "linked" / "columns.users").read_text()
        with pytest.raises(FileNotFoundError):
            Path("absent").read_text()
        open(os.open(folder / "linked" / "columns.items", os.O_RDONLY)).close()
    (folder / "written").read_text()
    del sys.modules["lately_imported"]
    columns = {folder / "linked" / f"columns.{name}" for name in ("users", "items")}
    assert files == columns | {folder / "absent"}
    with track_reads() as others:
        (folder / "written").read_text()
    assert others == set()
