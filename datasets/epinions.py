"""Epinions, the "downloaded" set of trustlet.org (Massa & Avesani, RecSys 2007)."""

from sdmr.datasets.download import Download, RawFile, read_published
from sdmr.datasets.errors import check_choice
from sdmr.datasets.interactions import Interactions, Order, k_core, set_order
from sdmr.datasets.parsing import Layout

_TERMS = "Epinions: its page asks to cite Massa & Avesani, Trust-aware Recommender Systems, RecSys 2007."

_RATINGS_LAYOUT = Layout({"user": int, "item": int, "rating": int}, separator=" ")
_RATINGS = RawFile("epinions/ratings_data.txt", None, _RATINGS_LAYOUT)
_RATINGS_BZ2 = RawFile(
    "epinions/ratings_data.txt.bz2",
    None,
    _RATINGS_LAYOUT,
    routes=(Download("http://www.trustlet.org/datasets/downloaded_epinions/ratings_data.txt.bz2"),),
    terms=_TERMS,
)
# The distinct pairs of ratings_data.txt in the same order; users are numbered in the order of their ids.
_PAIRS = RawFile(
    "epinions/ratings_data_pairs.tsv.gz",
    "7a3f3a5780e364f8e147bf217bc9d5e90a23639b01576889097182c275f70db4",
    Layout({"user": int, "item": int}),
)


def load_epinions(min_count: int = 5, iterative: bool = False, order: Order = "random") -> Interactions:
    """Load Epinions: 40,163 users, 139,738 items, 664,823 distinct pairs, then filtered.

    The defaults give the paper's Table 1: 23,137 users, 23,585 items, 461,982 interactions. With `iterative`, 20,397
    users, 21,901 items and 446,891 interactions remain.

    Args:
        min_count: Users and items with fewer interactions are dropped.
        iterative: Whether to repeat min_count until nothing is dropped.
        order: Without times, "random" shuffles each history; "file" takes the order of the file for time. The authors
            did that. The file sorts each user's items by their ids as strings, so a model can guess the last item from
            its id. Use "file" to show this artifact only.

    Raises:
        DataError: The file cannot be found, or is not the published one.
        ValueError: The order is unknown.
    """
    check_choice("order", order, "random", "file")
    table = read_published(_RATINGS, _RATINGS_BZ2, _PAIRS, totals=(40_163, 139_738, 664_823), deduplicate=True)
    return set_order(k_core(Interactions.from_table(table), min_count, iterative), order)
