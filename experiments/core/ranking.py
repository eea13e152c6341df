"""Rank the test items of a run: among its candidates, and among all unseen items."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np

from sdmr.datasets.task import HeldOut, Task
from sdmr.experiments.core.run import Run
from sdmr.experiments.core.run_files import RANKS
from sdmr.harness.evaluation import rank, rank_among_all, select_instances
from sdmr.harness.metrics import CUTOFFS, Ranks, summarize
from sdmr.harness.records import save_ranks


def rank_test_items(run: Run, recommender: Any, task: Task) -> Ranks:
    """Rank the test items as the protocol says."""
    protocol = run.protocol
    if protocol.candidates != "all":
        ranks = rank(recommender, task.test, keep_sort_position=protocol.keeps_sort_position)
    else:
        ranks = rank_among_all(recommender, task.test, task.seen, protocol.keeps_sort_position)
    return place_cold_targets(ranks, task.test, task.training.n_items)


def save_test_ranks(run: Run, recommender: Any, task: Task, ranks: Ranks) -> dict[str, Any]:
    """Rank among all items too, and write all ranks. Returns fields of the record.

    There are none if the protocol ranks among all items anyway.
    """
    path, users = run.folder / RANKS, task.test.users
    if run.protocol.candidates == "all":
        save_ranks(path, users, ranks)
        return {}
    rows = select_instances(recommender, len(users), task.training.n_items)
    test = task.test.take(rows)
    full = rank_among_all(recommender, test, task.seen, run.protocol.keeps_sort_position)
    full = place_cold_targets(full, test, task.training.n_items)
    save_ranks(path, users, ranks, (rows, full))
    sample = {"test_all_sample": (len(rows), len(users))} if len(rows) < len(users) else {}
    return {"test_all": summarize(full), **sample}


def compute_test_digests(task: Task) -> dict[str, str]:
    """Return the sha256 of the test items and their users, and of their candidates.

    They tell which records have the same test items in the same order, and which of these have the same candidates.
    """
    training, test = task.training, task.test
    users, items = (
        np.arange(n).astype(str) if ids is None else np.asarray(ids).astype(str)
        for n, ids in ((training.n_users, training.user_ids), (training.n_items, training.item_ids))
    )
    digest = hashlib.sha256(json.dumps([users[test.users].tolist(), items[test.targets].tolist()]).encode())
    test_items = digest.hexdigest()
    digest.update(json.dumps(items.tolist()).encode())
    for array in (test.candidates, test.n_candidates):
        if array is not None:
            digest.update(np.ascontiguousarray(array, dtype="<i8").data)
    return {"test_items": test_items, "test_candidates": digest.hexdigest()}


def place_cold_targets(ranks: Ranks, test: HeldOut, n_items: int) -> Ranks:
    """Return ranks whose cold targets come after all items.

    So they are misses at every cutoff below the number of items, and at those of records.
    """
    is_cold, last = test.is_cold, max(n_items, *CUTOFFS)
    if not is_cold.any():
        return ranks
    places = {name: array for name, array in ranks.to_arrays().items() if name != "tied"}
    return replace(ranks, **{name: np.where(is_cold, last, array) for name, array in places.items()})


def compute_novelty_metrics(task: Task, ranks: Ranks) -> dict[str, Any]:
    """Return separate metrics of new and of repeated targets, if there are repeated ones.

    A target is repeated if the user has it in the training matrix, by another basket: what a model can know. The
    validation items of other baskets do not count.
    """
    is_repeated = np.asarray(task.training.matrix[task.test.users, task.test.targets]).ravel() > 0
    if not is_repeated.any():
        return {}
    sides = {"test_new": ~is_repeated, "test_repeated": is_repeated}
    return {name: {"instances": int(rows.sum()), **summarize(ranks.take(rows))} for name, rows in sides.items()}
