"""Titles and genres, whichever file they come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdmr.datasets import titles
from sdmr.datasets.parsing import DataError
from sdmr.datasets.sources import data_folder
from sdmr.datasets.titles import GENRES, ML_100K_ITEM, U_ITEM, Film, ml_1m_films, ml_100k_films

FLAGS = "|".join("1" if genre in ("Action", "Comedy") else "0" for genre in GENRES)
MONEY_TALKS = Film("Money Talks (1997)", ("Action", "Comedy"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
def test_both_files_of_ml_100k_tell_the_same(folder: Path, name: str, text: str) -> None:
    (folder / "ml-100k" / name).write_text(text)
    assert ml_100k_films() == {876: MONEY_TALKS}
    assert str(MONEY_TALKS) == "Money Talks (1997) [Action, Comedy]"


def test_ml_1m_has_its_own_layout_and_old_letters(folder: Path) -> None:
    text = "1::Toy Story (1995)::Animation|Comedy\n73::Misérables, Les (1995)::Drama|Musical\n"
    (folder / "ml-1m" / "movies.dat").write_bytes(text.encode("iso-8859-1"))
    films = ml_1m_films()
    assert films[1] == Film("Toy Story (1995)", ("Animation", "Comedy"))
    assert films[73].title == "Misérables, Les (1995)"


def test_a_damaged_line_is_named(folder: Path) -> None:
    (folder / "ml-1m" / "movies.dat").write_text("1::Toy Story (1995)::Animation\n2::Jumanji (1995)\n")
    with pytest.raises(DataError, match=r"movies.dat, line 2: expected an item id and 2 fields"):
        ml_1m_films()


@pytest.mark.skipif(not (data_folder() or Path()).joinpath(U_ITEM.name).is_file(), reason="no u.item in SDMR_DATA")
def test_the_films_of_the_papers_example() -> None:
    films = ml_100k_films()
    assert len(films) == 1682
    assert films[876] == films[881] == MONEY_TALKS  # one film under two ids
    assert films[1025] == Film("Fire Down Below (1997)", ("Action", "Drama", "Thriller"))


@pytest.mark.slow
def test_the_wheel_knows_the_same_films(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SDMR_DATA", raising=False)
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path))
    monkeypatch.setattr(titles, "U_ITEM", ML_100K_ITEM)
    assert ml_100k_films()[876] == MONEY_TALKS
