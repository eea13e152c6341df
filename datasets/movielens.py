"""MovieLens (Harper & Konstan, ACM TiiS 2015)."""

from __future__ import annotations

from datasets.interactions import Interactions
from datasets.parsing import Layout, check_totals, read_columns, refuse_duplicates
from datasets.sources import Archive, RawFile, Wheel, find, verify

_TERMS = (
    "MovieLens data: for research, not for commercial use, not to be redistributed; cite Harper & Konstan, "
    "The MovieLens Datasets, ACM TiiS 5(4), 2015. Full terms: https://files.grouplens.org/datasets/movielens/"
)

ML_100K = RawFile(
    name="ml-100k/u.data",
    sha256="06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    routes=(
        Archive("https://files.grouplens.org/datasets/movielens/ml-100k.zip", "ml-100k/u.data"),
        # The same lines, byte for byte, under a header.
        Wheel("recbole==1.2.1", "recbole/dataset_example/ml-100k/ml-100k.inter", header=True),
    ),
    terms=_TERMS,
)

_U_DATA = Layout({"user": int, "item": int, "rating": int, "time": int})


def ml_100k() -> Interactions:
    """MovieLens 100K: 943 users, 1,682 items, 100,000 interactions (every rating is one), times in seconds.

    Raises DataError if the file is not to be had, or is not the published one.
    """
    path = find(ML_100K)
    table = read_columns(path, _U_DATA, ["user", "item", "time"])
    refuse_duplicates(path, table, ["user", "item"])
    check_totals(path, table, users=943, items=1682, rows=100_000)
    verify(path, ML_100K)
    return Interactions.from_raw(table["user"].to_numpy(), table["item"].to_numpy(), table["time"].to_numpy())
