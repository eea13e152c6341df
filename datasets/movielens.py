"""MovieLens 100K and 1M (Harper & Konstan, ACM TiiS 2015): ratings, and titles with genres."""

import logging
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np

from sdmr.datasets.download import Download, RawFile, Wheel, fetch, find_local, read_published
from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import Interactions, set_order
from sdmr.datasets.parsing import Layout, read_columns

log = logging.getLogger(__name__)

_TERMS = (
    "MovieLens data: for research, not for commercial use, not to be redistributed; cite Harper & Konstan, "
    "The MovieLens Datasets, ACM TiiS 5(4), 2015. Full terms: https://files.grouplens.org/datasets/movielens/"
)
_ML_100K_ZIP = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
_ML_1M_ZIP = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
_ML_1M_ZIP_SHA256 = "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20"
_RECBOLE = "recbole==1.2.1"

ML_100K = RawFile(
    "ml-100k/u.data",
    "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    Layout({"user": int, "item": int, "rating": int, "time": int}),
    routes=(
        Download(_ML_100K_ZIP, "ml-100k/u.data"),
        # The same lines, byte for byte, below a header.
        Wheel(_RECBOLE, "recbole/dataset_example/ml-100k/ml-100k.inter", header=True),
    ),
    terms=_TERMS,
)
ML_1M = RawFile(
    "ml-1m/ratings.dat",
    None,
    Layout({"user": int, "item": int, "rating": int, "time": int}, separator="::"),
    routes=(Download(_ML_1M_ZIP, "ml-1m/ratings.dat", _ML_1M_ZIP_SHA256),),
    terms=_TERMS,
)
# Every pair of ratings.dat without its time: users ascending, each user's rows in chronological order.
ML_1M_PAIRS = RawFile(
    "ml-1m/interactions_chronological.tsv.gz",
    "91a81f350fc93ba6f2d9b8083f472f21c333aaaa492f0a421f50b7e5533f82a3",
    Layout({"user": int, "item": int}),
)

GENRES = (  # in the order of the last fields of u.item
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
# Files of titles and genres. No result depends on them, so their checksums are optional.
U_ITEM = RawFile(
    "ml-100k/u.item",
    None,
    Layout(
        {"item": int, "title": str, "release": str, "video release": str, "url": str} | dict.fromkeys(GENRES, int),
        separator="|",
        optional=("release", "video release", "url"),
        encoding="iso-8859-1",
    ),
    routes=(Download(_ML_100K_ZIP, "ml-100k/u.item"),),
)
# The same movies with title and year in two fields, and genres by name.
ML_100K_ITEM = RawFile(
    "ml-100k/ml-100k.item",
    "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    Layout({"item": int, "title": str, "year": str, "genres": str}, header=True, optional=("year",)),
    routes=(Wheel(_RECBOLE, "recbole/dataset_example/ml-100k/ml-100k.item"),),
)
MOVIES_DAT = RawFile(
    "ml-1m/movies.dat",
    None,
    Layout({"item": int, "title": str, "genres": str}, separator="::", encoding="iso-8859-1"),
    routes=(Download(_ML_1M_ZIP, "ml-1m/movies.dat"),),
)


def load_ml_100k() -> Interactions:
    """Load MovieLens 100K: 943 users, 1,682 items, 100,000 interactions.

    Every rating is an interaction. Times are in seconds.

    Raises:
        DataError: The file cannot be found, or is not the published one.
    """
    interactions = Interactions.from_table(read_published(ML_100K, totals=(943, 1682, 100_000)))
    return _add_titles(interactions, U_ITEM, ML_100K_ITEM)


def load_ml_1m() -> Interactions:
    """Load MovieLens 1M: 6,040 users, 3,706 items, 1,000,209 interactions.

    Every rating is an interaction. Reads ratings.dat, or its pairs in chronological order. With the pairs, row numbers
    replace the times. Both files give the same task, except for `equal_times: item-id`: row numbers have no ties.

    Raises:
        DataError: No file can be found, or it is not the published one.
    """
    table = read_published(ML_1M, ML_1M_PAIRS, totals=(6040, 3706, 1_000_209))
    interactions = Interactions.from_table(table)
    return _add_titles(interactions if "time" in table else set_order(interactions, "file"), MOVIES_DAT)


def _add_titles(interactions: Interactions, *files: RawFile) -> Interactions:
    """Add the titles of a local file, if there is a sound one."""
    try:
        local = find_local(*files)
        movies = {} if local is None else _read_movies(*local)
    except DataError as error:
        log.warning("titles are left out: %s", error)
        movies = {}
    titles = [movies[item].title if item in movies else "" for item in interactions.item_ids.tolist()]
    return replace(interactions, item_titles=np.array(titles, dtype=object)) if movies else interactions


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
    return _read_movies(*fetch(U_ITEM, ML_100K_ITEM))


def load_ml_1m_movies() -> dict[int, Movie]:
    """Load the movie of each item id of MovieLens 1M.

    Raises:
        DataError: The file cannot be found, or a line does not fit.
    """
    return _read_movies(*fetch(MOVIES_DAT))


def _read_movies(path: Path, file: RawFile) -> dict[int, Movie]:
    """Read titles and genres, whichever way the file writes them."""
    table = read_columns(path, file.layout)
    if "year" in table:
        table["title"] += " (" + table["year"].fillna("") + ")"
    if "genres" not in table:
        table["genres"] = [" ".join(compress(GENRES, flags)) for flags in table[list(GENRES)].to_numpy()]
    genres = table["genres"].str.replace("|", " ").str.split().map(tuple)
    return dict(zip(table["item"].tolist(), map(Movie, table["title"], genres), strict=True))
