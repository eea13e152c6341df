"""Epinions, the "downloaded" set of trustlet.org (Massa & Avesani, RecSys 2007)."""

from __future__ import annotations

from sdmr.datasets.filters import Order, check_order, core, in_file_order
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.parsing import Layout, as_interactions, check_totals, drop_duplicates, read_columns
from sdmr.datasets.sources import Download, RawFile, find, verify

_TERMS = "Epinions: its page asks to cite Massa & Avesani, Trust-aware Recommender Systems, RecSys 2007."

_RATINGS = RawFile(name="epinions/ratings_data.txt", sha256=None)
_RATINGS_BZ2 = RawFile(
    name="epinions/ratings_data.txt.bz2",
    sha256=None,
    routes=(Download("http://www.trustlet.org/datasets/downloaded_epinions/ratings_data.txt.bz2"),),
    terms=_TERMS,
)
# The distinct pairs of ratings_data.txt in its order; users numbered by the order of their ids.
_PAIRS = RawFile(
    name="epinions/ratings_data_pairs.tsv.gz",
    sha256="7a3f3a5780e364f8e147bf217bc9d5e90a23639b01576889097182c275f70db4",
)

_RATINGS_LAYOUT = Layout({"user": int, "item": int, "rating": int}, separator=" ")
_PAIRS_LAYOUT = Layout({"user": int, "item": int})


def epinions(least: int = 5, iterated: bool = False, order: Order = "random") -> Interactions:
    """Epinions: 40,163 users, 139,738 items, 664,823 distinct pairs, without times, then filtered (`filters.core`).

    The defaults give the paper's Table 1: 23,137 users, 23,585 items, 461,982 interactions; `iterated` gives 20,397,
    21,901 and 446,891. `order="file"` takes the file's order for time, as the authors did. It lists each user's items
    by their ids as strings, so that the last one gives itself away: an artefact to show, not to use.

    Raises DataError if the file cannot be found, or is not the published one, ValueError for an unknown order.
    """
    check_order(order)
    path = find(_RATINGS, _RATINGS_BZ2, _PAIRS)
    derived = path.name.endswith(".tsv.gz")
    table = read_columns(path, _PAIRS_LAYOUT if derived else _RATINGS_LAYOUT, ["user", "item"])
    table = drop_duplicates(path, table, ["user", "item"])
    check_totals(path, table, users=40_163, items=139_738, rows=664_823)
    if derived:
        verify(path, _PAIRS)
    kept = core(as_interactions(table), least, iterated)
    return in_file_order(kept) if order == "file" else kept
