"""Records as runs leave them, and the files of a figure."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from sdmr.experiments.core.record import Environment, Record, save_record
from sdmr.experiments.core.registry import MODELS
from sdmr.harness.files import save_arrays
from sdmr.harness.metrics import Ranks, summarize

UNTRAINED = ("popularity", "item-knn", "slim")


def get_run_name(config: dict[str, Any]) -> str:
    """Return the folder of a run in these tests: its model and its values on the axes."""
    model = config["model"]
    name = next(name for name, known in MODELS.items() if known.target == model["_target_"])
    dim = model["gmf"]["dim"] if name == "cmn" else model.get("dim")
    return f"{name}-{model.get('hops')}-{dim}-{model.get('context_length')}-{config['seed']}"


def write_record(
    folder: Path, model: str = "sdm", quality: float = 0.5, seed: int = 0, epochs: int = 4, **fields: Any
) -> Record:
    """Write the record of a run; `quality` is the share of targets that are on top."""
    above = np.where(np.random.default_rng([seed, int(1000 * quality)]).random(200) < quality, 0, 60)
    ranks = Ranks(above, np.zeros(200, dtype=int))
    metrics = summarize(ranks)
    if model not in UNTRAINED:
        curve = [{"epoch": n, "loss": 1 / n, "validation": 0.3 + 0.01 * n} for n in range(1, epochs + 1)]
        fields = {"history": [{"epoch": 0}, *curve], "best_epoch": epochs, **fields}
    known: dict[str, Any] = {
        "run": folder.name,
        "model": MODELS[model].target,
        "dataset": "ml-100k",
        "config": {"seed": seed},
        "data": "data",
        "source": "source",
        "validation": metrics,
        "test": metrics,
        "seconds": {"prepare": 1.0, "fit": 20.0 * (1 + seed), "rank": 3.0, "parts": 5.0},
        "peak_memory_mib": 1.0,
        "environment": Environment(commit=f"c0ffee{seed}", processor="abacus", threads=1),
    }
    record = Record(**known | fields)
    folder.mkdir(parents=True, exist_ok=True)
    save_arrays(folder / "ranks.npz", users=np.arange(200), **ranks.to_arrays())
    save_record(record, folder / "record.json")
    return record


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def is_drawn(plots: Path, name: str) -> bool:
    """Return whether the picture exists in both formats, and its numbers."""
    heads = [(plots / f"{name}.{suffix}").read_bytes()[:4] for suffix in ("png", "pdf")]
    return heads == [b"\x89PNG", b"%PDF"] and bool(read_rows(plots / f"{name}.csv"))
