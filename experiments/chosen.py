"""Chosen settings: one small file a model and data set, written by `experiments.sweep`, read by the tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from datasets.sources import write_whole

FOLDER = Path(__file__).parent / "conf" / "chosen"


def read(dataset: str, model: str) -> list[str]:
    """The overrides that were chosen, one a line of the file. Raises FileNotFoundError if the model was never tuned."""
    lines = path_of(dataset, model).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def write(dataset: str, model: str, overrides: Sequence[str], provenance: Sequence[str]) -> Path:
    """Write the overrides, with the lines of provenance above them as comments."""
    path = path_of(dataset, model)
    write_whole(path, "".join(f"{line}\n" for line in (*(f"# {p}" for p in provenance), *overrides)).encode())
    return path


def score(dataset: str, model: str) -> float | None:
    """The development NDCG@10 that the file tells of the chosen settings; None if there is none."""
    path = path_of(dataset, model)
    found = re.match(r"# development NDCG@10 (\d+\.\d+)", path.read_text(encoding="utf-8")) if path.exists() else None
    return float(found[1]) if found else None


def path_of(dataset: str, model: str) -> Path:
    """The file of a model's chosen settings, whether it exists or not."""
    return FOLDER / dataset / f"{model}.txt"
