"""Records for tests of reports, made without training."""

from pathlib import Path
from typing import Any

import numpy as np

from sdmr.experiments.core.record import Record, save_record
from sdmr.experiments.report.audit_runs import Records
from sdmr.harness.metrics import Ranks, count_ties, summarize


def make_ranks(share: float, users: int = 100, ties: int = 0) -> Ranks:
    """Return ranks with this share of the targets on top, each with so many ties."""
    above = np.where(np.arange(users) < round(users * share), 0, 60)
    return Ranks(above, np.full(users, ties), above)


def make_record(share: float = 0.5, ties: int = 0, **fields: Any) -> Record:
    """Return a record of such ranks."""
    ranks = make_ranks(share, ties=ties)
    values: dict[str, Any] = {
        "run": "Net-0",
        "model": "my.Net",
        "dataset": "ml-100k",
        "config": {"seed": 0},
        "data": "",
        "source": "",
        "validation": summarize(ranks),
        "test": summarize(ranks),
        "ties": count_ties(ranks),
        "seconds": {"fit": 1.0},
        "peak_memory_mib": 1.0,
        "environment": {"commit": "c0ffee"},
    }
    return Record.model_validate(values | fields)


def make_audit(*cells: tuple[str, str, str, Record]) -> Records:
    """Return records of the audit: data set, factor, model and record of each."""
    records: dict[tuple[str, str, str], list[Record]] = {}
    for dataset, factor, model, record in cells:
        records.setdefault((dataset, factor, model), []).append(record)
    return records


def make_history(*epochs: dict[str, float]) -> list[dict[str, float]]:
    """Return SDMR's history, with an epoch 0, from NDCG@10 by tie policy of each epoch."""
    policies = ("expected", "optimistic", "pessimistic")
    counts = {"zero_share": 0.5, "tied_share": 0.38, "mean_tied": 2.3}
    return [
        {"epoch": epoch, **counts}
        | {f"{metric} {policy}": ndcg.get(policy, 0.1) for metric in ("hit@10", "NDCG@10") for policy in policies}
        for epoch, ndcg in enumerate(({}, *epochs))
    ]


def publish_model(folder: Path, model: str, share: float, seeds: int = 2, users: int = 300, ties: int = 0) -> None:
    """Write published records and ranks of a model into a data set's folder."""
    ranks = make_ranks(share, users, ties)
    for seed in range(seeds):
        run = folder / f"{model}-{seed}"
        run.mkdir(parents=True, exist_ok=True)
        np.savez(run / "ranks.npz", users=np.arange(users), above=ranks.above, tied=ranks.tied)
        save_record(make_record(share, ties, history=[], test=summarize(ranks)), run / "record.json")
