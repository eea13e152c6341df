"""Rank the test items of a run: among its candidates, and among all unseen items."""

from typing import Any

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
