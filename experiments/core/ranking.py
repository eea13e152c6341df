"""Rank the test items of a run: among its candidates, and among all unseen items."""

import hashlib
import json
from typing import Any

import numpy as np

from sdmr.datasets.task import Task
from sdmr.experiments.core.run import Run
from sdmr.harness.evaluation import rank, rank_among_all, select_instances
from sdmr.harness.metrics import Ranks, summarize
from sdmr.harness.records import save_ranks


def rank_test_items(run: Run, recommender: Any, task: Task) -> Ranks:
    """Rank the test items as the protocol says."""
    protocol = run.protocol
    if protocol.candidates != "all":
        return rank(recommender, task.test, keep_sort_position=protocol.keeps_sort_position)
    return rank_among_all(recommender, task.test, task.seen, protocol.keeps_sort_position)


def save_test_ranks(run: Run, recommender: Any, task: Task, ranks: Ranks) -> dict[str, Any]:
    """Rank among all items too, and write all ranks. Returns fields of the record.

    There are none if the protocol ranks among all items anyway.
    """
    path, users = run.folder / "ranks.npz", task.test.users
    if run.protocol.candidates == "all":
        save_ranks(path, users, ranks)
        return {}
    rows = select_instances(recommender, len(users), task.training.n_items)
    full = rank_among_all(recommender, task.test.take(rows), task.seen, run.protocol.keeps_sort_position)
    save_ranks(path, users, ranks, (rows, full))
    sample = {"test_all_sample": (len(rows), len(users))} if len(rows) < len(users) else {}
    return {"test_all": summarize(full), **sample}


def compute_test_digest(task: Task) -> str:
    """Return the sha256 of the test items' and their users' raw ids.

    Records with the same one have the same test items in the same order, whatever their candidates.
    """
    training, test = task.training, task.test
    ids = ((training.user_ids, test.users), (training.item_ids, test.targets))
    columns = [numbers if raw is None else np.asarray(raw)[numbers] for raw, numbers in ids]
    return hashlib.sha256(json.dumps([column.astype(str).tolist() for column in columns]).encode()).hexdigest()


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
