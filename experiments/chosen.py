"""Chosen settings: one small file a model and data set, written by `sdmr.experiments.sweep`, read by the tables."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sdmr.datasets.files import write_atomic
from sdmr.experiments.configs import compose_run

FILES = ("csv", "inter", "ncf", "netflix")  # data sets that must be told what they are
COMMAND = "# python -m sdmr.experiments.sweep "  # how the line of provenance begins that can be given again
FOLDER = Path(__file__).parent / "conf" / "chosen"


class NotChosen(ValueError):
    """There are no settings that were chosen for a model on some data."""


def read(dataset: str, model: str, overrides: Sequence[str] = ()) -> list[str]:
    """The overrides that were chosen, one a line of the file, for a run with these further `overrides`.

    Raises NotChosen if the model was never tuned, and if `dataset` is one of FILES and the command
    that chose told it otherwise than `overrides` do.
    """
    path = path_of(dataset, model)
    if not path.exists():
        raise NotChosen("it has no chosen settings yet")
    lines = path.read_text(encoding="utf-8").splitlines()
    command = next((line for line in lines if line.startswith(COMMAND)), None)
    if dataset in FILES and command:
        searched, asked = (_of_data(given) for given in (shlex.split(command.removeprefix("# ")), overrides))
        if _config(dataset, searched) != _config(dataset, asked):
            told = (" ".join(given) or f"{dataset} as it is" for given in (searched, asked))
            raise NotChosen("its settings were chosen on {}, not on {}".format(*told))
    return [line for line in lines if line and not line.startswith("#")]


def _of_data(overrides: Sequence[str]) -> tuple[str, ...]:
    """Those that tell a data set what it is."""
    return tuple(given for override in overrides if (given := override.lstrip("+")).startswith("dataset."))


@cache
def _config(dataset: str, overrides: tuple[str, ...]) -> dict[str, Any] | None:
    """What the data set is with these overrides, its file by the whole path; None if something is missing."""
    try:
        config: dict[str, Any] = compose_run(["model=popularity", f"dataset={dataset}", *overrides])[0]["dataset"]
    except ValueError:
        return None
    return config | {"path": str(Path(config["path"]).resolve())} if "path" in config else config


def write(dataset: str, model: str, overrides: Sequence[str], provenance: Sequence[str]) -> Path:
    """Write the overrides, with the lines of provenance above them as comments."""
    path = path_of(dataset, model)
    write_atomic(path, "".join(f"{line}\n" for line in (*(f"# {p}" for p in provenance), *overrides)).encode())
    return path


def score(dataset: str, model: str) -> float | None:
    """The validation NDCG@10 that the file tells of the chosen settings; None if there is none."""
    path = path_of(dataset, model)
    found = re.match(r"# validation NDCG@10 (\d+\.\d+)", path.read_text(encoding="utf-8")) if path.exists() else None
    return float(found[1]) if found else None


def path_of(dataset: str, model: str) -> Path:
    """The file of a model's chosen settings, whether it exists or not."""
    return FOLDER / dataset / f"{model}.txt"
