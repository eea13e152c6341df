"""Records as runs leave them, and tables read back, for the tests of reports."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdmr.experiments.core.registry import OTHER_ROWS, get_model
from sdmr.harness.metrics import Ranks, summarize
from sdmr.harness.records import save_ranks

RANKED = ("popularity", "mf-bpr", "cml", "sdp", "sdm")  # among all items, too
UNTRAINED = ("popularity", "item-knn", "slim", *OTHER_ROWS)


def write_run(folder: Path, model: str, seed: int, users: np.ndarray, ranks: Ranks, validation: float = 0.5) -> Path:
    """Write a record and its ranks, and return their folder."""
    record: dict[str, Any] = {
        "run": folder.name,
        "model": get_model(model).target,
        "dataset": folder.parent.name,
        "config": {"seed": seed},
        "data": "data",
        "source": "source",
        "validation": {"NDCG@10": {"expected": validation}},
        "test": summarize(ranks),
        "seconds": {"prepare": 1.0, "fit": 2.0, "rank": 3.0},
        "peak_memory_mib": 100.0,
        "environment": {"commit": f"c0ffee{seed}", "processor": "abacus", "threads": 1, "versions": {"torch": "2.0"}},
    }
    if model not in UNTRAINED:
        record["history"] = []
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "ranks.npz", users=users, **ranks.to_arrays())  # type: ignore[arg-type]
    (folder / "record.json").write_text(json.dumps(record))
    return folder


def write_random_run(
    folder: Path, model: str, seed: int, quality: float = 0.5, ties: int = 0, validation: float = 0.5
) -> Path:
    """Write a run of 200 users; `quality` is the share of targets on top."""
    rng = np.random.default_rng([seed, int(1000 * quality)])
    ranks = Ranks(np.where(rng.random(200) < quality, 0, 60), np.full(200, ties))
    return write_run(folder, model, seed, np.arange(200), ranks, validation)


def write_run_among_all(folder: Path, model: str, sampled: Ranks, full_ranks: Ranks, n_sampled: int) -> Path:
    """Write a run of which some of the instances are ranked among all items, too."""
    n = len(sampled.above)
    rows = np.sort(np.random.default_rng(1).choice(n, n_sampled, replace=False))
    full_ranks = Ranks(full_ranks.above[rows], full_ranks.tied[rows], others=np.full(n_sampled, 1000))
    write_run(folder, model, 0, np.arange(n), sampled)
    save_ranks(folder / "ranks.npz", np.arange(n), sampled, (rows, full_ranks))
    sample = {"test_all_sample": [n_sampled, n]} if n_sampled < n else {}
    change_record(folder, test_all=summarize(full_ranks), **sample)
    return folder


def write_runs(folder: Path, n_sampled: int = 200, noise: float = 0.0) -> dict[str, list[Path]]:
    """Write runs of 200 users whose share of hits grows from model to model, among all items with noise."""
    rng, folders = np.random.default_rng(0), {}
    for number, model in enumerate(RANKED):
        shares = [0.2 + 0.1 * number, 0.1 + 0.1 * number + noise * rng.normal()]
        sampled, full_ranks = (Ranks(np.where(rng.random(200) < share, 0, 60), np.zeros(200, int)) for share in shares)
        path = folder / "ml-100k" / f"{model}-0"
        folders[model] = [write_run_among_all(path, model, sampled, full_ranks, n_sampled)]
    return folders


def change_record(folder: Path, **changes: Any) -> None:
    """Change fields of a record."""
    record = json.loads((folder / "record.json").read_text()) | changes
    (folder / "record.json").write_text(json.dumps(record))


def read_values(folders: Sequence[Path], metric: str, tie_policy: str = "expected") -> list[float]:
    """Read a test metric of each record."""
    return [json.loads((folder / "record.json").read_text())["test"][metric][tie_policy] for folder in folders]


def read_cells(path: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    """Read a published table by data set, model and metric."""
    with path.open(encoding="utf-8") as lines:
        return {(row["dataset"], row["model"], row["metric"]): row for row in csv.DictReader(lines)}
