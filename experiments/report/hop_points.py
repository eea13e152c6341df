"""The published records of Figure 6, by hops, embedding size, context length and seed."""

import re
from pathlib import Path
from typing import NamedTuple

from sdmr.experiments.core.run_files import RECORD

# The name of a record's folder: `sdm-hops3-d64-s5-0`; `s5` is the context length, which not every model has.
NAME = re.compile(r"(?P<model>.+)-hops(?P<hops>\d+)-d(?P<dim>\d+)(-s(?P<context_length>\d+))?-(?P<seed>\d+)")


class HopPoint(NamedTuple):
    """What a published record of Figure 6 shows."""

    folder: Path
    dataset: str
    model: str
    hops: int
    dim: int
    context_length: int | None
    seed: int

    @property
    def name(self) -> str:
        """Return the name of the folder without the seed."""
        return self.folder.name.rpartition("-")[0]


def name_point(model: str, hops: int, dim: int, context_length: int | None, seed: int) -> str:
    """Return the name of a record's folder."""
    context = "" if context_length is None else f"-s{context_length}"
    return f"{model}-hops{hops}-d{dim}{context}-{seed}"


def list_hop_points(results: Path) -> list[HopPoint]:
    """Return the published points of all data sets and models, by their folders."""
    points = []
    for path in sorted((results / "records" / "figure6").glob(f"*/*/{RECORD}")):
        if match := NAME.fullmatch(path.parent.name):
            hops, dim, seed = (int(match[key]) for key in ("hops", "dim", "seed"))
            length = int(match["context_length"]) if match["context_length"] else None
            points.append(HopPoint(path.parent, path.parents[1].name, match["model"], hops, dim, length, seed))
    return points
