"""All loaders but MovieLens 100K, on synthetic files and on real files if present."""

import bz2
import gzip
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sdmr.datasets import download, ijcai_15, netflix, ta_feng
from sdmr.datasets.download import get_cache_folder, get_data_folder
from sdmr.datasets.epinions import load_epinions
from sdmr.datasets.errors import DataError
from sdmr.datasets.ijcai_15 import load_ijcai_15
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.movielens import load_ml_1m
from sdmr.datasets.netflix import load_netflix_sample
from sdmr.datasets.prepare import compute_fingerprint
from sdmr.datasets.split import split
from sdmr.datasets.ta_feng import load_ta_feng
from sdmr.datasets.tabular import load_csv


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty data folder, and accept files of any size and checksum."""
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    for module in (download, ta_feng):
        monkeypatch.setattr(module, "check_totals", lambda *_: None)
    for module in (download, ta_feng, ijcai_15):
        monkeypatch.setattr(module, "verify_checksum", lambda *_: None)
    return tmp_path


def write_file(path: Path, content: str) -> Path:
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


def get_rows(data: Interactions) -> list[tuple[int, int]]:
    return list(zip(data.user_ids[data.users].tolist(), data.item_ids[data.items].tolist(), strict=True))


def test_ml_1m_ratings_and_chronological_pairs_give_the_same_task(folder: Path) -> None:
    rng = np.random.default_rng(0)
    ratings = [
        (user, int(item), int(rng.integers(5)))
        for user in range(1, 21)
        for item in rng.choice(np.arange(1, 301), size=int(rng.integers(5, 30)), replace=False)
    ]
    file = write_file(folder / "ml-1m/ratings.dat", "".join(f"{user}::{item}::3::{t}\n" for user, item, t in ratings))
    expected = load_ml_1m()
    assert expected.times is not None
    assert expected.times.tolist() == [t for _, _, t in ratings]
    file.unlink()
    ordered = sorted(ratings, key=lambda row: (row[0], row[2]))  # stable, as the split sorts
    write_file(folder / "ml-1m/interactions_chronological.tsv.gz", "".join(f"{row[0]}\t{row[1]}\n" for row in ordered))
    assert compute_fingerprint(split(load_ml_1m())) == compute_fingerprint(split(expected))


def test_titles_of_ml_1m_come_with_the_items_where_there_is_a_sound_file(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_file(folder / "ml-1m/ratings.dat", "1::7::3::10\n2::5::3::10\n")
    assert load_ml_1m().item_titles is None
    write_file(folder / "ml-1m/movies.dat", "5::Heat (1995)::Drama\n6::Sabrina (1995)::Comedy\n")
    titles = load_ml_1m().item_titles
    assert titles is not None
    assert titles.tolist() == ["Heat (1995)", ""]
    write_file(folder / "ml-1m/movies.dat", "5::Heat (1995)\n")
    assert load_ml_1m().item_titles is None
    assert "titles are left out" in caplog.text


def test_ml_1m_with_duplicates_is_an_error(folder: Path) -> None:
    write_file(folder / "ml-1m/ratings.dat", "1::5::3::10\n2::5::3::10\n1::5::4::11\n")
    with pytest.raises(DataError, match=r"ratings.dat, line 3: user 1, item 5 is already in line 1"):
        load_ml_1m()


@pytest.mark.parametrize("name", ["ratings_data.txt", "ratings_data.txt.bz2", "ratings_data_pairs.tsv.gz"])
def test_epinions_reads_every_file_format(folder: Path, name: str) -> None:
    pairs = [(1, 100), (1, 9), (1, 100), (7, 9), (7, 100)]
    text = "".join(f"{user}\t{item}\n" if "pairs" in name else f"{user} {item} 4\n" for user, item in pairs)
    write_file(folder / "epinions" / name, text)
    assert get_rows(load_epinions(min_count=2)) == [(1, 100), (1, 9), (7, 9), (7, 100)]
    assert load_epinions(min_count=2).dropped == {"duplicate_rows": 1}
    assert load_epinions(min_count=2).times is None
    ordered = load_epinions(min_count=2, order="file")
    assert ordered.times is not None
    assert ordered.times.tolist() == [0, 1, 2, 3]


def format_ta_feng(*receipts: tuple[str, str, str]) -> str:
    header = "TRANSACTION_DT,CUSTOMER_ID,AGE_GROUP,PIN_CODE,PRODUCT_SUBCLASS,PRODUCT_ID,AMOUNT,ASSET,SALES_PRICE"
    lines = [header.split(",")] + [[day, user, "", "115", "1", item, "2", "3", "4"] for day, user, item in receipts]
    return "\ufeff" + "".join(",".join(f'"{field}"' for field in line) + "\n" for line in lines)


@pytest.mark.parametrize("name", ["ta_feng.csv.zip", "ta_feng_all_months_merged.csv"])
def test_ta_feng_baskets_are_days_of_a_customer(folder: Path, name: str) -> None:
    receipts = [
        ("12/1/2000", "00000020", "0007"),
        ("2/1/2001", "00000003", "0008"),
        ("12/1/2000", "00000003", "0008"),
        ("12/1/2000", "00000020", "0009"),
        ("2/1/2001", "00000003", "0007"),
        ("2/1/2001", "00000020", "0007"),
    ]
    write_file(folder / "ta-feng" / name, format_ta_feng(*receipts))
    data = load_ta_feng(min_basket=1, max_basket=2)
    assert get_rows(data) == [(int(user), int(item)) for _, user, item in receipts]
    assert data.baskets is not None
    assert data.baskets.tolist() == [2, 1, 0, 2, 1, 3]  # customer 3 before 20, December before February
    assert get_rows(load_ta_feng(min_basket=2, max_basket=2)) == [(20, 7), (3, 8), (20, 9), (3, 7)]
    shuffled = load_ta_feng(min_basket=1, max_basket=2, order="random", split_seed=1)
    assert get_rows(shuffled) != get_rows(data)
    assert sorted(get_rows(shuffled)) == sorted(get_rows(data))


def test_ta_feng_error_names_the_line_of_a_wrong_date(folder: Path) -> None:
    write_file(folder / "ta-feng/ta_feng.csv.zip", format_ta_feng(("12/1/2000", "1", "7"), ("31/12/2000", "1", "8")))
    with pytest.raises(DataError, match=r"line 3: date is '31/12/2000', expected M/D/YYYY"):
        load_ta_feng()


def test_ijcai_15_reads_the_log(folder: Path) -> None:
    header = "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n"
    log = ["5,1,9,9,9,1111,0", "5,2,9,9,,1111,2", "5,1,9,9,9,1111,3", "5,1,9,9,9,601,0", "4,1,9,9,,1111,0"]
    write_file(folder / "ijcai-15/user_log_format1.csv", header + "\n".join(log) + "\n")
    data = load_ijcai_15(sample=10, min_basket=1, max_basket=9)
    assert get_rows(data) == [(5, 1), (5, 2), (5, 1), (4, 1)]
    assert data.baskets is not None
    assert data.baskets.tolist() == [2, 2, 1, 0]
    assert get_rows(load_ijcai_15(sample=10, min_basket=2, max_basket=9)) == [(5, 1), (5, 2)]
    assert load_ijcai_15(sample=2, min_basket=1, max_basket=9).n_baskets == 2


def test_ijcai_15_reads_the_sessions(folder: Path) -> None:
    path = write_file(folder / "ijcai-15/tallM_dataset.csv.gz", "3,4\n0,0:1@2:1\n1,3\n")
    data = load_ijcai_15(sample=10, min_basket=1, max_basket=9)
    assert get_rows(data) == [(0, 0), (0, 1), (0, 2), (0, 1), (1, 3)]
    assert data.baskets is not None
    assert data.baskets.tolist() == [0, 0, 1, 1, 2]
    write_file(path, "3,4\n0,0:1@2:1\n1,3:x\n")
    with pytest.raises(DataError, match=r"line 3: sessions is '3:x', expected item:item@item:item of whole numbers"):
        load_ijcai_15()


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
@pytest.mark.parametrize("chunk_rows", [1, 2, 1000])
def test_netflix_reads_both_layouts(
    folder: Path, files: dict[str, str], chunk_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netflix, "CHUNK_ROWS", chunk_rows)
    for name, content in files.items():
        write_file(folder / "netflix" / name, content)
    data = netflix.load_netflix("2005-12", min_count=1)
    assert get_rows(data) == [(10, 1), (10, 2), (12, 2)]
    assert data.times is not None
    assert (data.times - data.times.min()).tolist() == [30, 0, 1]
    with pytest.raises(DataError, match="no rating is of 2001-01"):
        netflix.load_netflix("2001-01")
    with pytest.raises(ValueError, match="the month is 'December', expected one such as 2005-12"):
        netflix.load_netflix("December")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (MOVIE_1 + "11,4\n", 4),
        (MOVIE_1 + "11,6,2005-11-30\n", 4),
        (MOVIE_1 + "x,4,2005-11-30\n", 4),
        (MOVIE_1 + "1.5,4,2005-11-30\n", 4),
        (MOVIE_1 + "1e300,4,2005-11-30\n", 4),
        (MOVIE_1 + "9" * 5000 + ",4,2005-11-30\n", 4),
        (MOVIE_1 + "11,4,2005-13-30\n", 4),
        ("10,3,2005-12-31\n" + MOVIE_1, 1),
    ],
)
def test_netflix_error_names_the_wrong_line(folder: Path, content: str, line: int) -> None:
    write_file(folder / "netflix/combined_data_1.txt", content)
    with pytest.raises(DataError, match=rf"combined_data_1.txt, line {line}: expected user,rating,date"):
        netflix.load_netflix("2005-12")


def test_an_empty_netflix_file_is_an_error_of_one_line(folder: Path) -> None:
    write_file(folder / "netflix/training_set/mv_0000001.txt", "")
    with pytest.raises(DataError, match=r"mv_0000001\.txt: .*expected user,rating,date") as error:
        netflix.load_netflix("2005-12")
    assert "\n" not in str(error.value)


def test_netflix_error_without_files_names_the_folder_and_the_patterns(folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"mv_\*.txt or netflix/combined_data_\*.txt in the folder that SDMR_DATA names"
    ):
        netflix.load_netflix("2005-12")


REAL_FILES: list[tuple[str, Callable[[], Interactions], tuple[int, int, int]]] = [
    ("ml-1m/interactions_chronological.tsv.gz", load_ml_1m, (6040, 3706, 1_000_209)),
    ("epinions/ratings_data_pairs.tsv.gz", load_epinions, (23_137, 23_585, 461_982)),
    ("ta-feng/ta_feng.csv.zip", load_ta_feng, (22_851, 22_291, 523_653)),
    ("ijcai-15/tallM_dataset.csv.gz", load_ijcai_15, (3_058, 9_212, 24_906)),
    ("netflix/subset_3000x3000_user_item_rating.csv.gz", load_netflix_sample, (2_496, 1_342, 99_272)),
]


@pytest.mark.parametrize(("name", "load", "totals"), REAL_FILES)
def test_real_files_have_the_published_totals(
    name: str, load: Callable[[], Interactions], totals: tuple[int, int, int]
) -> None:
    folders = [folder for folder in (get_data_folder(), get_cache_folder() / "raw") if folder is not None]
    if not any((folder / name).is_file() for folder in folders):
        pytest.skip(f"{name} is neither in SDMR_DATA nor in the cache")
    data = load()
    assert (data.n_users, data.n_items, len(data)) == totals


def test_iterative_k_core_of_the_real_epinions_has_the_documented_totals() -> None:
    if (folder := get_data_folder()) is None or not (folder / "epinions/ratings_data_pairs.tsv.gz").is_file():
        pytest.skip("Epinions is not in SDMR_DATA")
    data = load_epinions(iterative=True)
    assert (data.n_users, data.n_items, len(data)) == (20_397, 21_901, 446_891)


@pytest.mark.parametrize(
    ("name", "load", "content"),
    [
        ("ijcai-15/tallM_dataset.csv.gz", load_ijcai_15, "3,4\n0,0:1@2:1\n"),
        ("netflix/subset_3000x3000_user_item_rating.csv.gz", load_netflix_sample, "1,2,3\n"),
    ],
)
def test_a_file_with_another_checksum_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, load: Callable[[], Interactions], content: str
) -> None:
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    file = write_file(tmp_path / name, content)
    with pytest.raises(DataError, match=f"{file}: its sha256 is"):
        load()


@pytest.mark.parametrize(
    ("name", "load", "content"),
    [
        ("ml-1m/ratings.dat", load_ml_1m, "1::5::3::10\n"),
        ("epinions/ratings_data.txt", load_epinions, "1 5 3\n"),
        ("ta-feng/ta_feng.csv.zip", load_ta_feng, format_ta_feng(("12/1/2000", "1", "7"))),
    ],
)
def test_an_incomplete_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, load: Callable[[], Interactions], content: str
) -> None:
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    file = write_file(tmp_path / name, content)
    with pytest.raises(DataError, match=f"{file}: found 1 users, 1 items and 1 rows, expected"):
        load()


@pytest.mark.parametrize(
    "load", [load_epinions, load_netflix_sample, load_ta_feng, load_ijcai_15, partial(load_csv, "mine.csv")]
)
def test_an_unknown_order_is_an_error_before_any_file_is_searched(
    folder: Path, load: Callable[..., Interactions]
) -> None:
    with pytest.raises(ValueError, match=r"order must be .random. or .file., not 'File'"):
        load(order="File")


def test_the_seed_orders_the_baskets_of_ta_feng(folder: Path) -> None:
    receipts = [("12/1/2000", "3", str(item)) for item in range(12)]
    write_file(folder / "ta-feng/ta_feng.csv.zip", format_ta_feng(*receipts))
    orders = [get_rows(load_ta_feng(order="random", split_seed=seed)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_the_last_day_of_a_customer_is_not_the_first_of_the_next_one(folder: Path) -> None:
    receipts = [("12/1/2000", "3", "7"), ("12/2/2000", "3", "8"), ("12/1/2000", "4", "9"), ("12/2/2000", "4", "7")]
    write_file(folder / "ta-feng/ta_feng.csv.zip", format_ta_feng(*receipts))
    data = load_ta_feng(min_basket=1)
    assert data.baskets is not None
    assert data.baskets.tolist() == [0, 1, 2, 3]


def test_the_seed_samples_and_orders_the_baskets_of_ijcai_15(folder: Path) -> None:
    sessions = "".join(f"{user},{':'.join(str(10 * user + n) for n in range(6))}\n" for user in range(20))
    write_file(folder / "ijcai-15/tallM_dataset.csv.gz", "20,120\n" + sessions)
    samples = [set(load_ijcai_15(sample=5, split_seed=seed).user_ids.tolist()) for seed in (0, 0, 1)]
    assert samples[0] == samples[1] != samples[2]
    orders = [get_rows(load_ijcai_15(order="random", split_seed=seed)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


def test_min_count_of_epinions_is_one_pass_unless_it_is_iterative(folder: Path) -> None:
    pairs = [(0, 0), (0, 1), (1, 0), (1, 2), (5, 7), (5, 8), (6, 7), (6, 8)]
    write_file(folder / "epinions/ratings_data.txt", "".join(f"{user} {item} 4\n" for user, item in pairs))
    assert get_rows(load_epinions(min_count=2)) == [(0, 0), (1, 0), *pairs[4:]]
    assert get_rows(load_epinions(min_count=2, iterative=True)) == pairs[4:]


def test_min_count_of_netflix_is_iterative_unless_it_is_one_pass(folder: Path) -> None:
    write_file(folder / "netflix/combined_data_1.txt", MOVIE_1 + MOVIE_2)
    assert get_rows(netflix.load_netflix("2005-12", min_count=2, iterative=False)) == [(10, 2)]
    assert len(netflix.load_netflix("2005-12", min_count=2)) == 0
