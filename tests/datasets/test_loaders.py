"""All loaders but MovieLens 100K's: made-up files in the published formats, and the true ones if present."""

from __future__ import annotations

import bz2
import gzip
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sdmr.datasets import epinions as epinions_module
from sdmr.datasets import ijcai_15 as ijcai_module
from sdmr.datasets import movielens, netflix, parsing
from sdmr.datasets import ta_feng as ta_feng_module
from sdmr.datasets.epinions import epinions
from sdmr.datasets.ijcai_15 import ijcai_15
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.movielens import ml_1m
from sdmr.datasets.netflix import netflix_sample
from sdmr.datasets.parsing import DataError
from sdmr.datasets.prepare import fingerprint
from sdmr.datasets.sources import cache_folder, data_folder
from sdmr.datasets.split import split
from sdmr.datasets.ta_feng import ta_feng
from sdmr.datasets.tables import csv_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder; made-up files are of any size and checksum."""
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    for module in (movielens, epinions_module, ta_feng_module):
        monkeypatch.setattr(module, "check_totals", lambda *_, **__: None)
    for module in (movielens, epinions_module, ta_feng_module, ijcai_module, netflix):
        monkeypatch.setattr(module, "verify", lambda *_: None)
    return tmp_path


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    packed: bytes = content.encode()
    if path.suffix in (".gz", ".bz2"):
        packed = (gzip if path.suffix == ".gz" else bz2).compress(packed)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("member.csv", content)
    else:
        path.write_bytes(packed)
    return path


def rows(data: Interactions) -> list[tuple[int, int]]:
    return list(zip(data.user_ids[data.users].tolist(), data.item_ids[data.items].tolist(), strict=True))


def test_ml_1m_gives_one_task_by_its_ratings_and_by_its_pairs_in_order(folder: Path) -> None:
    rng = np.random.default_rng(0)
    ratings = [
        (user, int(item), int(rng.integers(5)))
        for user in range(1, 21)
        for item in rng.choice(np.arange(1, 301), size=int(rng.integers(5, 30)), replace=False)
    ]
    file = write(folder / "ml-1m/ratings.dat", "".join(f"{user}::{item}::3::{t}\n" for user, item, t in ratings))
    from_ratings = ml_1m()
    assert from_ratings.times is not None
    assert from_ratings.times.tolist() == [t for _, _, t in ratings]
    file.unlink()
    ordered = sorted(ratings, key=lambda row: (row[0], row[2]))  # stable, as the split sorts
    write(folder / "ml-1m/interactions_chronological.tsv.gz", "".join(f"{row[0]}\t{row[1]}\n" for row in ordered))
    assert fingerprint(split(ml_1m())) == fingerprint(split(from_ratings))


def test_ml_1m_refuses_duplicates(folder: Path) -> None:
    write(folder / "ml-1m/ratings.dat", "1::5::3::10\n2::5::3::10\n1::5::4::11\n")
    with pytest.raises(DataError, match=r"ratings.dat, line 3: user 1, item 5 stands in line 1 already"):
        ml_1m()


@pytest.mark.parametrize("name", ["ratings_data.txt", "ratings_data.txt.bz2", "ratings_data_pairs.tsv.gz"])
def test_epinions_by_every_form(folder: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    pairs = [(1, 100), (1, 9), (1, 100), (7, 9), (7, 100)]
    text = "".join(f"{user}\t{item}\n" if "pairs" in name else f"{user} {item} 4\n" for user, item in pairs)
    write(folder / "epinions" / name, text)
    assert rows(epinions(least=2)) == [(1, 100), (1, 9), (7, 9), (7, 100)]
    assert f"{name}: dropped 1 duplicate rows of 5" in caplog.text
    assert epinions(least=2).times is None
    ordered = epinions(least=2, order="file")
    assert ordered.times is not None
    assert ordered.times.tolist() == [0, 1, 2, 3]


def ta_feng_text(*receipts: tuple[str, str, str]) -> str:
    header = "TRANSACTION_DT,CUSTOMER_ID,AGE_GROUP,PIN_CODE,PRODUCT_SUBCLASS,PRODUCT_ID,AMOUNT,ASSET,SALES_PRICE"
    lines = [header.split(",")] + [[day, user, "", "115", "1", item, "2", "3", "4"] for day, user, item in receipts]
    return "\ufeff" + "".join(",".join(f'"{field}"' for field in line) + "\n" for line in lines)


@pytest.mark.parametrize("name", ["ta_feng.csv.zip", "ta_feng_all_months_merged.csv"])
def test_ta_fengs_baskets_are_customer_days(folder: Path, name: str) -> None:
    receipts = [
        ("12/1/2000", "00000020", "0007"),
        ("2/1/2001", "00000003", "0008"),
        ("12/1/2000", "00000003", "0008"),
        ("12/1/2000", "00000020", "0009"),
        ("2/1/2001", "00000003", "0007"),
        ("2/1/2001", "00000020", "0007"),
    ]
    write(folder / "ta-feng" / name, ta_feng_text(*receipts))
    data = ta_feng(smallest=1, largest=2)
    assert rows(data) == [(int(user), int(item)) for _, user, item in receipts]
    assert data.baskets is not None
    assert data.baskets.tolist() == [2, 1, 0, 2, 1, 3]  # customer 3 before 20, and each one's December before February
    assert rows(ta_feng(smallest=2, largest=2)) == [(20, 7), (3, 8), (20, 9), (3, 7)]
    drawn = ta_feng(smallest=1, largest=2, order="random", split_seed=1)
    assert rows(drawn) != rows(data)
    assert sorted(rows(drawn)) == sorted(rows(data))


def test_ta_feng_names_the_line_of_a_wrong_date(folder: Path) -> None:
    write(folder / "ta-feng/ta_feng.csv.zip", ta_feng_text(("12/1/2000", "1", "7"), ("31/12/2000", "1", "8")))
    with pytest.raises(DataError, match=r"line 3: the date is '31/12/2000', expected M/D/YYYY"):
        ta_feng()


def test_ijcai_15_from_the_log(folder: Path) -> None:
    header = "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n"
    log = ["5,1,9,9,9,1111,0", "5,2,9,9,,1111,2", "5,1,9,9,9,1111,3", "5,1,9,9,9,601,0", "4,1,9,9,,1111,0"]
    write(folder / "ijcai-15/user_log_format1.csv", header + "\n".join(log) + "\n")
    data = ijcai_15(sample=10, smallest=1, largest=9)
    assert rows(data) == [(5, 1), (5, 2), (5, 1), (4, 1)]
    assert data.baskets is not None
    assert data.baskets.tolist() == [2, 2, 1, 0]
    assert rows(ijcai_15(sample=10, smallest=2, largest=9)) == [(5, 1), (5, 2)]
    assert ijcai_15(sample=2, smallest=1, largest=9).n_baskets == 2


def test_ijcai_15_from_sessions(folder: Path) -> None:
    path = write(folder / "ijcai-15/tallM_dataset.csv.gz", "3,4\n0,0:1@2:1\n1,3\n")
    data = ijcai_15(sample=10, smallest=1, largest=9)
    assert rows(data) == [(0, 0), (0, 1), (0, 2), (0, 1), (1, 3)]
    assert data.baskets is not None
    assert data.baskets.tolist() == [0, 0, 1, 1, 2]
    write(path, "3,4\n0,0:1@2:1\n1,3:x\n")
    with pytest.raises(DataError, match=r"line 3: expected user,item:item@item:item of whole numbers"):
        ijcai_15()


MOVIE_1 = "1:\n10,3,2005-12-31\n11,4,2005-11-30\n"
MOVIE_2 = "2:\n10,5,2005-12-01\n12,1,2005-12-02\n"


@pytest.mark.parametrize(
    "files",
    [
        {"training_set/mv_0000001.txt": MOVIE_1, "training_set/mv_0000002.txt": MOVIE_2},
        {"combined_data_1.txt": MOVIE_1 + MOVIE_2},
        {"combined_data_1.txt": MOVIE_1, "combined_data_2.txt": MOVIE_2},
    ],
)
@pytest.mark.parametrize("rows_at_once", [1, 2, 1000])
def test_netflix_by_both_layouts(
    folder: Path, files: dict[str, str], rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "ROWS_AT_ONCE", rows_at_once)
    for name, content in files.items():
        write(folder / "netflix" / name, content)
    data = netflix.netflix("2005-12", least=1)
    assert rows(data) == [(10, 1), (10, 2), (12, 2)]
    assert data.times is not None
    assert (data.times - data.times.min()).tolist() == [30, 0, 1]
    with pytest.raises(DataError, match="no rating is of 2001-01"):
        netflix.netflix("2001-01")
    with pytest.raises(ValueError, match="the month is 'December', expected one such as 2005-12"):
        netflix.netflix("December")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (MOVIE_1 + "11,4\n", 4),
        (MOVIE_1 + "11,6,2005-11-30\n", 4),
        (MOVIE_1 + "x,4,2005-11-30\n", 4),
        (MOVIE_1 + "11,4,2005-13-30\n", 4),
        ("10,3,2005-12-31\n" + MOVIE_1, 1),
    ],
)
def test_netflix_names_the_line_at_fault(folder: Path, content: str, line: int) -> None:
    write(folder / "netflix/combined_data_1.txt", content)
    with pytest.raises(DataError, match=rf"combined_data_1.txt, line {line}: expected user,rating,date"):
        netflix.netflix("2005-12")


def test_netflix_without_its_files_says_where_they_are_looked_for(folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"mv_\*.txt or netflix/combined_data_\*.txt in the folder that SDMR_DATA names"
    ):
        netflix.netflix("2005-12")


TRUE_FILES: list[tuple[str, Callable[[], Interactions], tuple[int, int, int]]] = [
    ("ml-1m/interactions_chronological.tsv.gz", ml_1m, (6040, 3706, 1_000_209)),
    ("epinions/ratings_data_pairs.tsv.gz", epinions, (23_137, 23_585, 461_982)),
    ("ta-feng/ta_feng.csv.zip", ta_feng, (22_851, 22_291, 523_653)),
    ("ijcai-15/tallM_dataset.csv.gz", ijcai_15, (3_058, 9_212, 24_906)),
    ("netflix/subset_3000x3000_user_item_rating.csv.gz", netflix_sample, (2_496, 1_342, 99_272)),
]


@pytest.mark.parametrize(("name", "read", "totals"), TRUE_FILES)
def test_totals_of_the_true_files(name: str, read: Callable[[], Interactions], totals: tuple[int, int, int]) -> None:
    folders = [folder for folder in (data_folder(), cache_folder() / "raw") if folder is not None]
    if not any((folder / name).is_file() for folder in folders):
        pytest.skip(f"{name} is neither in SDMR_DATA nor in the cache")
    data = read()
    assert (data.n_users, data.n_items, len(data)) == totals


def test_epinions_core_iterated_on_the_true_file() -> None:
    if (folder := data_folder()) is None or not (folder / "epinions/ratings_data_pairs.tsv.gz").is_file():
        pytest.skip("Epinions is not in SDMR_DATA")
    data = epinions(iterated=True)
    assert (data.n_users, data.n_items, len(data)) == (20_397, 21_901, 446_891)


@pytest.mark.parametrize(
    ("name", "read", "content"),
    [
        ("ijcai-15/tallM_dataset.csv.gz", ijcai_15, "3,4\n0,0:1@2:1\n"),
        ("netflix/subset_3000x3000_user_item_rating.csv.gz", netflix_sample, "1,2,3\n"),
    ],
)
def test_a_known_file_of_another_checksum_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, read: Callable[[], Interactions], content: str
) -> None:
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    file = write(tmp_path / name, content)
    with pytest.raises(DataError, match=f"{file}: its sha256 is"):
        read()


@pytest.mark.parametrize(
    ("name", "read", "content"),
    [
        ("ml-1m/ratings.dat", ml_1m, "1::5::3::10\n"),
        ("epinions/ratings_data.txt", epinions, "1 5 3\n"),
        ("ta-feng/ta_feng.csv.zip", ta_feng, ta_feng_text(("12/1/2000", "1", "7"))),
    ],
)
def test_a_part_of_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, read: Callable[[], Interactions], content: str
) -> None:
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    file = write(tmp_path / name, content)
    with pytest.raises(DataError, match=f"{file}: found 1 users, 1 items and 1 rows, expected"):
        read()


@pytest.mark.parametrize("read", [epinions, netflix_sample, ta_feng, ijcai_15, partial(csv_file, "mine.csv")])
def test_an_unknown_order_is_refused_before_a_file_is_looked_for(
    folder: Path, read: Callable[..., Interactions]
) -> None:
    with pytest.raises(ValueError, match='order must be "random" or "file", not \'File\''):
        read(order="File")
