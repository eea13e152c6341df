"""The published records of Figure 6, by hops, embedding size, context length and seed."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sdmr.experiments.core.plan import FoundRun, PlannedRun
from sdmr.experiments.core.registry import get_model
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.report.printed import METRICS

# The name of a record's folder: `sdm-hops3-d64-s5-0`; `s5` is the context length, which not every model has.
NAME = re.compile(r"(?P<model>.+)-hops(?P<hops>\d+)-d(?P<dim>\d+)(-s(?P<context_length>\d+))?-(?P<seed>\d+)")
# Data set, model, hops, dim, context_length (None for a model without context) and seed of a run.
Point = dict[str, Any]


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


def build_hop_frame(points: Mapping[PlannedRun, Point], runs: Mapping[PlannedRun, FoundRun]) -> pd.DataFrame:
    """Return the numbers behind the figure, one row a record."""
    rows = []
    for planned, run in runs.items():
        record = run.record
        values = {metric: record.metrics()[metric]["expected"] for metric in METRICS}
        origin = {"best_epoch": record.best_epoch, "commit": record.environment.commit}
        rows.append(points[planned] | values | origin)
    return pd.DataFrame(rows).astype({"context_length": "Int64"})


def read_published_points(results: Path) -> pd.DataFrame:
    """Return the published points, a row a metric: mean and spread over seeds.

    `name` is that of the point's records without the seed.
    """
    points, runs = {}, {}
    for point in list_hop_points(results):
        planned = PlannedRun(point.model, point.dataset, point.seed, published=point.folder)
        points[planned] = point._asdict() | {"name": point.name}
        runs[planned] = FoundRun(point.folder, is_published=True)
    if not runs:
        return pd.DataFrame()
    keys = ["dataset", "model", "name", "hops", "dim", "context_length", "metric"]
    values = build_hop_frame(points, runs).melt([*keys[:-1], "seed"], list(METRICS), "metric")
    groups = values.groupby(keys, sort=False, dropna=False)["value"]
    means = groups.agg(mean="mean", spread="std", seeds="count").reset_index()
    return means.assign(model=[get_model(name).name for name in means["model"]])
