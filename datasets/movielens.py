"""MovieLens 100K and 1M (Harper & Konstan, ACM TiiS 2015): ratings, and titles with genres."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress

import pandas as pd

from sdmr.datasets.download import Download, RawFile, Wheel, fetch
from sdmr.datasets.filters import use_file_order
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.parsing import Layout, read_columns, read_published, to_interactions

_TERMS = (
    "MovieLens data: for research, not for commercial use, not to be redistributed; cite Harper & Konstan, "
    "The MovieLens Datasets, ACM TiiS 5(4), 2015. Full terms: https://files.grouplens.org/datasets/movielens/"
)
_ML_100K_ZIP = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
_ML_1M_ZIP = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
_ML_1M_ZIP_SHA256 = "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20"
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
    routes=(Download(_ML_1M_ZIP, "ml-1m/ratings.dat", _ML_1M_ZIP_SHA256),),
    terms=_TERMS,
)
# Every pair of ratings.dat without its time: users ascending, each user's rows in chronological order.
ML_1M_PAIRS = RawFile(
    name="ml-1m/interactions_chronological.tsv.gz",
    sha256="91a81f350fc93ba6f2d9b8083f472f21c333aaaa492f0a421f50b7e5533f82a3",
)

_RATING = {"user": int, "item": int, "rating": int, "time": int}

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


_U_ITEM_LAYOUT = Layout(
    {"item": int, "title": str, "release": str, "video release": str, "url": str} | dict.fromkeys(GENRES, int),
    separator="|",
    optional=("release", "video release", "url"),
    encoding="iso-8859-1",
)
_ML_100K_ITEM_LAYOUT = Layout({"item": int, "title": str, "year": str, "genres": str}, header=True, optional=("year",))
_MOVIES_DAT_LAYOUT = Layout({"item": int, "title": str, "genres": str}, separator="::", encoding="iso-8859-1")


def load_ml_100k() -> Interactions:
    """Load MovieLens 100K: 943 users, 1,682 items, 100,000 interactions.

    Every rating is an interaction. Times are in seconds.

    Raises:
        DataError: The file cannot be found, or is not the published one.
    """
    return to_interactions(read_published({ML_100K: Layout(_RATING)}, totals=(943, 1682, 100_000)))


def load_ml_1m() -> Interactions:
    """Load MovieLens 1M: 6,040 users, 3,706 items, 1,000,209 interactions.

    Every rating is an interaction. Reads ratings.dat, or its pairs in chronological order. With the pairs, row numbers
    replace the times. Both files give the same task, except for `equal_times: item-id`: row numbers have no ties.

    Raises:
        DataError: No file can be found, or it is not the published one.
    """
    layouts = {ML_1M: Layout(_RATING, separator="::"), ML_1M_PAIRS: Layout({"user": int, "item": int})}
    table = read_published(layouts, totals=(6040, 3706, 1_000_209))
    interactions = to_interactions(table)
    return interactions if "time" in table else use_file_order(interactions)


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
    path, file = fetch(U_ITEM, ML_100K_ITEM)
    if file is ML_100K_ITEM:
        table = read_columns(path, _ML_100K_ITEM_LAYOUT, ["item", "title", "year", "genres"])
        titles = table["title"] + " (" + table["year"].fillna("") + ")"
        return _collect_movies(table["item"], titles, table["genres"].str.split())
    table = read_columns(path, _U_ITEM_LAYOUT, ["item", "title", *GENRES])
    genres = (compress(GENRES, flags) for flags in table[list(GENRES)].to_numpy())
    return _collect_movies(table["item"], table["title"], genres)


def load_ml_1m_movies() -> dict[int, Movie]:
    """Load the movie of each item id of MovieLens 1M.

    Raises:
        DataError: The file cannot be found, or a line does not fit.
    """
    path, _ = fetch(MOVIES_DAT)
    table = read_columns(path, _MOVIES_DAT_LAYOUT, ["item", "title", "genres"])
    return _collect_movies(table["item"], table["title"], table["genres"].str.split("|"))


def _collect_movies(items: pd.Series, titles: pd.Series, genres: Iterable[Iterable[str]]) -> dict[int, Movie]:
    """Collect the movie of each item id."""
    return {item: Movie(title, tuple(names)) for item, title, names in zip(items.tolist(), titles, genres, strict=True)}
