"""Epinions, the "downloaded" set of trustlet.org (Massa & Avesani, RecSys 2007)."""

from sdmr.datasets.download import Download, RawFile
from sdmr.datasets.errors import check_choice
from sdmr.datasets.filters import Order, k_core, use_file_order
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.parsing import Layout, read_published, to_interactions

_TERMS = "Epinions: its page asks to cite Massa & Avesani, Trust-aware Recommender Systems, RecSys 2007."

_RATINGS = RawFile(name="epinions/ratings_data.txt", sha256=None)
_RATINGS_BZ2 = RawFile(
    name="epinions/ratings_data.txt.bz2",
    sha256=None,
    routes=(Download("http://www.trustlet.org/datasets/downloaded_epinions/ratings_data.txt.bz2"),),
    terms=_TERMS,
)
# The distinct pairs of ratings_data.txt in the same order; users are numbered in the order of their ids.
_PAIRS = RawFile(
    name="epinions/ratings_data_pairs.tsv.gz",
    sha256="7a3f3a5780e364f8e147bf217bc9d5e90a23639b01576889097182c275f70db4",
)


def load_epinions(min_count: int = 5, iterative: bool = False, order: Order = "random") -> Interactions:
    """Load Epinions: 40,163 users, 139,738 items, 664,823 distinct pairs, then filtered.

    The defaults give the paper's Table 1: 23,137 users, 23,585 items, 461,982 interactions. With `iterative`, 20,397
    users, 21,901 items and 446,891 interactions remain.

    Args:
        min_count, iterative: See `sdmr.datasets.filters.k_core`.
        order: The data has no times. "random" shuffles each history. "file" takes the order of the file as the order of
            time, as the authors did. The file sorts each user's items by their ids as strings, so a model can guess the
            last item from its id. Use "file" to show this artifact only.

    Raises:
        DataError: The file cannot be found, or is not the published one.
        ValueError: The order is unknown.
    """
    check_choice("order", order, "random", "file")
    ratings = Layout({"user": int, "item": int, "rating": int}, separator=" ")
    layouts = {_RATINGS: ratings, _RATINGS_BZ2: ratings, _PAIRS: Layout({"user": int, "item": int})}
    table = read_published(layouts, totals=(40_163, 139_738, 664_823), drops_repeats=True)
    interactions = k_core(to_interactions(table), min_count, iterative)
    return use_file_order(interactions) if order == "file" else interactions
