import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from sdmr.datasets import movielens
from sdmr.datasets.download import get_cache_folder, get_data_folder
from sdmr.datasets.errors import DataError
from sdmr.datasets.movielens import (
    GENRES,
    ML_100K,
    ML_100K_ITEM,
    U_ITEM,
    Movie,
    load_ml_1m_movies,
    load_ml_100k,
    load_ml_100k_movies,
)
from sdmr.datasets.prepare import compute_fingerprint
from sdmr.datasets.split import split


def make_u_data_lines() -> list[str]:
    """Make 100,000 lines of 943 users and 1,682 items, all pairs distinct.

    The two counts have no common divisor, so no pair repeats.
    """
    return [f"{row % 943 + 1}\t{row % 1682 + 1}\t{row % 5 + 1}\t{1000 + row // 7}\n" for row in range(100_000)]


@pytest.fixture
def u_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a synthetic u.data of the right size, and accept its checksum."""
    path = tmp_path / "ml-100k" / "u.data"
    path.parent.mkdir()
    path.write_text("".join(make_u_data_lines()))
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(movielens, "ML_100K", dataclasses.replace(ML_100K, sha256=checksum))
    return path


def test_every_rating_of_ml_100k_is_an_interaction(u_data: Path) -> None:
    data = load_ml_100k()
    assert (data.n_users, data.n_items, len(data)) == (943, 1682, 100_000)
    assert data.users[:3].tolist() == [0, 1, 2]
    assert data.items[1681:1684].tolist() == [1681, 0, 1]
    assert data.times is not None
    assert data.times[:8].tolist() == [1000] * 7 + [1001]
    assert data.baskets is None


@pytest.mark.parametrize(
    ("row", "line", "message"),
    [
        (99, "5\t6\t3\n", "line 100: Expected 4 columns, got 3"),
        (99, "5\t6\tgood\t7\n", "column rating: line 100: .* invalid value 'good'"),
        (99, "1\t1\t3\t7\n", "line 100: user 1, item 1 is already in line 1, expected no duplicates"),
        (99, "", "found 943 users, 1,682 items and 99,999 rows, expected 943 users, 1,682 items and 100,000 rows"),
        (0, "944\t1\t3\t7\n", "found 944 users, 1,682 items and 100,000 rows"),
        (99, "100\t100\t5\t9\n", "its sha256 is .*: not the published file"),
    ],
)
def test_damaged_ml_100k_error_names_file_line_and_fault(u_data: Path, row: int, line: str, message: str) -> None:
    lines = make_u_data_lines()
    u_data.write_text("".join([*lines[:row], line, *lines[row + 1 :]]))
    with pytest.raises(DataError, match=f"^{u_data}.*{message}"):
        load_ml_100k()


def test_split_of_the_published_ml_100k_equals_the_golden_one() -> None:
    folders = [folder for folder in (get_data_folder(), get_cache_folder() / "raw") if folder is not None]
    if not any((folder / ML_100K.name).is_file() for folder in folders):
        pytest.skip("ML-100k is neither in SDMR_DATA nor in the cache")
    data = load_ml_100k()
    assert data.user_ids.tolist() == list(range(1, 944))
    task = split(data)
    assert hashlib.sha256(task.test.targets.astype("<i8").tobytes()).hexdigest() == GOLDEN_TEST_TARGETS
    assert compute_fingerprint(task) == GOLDEN_TASK
    # Find the last items by a loop that equals a stable sort on time.
    assert data.times is not None
    last: dict[int, tuple[int, int]] = {}
    for user, item, time in zip(data.users.tolist(), data.items.tolist(), data.times.tolist(), strict=True):
        if user not in last or time >= last[user][0]:
            last[user] = (time, item)
    assert task.test.targets.tolist() == [last[user][1] for user in range(943)]
    assert np.array_equal(task.test.users, np.arange(943))


GOLDEN_TEST_TARGETS = "0b9d0a66e2cfb273f6e90a3a630d9babf6093194ec62c53bae71fea6896ace67"
GOLDEN_TASK = "5b8e8b7618bf855afe135f9a8644d27328c75c391b5dea0734ef38e6f3feee3f"


FLAGS = "|".join("1" if genre in ("Action", "Comedy") else "0" for genre in GENRES)
MONEY_TALKS = Movie("Money Talks (1997)", ("Action", "Comedy"))


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    for name in ("ml-100k", "ml-1m"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("u.item", f"876|Money Talks (1997)|22-Aug-1997||http://us.imdb.com|{FLAGS}\n"),
        ("ml-100k.item", "item_id:token\tmovie_title\trelease_year\tclass\n876\tMoney Talks\t1997\tAction Comedy\n"),
    ],
)
def test_both_movie_files_of_ml_100k_give_the_same_movies(data_folder: Path, name: str, text: str) -> None:
    (data_folder / "ml-100k" / name).write_text(text)
    assert load_ml_100k_movies() == {876: MONEY_TALKS}
    assert str(MONEY_TALKS) == "Money Talks (1997) [Action, Comedy]"


def test_ml_1m_movies_are_read_in_their_layout_and_encoding(data_folder: Path) -> None:
    text = "1::Toy Story (1995)::Animation|Comedy\n73::Misérables, Les (1995)::Drama|Musical\n"
    (data_folder / "ml-1m" / "movies.dat").write_bytes(text.encode("iso-8859-1"))
    movies = load_ml_1m_movies()
    assert movies[1] == Movie("Toy Story (1995)", ("Animation", "Comedy"))
    assert movies[73].title == "Misérables, Les (1995)"


def test_movie_file_error_names_the_damaged_line(data_folder: Path) -> None:
    (data_folder / "ml-1m" / "movies.dat").write_text("1::Toy Story (1995)::Animation\n2::Jumanji (1995)\n")
    with pytest.raises(DataError, match=r"movies.dat: .*line 2: Expected 3 columns, got 2: 2::Jumanji .* item \(int\)"):
        load_ml_1m_movies()


@pytest.mark.skipif(not (get_data_folder() or Path()).joinpath(U_ITEM.name).is_file(), reason="no u.item in SDMR_DATA")
def test_real_movies_of_the_papers_example_are_found() -> None:
    movies = load_ml_100k_movies()
    assert len(movies) == 1682
    assert movies[876] == movies[881] == MONEY_TALKS  # one movie under two ids
    assert movies[1025] == Movie("Fire Down Below (1997)", ("Action", "Drama", "Thriller"))


@pytest.mark.slow
def test_the_real_wheel_holds_the_same_movies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SDMR_DATA", raising=False)
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path))
    monkeypatch.setattr(movielens, "U_ITEM", ML_100K_ITEM)
    assert load_ml_100k_movies()[876] == MONEY_TALKS


def test_genres_are_in_the_order_of_the_published_u_genre() -> None:
    assert "|".join(movielens.GENRES) == (
        "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|Film-Noir|Horror|"
        "Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
    )
