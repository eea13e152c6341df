"""What MovieLens tells of its films: titles and genres, for people to read. No run depends on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

from sdmr.datasets.parsing import DataError, open_raw
from sdmr.datasets.sources import Download, RawFile, Wheel, find


@dataclass(frozen=True)
class Film:
    """A film as it is printed."""

    title: str  # with its year
    genres: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.title} [{', '.join(self.genres)}]"


# Of labels that no number depends on, no checksum is asked.
U_ITEM = RawFile(
    name="ml-100k/u.item",
    sha256=None,
    routes=(Download("https://files.grouplens.org/datasets/movielens/ml-100k.zip", "ml-100k/u.item"),),
)
# The same films, title and year in two fields, genres by name.
ML_100K_ITEM = RawFile(
    name="ml-100k/ml-100k.item",
    sha256="51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    routes=(Wheel("recbole==1.2.1", "recbole/dataset_example/ml-100k/ml-100k.item"),),
)
MOVIES_DAT = RawFile(
    name="ml-1m/movies.dat",
    sha256=None,
    routes=(Download("https://files.grouplens.org/datasets/movielens/ml-1m.zip", "ml-1m/movies.dat"),),
)
GENRES = (  # in the order of u.item's last fields
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


def ml_100k_films() -> dict[int, Film]:
    """The film of each item id of MovieLens 100K. Raises DataError if the file cannot be found or read."""
    path = find(U_ITEM, ML_100K_ITEM)
    if path.name == Path(ML_100K_ITEM.name).name:
        return _films(path, "\t", 4, lambda f: Film(f"{f[1]} ({f[2]})", tuple(f[3].split())), "utf-8", header=True)
    return _films(path, "|", 24, lambda f: Film(f[1], tuple(compress(GENRES, (flag == "1" for flag in f[5:])))))


def ml_1m_films() -> dict[int, Film]:
    """The film of each item id of MovieLens 1M. Raises DataError if the file cannot be found or read."""
    return _films(find(MOVIES_DAT), "::", 3, lambda fields: Film(fields[1], tuple(fields[2].split("|"))))


def _films(
    path: Path,
    separator: str,
    n_fields: int,
    film: Callable[[list[str]], Film],
    encoding: str = "iso-8859-1",
    header: bool = False,
) -> dict[int, Film]:
    """The film of each line, by its first field."""
    films = {}
    with open_raw(path) as raw:
        lines = raw.read().splitlines()  # of bytes, which know no other ends of lines than \n and \r
    for number, line in enumerate(lines[header:], start=1 + header):
        fields = line.decode(encoding).split(separator)
        if len(fields) != n_fields or not fields[0].isdigit():
            raise DataError(f"{path}, line {number}: expected an item id and {n_fields - 1} fields after it")
        films[int(fields[0])] = film(fields)
    return films
