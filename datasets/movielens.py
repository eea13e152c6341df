"""MovieLens 100K and 1M (Harper & Konstan, ACM TiiS 2015): ratings, and titles with genres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

from sdmr.datasets.download import Download, RawFile, Wheel, fetch, verify_checksum
from sdmr.datasets.errors import DataError
from sdmr.datasets.filters import use_file_order
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.parsing import Layout, check_no_duplicates, check_totals, open_raw, read_columns, to_interactions

_TERMS = (
    "MovieLens data: for research, not for commercial use, not to be redistributed; cite Harper & Konstan, "
    "The MovieLens Datasets, ACM TiiS 5(4), 2015. Full terms: https://files.grouplens.org/datasets/movielens/"
)
_ML_100K_ZIP = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
_ML_1M_ZIP = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
_RECBOLE = "recbole==1.2.1"

ML_100K = RawFile(
    name="ml-100k/u.data",
    sha256="06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    routes=(
        Download(_ML_100K_ZIP, "ml-100k/u.data"),
        # The same lines, byte for byte, below a header.
        Wheel(_RECBOLE, "recbole/dataset_example/ml-100k/ml-100k.inter", header=True),
    ),
    terms=_TERMS,
)
ML_1M = RawFile(
    name="ml-1m/ratings.dat",
    sha256=None,
    routes=(
        Download(
            _ML_1M_ZIP,
            "ml-1m/ratings.dat",
            sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        ),
    ),
    terms=_TERMS,
)
# Every pair of ratings.dat without its time: users ascending, each user's rows in chronological order.
ML_1M_PAIRS = RawFile(
    name="ml-1m/interactions_chronological.tsv.gz",
    sha256="91a81f350fc93ba6f2d9b8083f472f21c333aaaa492f0a421f50b7e5533f82a3",
)

_U_DATA_LAYOUT = Layout({"user": int, "item": int, "rating": int, "time": int})
_RATINGS_LAYOUT = Layout({"user": int, "item": int, "rating": int, "time": int}, separator="::")
_PAIRS_LAYOUT = Layout({"user": int, "item": int})

# Files of titles and genres. No result depends on them, so their checksums are optional.
U_ITEM = RawFile(name="ml-100k/u.item", sha256=None, routes=(Download(_ML_100K_ZIP, "ml-100k/u.item"),))
# The same movies with title and year in two fields, and genres by name.
ML_100K_ITEM = RawFile(
    name="ml-100k/ml-100k.item",
    sha256="51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    routes=(Wheel(_RECBOLE, "recbole/dataset_example/ml-100k/ml-100k.item"),),
)
MOVIES_DAT = RawFile(name="ml-1m/movies.dat", sha256=None, routes=(Download(_ML_1M_ZIP, "ml-1m/movies.dat"),))

GENRES = (  # in the order of the last fields of u.item
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


def load_ml_100k() -> Interactions:
    """Load MovieLens 100K: 943 users, 1,682 items, 100,000 interactions.

    Every rating is an interaction. Times are in seconds.

    Raises:
        DataError: The file cannot be found, or is not the published one.
    """
    path = fetch(ML_100K)
    table = read_columns(path, _U_DATA_LAYOUT, ["user", "item", "time"])
    check_no_duplicates(path, table, ["user", "item"])
    check_totals(path, table, users=943, items=1682, rows=100_000)
    verify_checksum(path, ML_100K)
    return to_interactions(table)


def load_ml_1m() -> Interactions:
    """Load MovieLens 1M: 6,040 users, 3,706 items, 1,000,209 interactions.

    Every rating is an interaction. Reads ratings.dat, or its pairs in chronological order. With the pairs, row numbers
    replace the times. Both files give the same task, except for `equal_times: item-id`: row numbers have no ties.

    Raises:
        DataError: No file can be found, or it is not the published one.
    """
    path = fetch(ML_1M, ML_1M_PAIRS)
    is_derived = path.name == Path(ML_1M_PAIRS.name).name
    layout = _PAIRS_LAYOUT if is_derived else _RATINGS_LAYOUT
    table = read_columns(path, layout, [name for name in layout.columns if name != "rating"])
    check_no_duplicates(path, table, ["user", "item"])
    check_totals(path, table, users=6040, items=3706, rows=1_000_209)
    verify_checksum(path, ML_1M_PAIRS if is_derived else ML_1M)
    interactions = to_interactions(table)
    return use_file_order(interactions) if is_derived else interactions


@dataclass(frozen=True)
class Movie:
    """Describe a movie by title and genres."""

    title: str  # with the year
    genres: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.title} [{', '.join(self.genres)}]"


def load_ml_100k_movies() -> dict[int, Movie]:
    """Load the movie of each item id of MovieLens 100K.

    Raises:
        DataError: The file cannot be found, or a line does not fit.
    """
    path = fetch(U_ITEM, ML_100K_ITEM)
    if path.name == Path(ML_100K_ITEM.name).name:
        return _read_movies(path, "\t", 4, lambda f: Movie(f"{f[1]} ({f[2]})", tuple(f[3].split())), "utf-8", True)
    return _read_movies(path, "|", 24, lambda f: Movie(f[1], tuple(compress(GENRES, (flag == "1" for flag in f[5:])))))


def load_ml_1m_movies() -> dict[int, Movie]:
    """Load the movie of each item id of MovieLens 1M.

    Raises:
        DataError: The file cannot be found, or a line does not fit.
    """
    return _read_movies(fetch(MOVIES_DAT), "::", 3, lambda f: Movie(f[1], tuple(f[2].split("|"))))


def _read_movies(
    path: Path,
    separator: str,
    n_fields: int,
    parse: Callable[[list[str]], Movie],
    encoding: str = "iso-8859-1",
    header: bool = False,
) -> dict[int, Movie]:
    """Parse each line into a movie; its first field is the item id."""
    movies = {}
    with open_raw(path) as raw:
        lines = raw.read().splitlines()  # split bytes, since text has other line ends than \n and \r
    for number, line in enumerate(lines[header:], start=1 + header):
        fields = line.decode(encoding).split(separator)
        if len(fields) != n_fields or not fields[0].isdigit():
            raise DataError(f"{path}, line {number}: expected an item id and {n_fields - 1} fields after it")
        movies[int(fields[0])] = parse(fields)
    return movies
