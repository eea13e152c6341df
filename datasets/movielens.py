"""MovieLens (Harper & Konstan, ACM TiiS 2015)."""

from __future__ import annotations

from pathlib import Path

from sdmr.datasets.filters import in_file_order
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.parsing import Layout, as_interactions, check_totals, read_columns, refuse_duplicates
from sdmr.datasets.sources import Download, RawFile, Wheel, find, verify

_TERMS = (
    "MovieLens data: for research, not for commercial use, not to be redistributed; cite Harper & Konstan, "
    "The MovieLens Datasets, ACM TiiS 5(4), 2015. Full terms: https://files.grouplens.org/datasets/movielens/"
)

ML_100K = RawFile(
    name="ml-100k/u.data",
    sha256="06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    routes=(
        Download("https://files.grouplens.org/datasets/movielens/ml-100k.zip", "ml-100k/u.data"),
        # The same lines, byte for byte, under a header.
        Wheel("recbole==1.2.1", "recbole/dataset_example/ml-100k/ml-100k.inter", header=True),
    ),
    terms=_TERMS,
)

_U_DATA = Layout({"user": int, "item": int, "rating": int, "time": int})


def ml_100k() -> Interactions:
    """MovieLens 100K: 943 users, 1,682 items, 100,000 interactions (every rating is one), times in seconds.

    Raises DataError if the file cannot be found, or is not the published one.
    """
    path = find(ML_100K)
    table = read_columns(path, _U_DATA, ["user", "item", "time"])
    refuse_duplicates(path, table, ["user", "item"])
    check_totals(path, table, users=943, items=1682, rows=100_000)
    verify(path, ML_100K)
    return as_interactions(table)


ML_1M = RawFile(
    name="ml-1m/ratings.dat",
    sha256=None,
    routes=(
        Download(
            "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
            "ml-1m/ratings.dat",
            sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        ),
    ),
    terms=_TERMS,
)
# Every pair of ratings.dat, users ascending, each user's rows in the order of time, without the times themselves.
ML_1M_PAIRS = RawFile(
    name="ml-1m/interactions_chronological.tsv.gz",
    sha256="91a81f350fc93ba6f2d9b8083f472f21c333aaaa492f0a421f50b7e5533f82a3",
)

_RATINGS_DAT = Layout({"user": int, "item": int, "rating": int, "time": int}, separator="::")
_PAIRS = Layout({"user": int, "item": int})


def ml_1m() -> Interactions:
    """MovieLens 1M: 6,040 users, 3,706 items, 1,000,209 interactions (every rating is one).

    From ratings.dat, or from its pairs in the order of time, where the row number is the time. They give the same task,
    but for `last_tie: item-id`, since row numbers do not tie. Raises DataError if neither is to be had, or is not the
    published one.
    """
    path = find(ML_1M, ML_1M_PAIRS)
    derived = path.name == Path(ML_1M_PAIRS.name).name
    layout = _PAIRS if derived else _RATINGS_DAT
    table = read_columns(path, layout, [name for name in layout.columns if name != "rating"])
    refuse_duplicates(path, table, ["user", "item"])
    check_totals(path, table, users=6040, items=3706, rows=1_000_209)
    verify(path, ML_1M_PAIRS if derived else ML_1M)
    data = as_interactions(table)
    return in_file_order(data) if derived else data
