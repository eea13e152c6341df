"""List the best unseen items of users, and measure such lists."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Contexts, Task, Training
from sdmr.harness.evaluation import score_all_items
from sdmr.harness.ids import tabulate_items, tabulate_users
from sdmr.harness.recommender import Recommender


def recommend(
    recommender: Recommender, task: Task, users: IntArray | Sequence[int], k: int = 10, max_scores: int = 2**22
) -> pd.DataFrame:
    """List the k best items of each user, without the user's items.

    An item that a user has in training, validation or test is left out. So is one that no test item is ranked among: an
    untrained one, after a cut in time. The context is the user's last training items or, with baskets, those of the
    user's last basket. Of items with equal scores, the one with the lower number comes first.

    Args:
        recommender: A fitted recommender.
        task: The task whose training side it was fitted to.
        users: [n] numbers of users; `sdmr.harness.ids.find_numbers` finds them by raw id.
        k: Length of a list. A list is shorter if its user has fewer unseen items.
        max_scores: About how many scores to hold at a time.

    Returns:
        A row for each user and item, the best first: user, rank, item, title (if the data has titles), score. Users and
        items are raw ids.
    """
    users, n_items = np.asarray(users), task.training.n_items
    contexts, k, lists = build_contexts(task.training, users), min(k, n_items), []
    ranked_items = task.test.ranked_items
    for batch, scores in score_all_items(recommender, users, contexts, n_items, max_scores, ranked_items):
        scores = np.where(task.seen[users[batch]].toarray() > 0, -np.inf, scores)
        bound = np.partition(scores, -k, axis=1)[:, [-k]]
        row, item = np.nonzero((scores >= bound) & (scores > -np.inf))  # row by row, each by item
        order = np.lexsort((-scores[row, item], row))  # stable
        rank = np.arange(len(row)) - np.searchsorted(row, row) + 1
        row, item, rank = row[rank <= k], item[order][rank <= k], rank[rank <= k]
        columns = {"user": users[batch][row], "rank": rank, "item": item, "score": scores[row, item]}
        lists.append(pd.DataFrame(columns))
    return _name(pd.concat(lists, ignore_index=True), task.training)


def build_contexts(training: Training, users: IntArray) -> Contexts:
    """Build the context of each user's next item: the training items of the last sequence."""
    instances, contexts = training.instances, training.instances.contexts
    last = np.full(training.n_users, -1)  # a user without training items
    last[instances.users] = np.arange(len(instances))
    start, length = (np.append(array, 0)[last[users]] for array in (contexts.start, contexts.length))
    return replace(contexts, start=start, length=length, position=length, count=length)


def count_items(lists: pd.DataFrame, training: Training, k: int) -> IntArray:
    """Count how often each item is at each rank of lists from `recommend`: [k, n_items].

    Ranks beyond k do not count.
    """
    counts, lists = np.zeros((k, training.n_items), dtype=np.int64), lists[lists["rank"] <= k]
    items = pd.Index(tabulate_items(training)["id"]).get_indexer(pd.Index(lists["item"]))
    np.add.at(counts, (lists["rank"].to_numpy() - 1, items), 1)
    return counts


def summarize_lists(counts: IntArray, training: Training, cutoffs: Iterable[int]) -> dict[str, float]:
    """Return coverage, popularity and novelty of the first items of lists, by cutoff.

    Coverage is the share of all items that are in any list. Popularity is the mean number of training users of a listed
    item. Novelty is the mean of −log2 of their share of all users; an item without any counts like one with one.

    Args:
        counts: [max k, n_items], the sum of `count_items` over all lists.
    """
    users = np.bincount(training.matrix.indices, minlength=training.n_items)
    novelty = -np.log2(np.maximum(users, 1) / training.n_users)
    metrics = {}
    for k in cutoffs:
        listed = counts[:k].sum(axis=0)
        shares = listed / max(listed.sum(), 1)
        metrics[f"coverage@{k}"] = float((listed > 0).mean())
        metrics |= {f"popularity@{k}": float(shares @ users), f"novelty@{k}": float(shares @ novelty)}
    return metrics


def _name(lists: pd.DataFrame, training: Training) -> pd.DataFrame:
    """Return the lists with raw ids in place of numbers, and with titles."""
    items = tabulate_items(training).iloc[lists["item"]].reset_index(drop=True)
    lists["user"] = tabulate_users(training)["id"].to_numpy()[lists["user"]]
    lists["item"] = items["id"]
    if "title" in items:
        lists.insert(3, "title", items["title"])
    return lists
