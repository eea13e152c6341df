"""The runs that a figure shows, and the attention of their saved models."""

from collections.abc import Iterable, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sdmr.datasets.interactions import IntArray
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.plan import FoundRun, PlannedRun, find_or_train, plan_runs, report_missing
from sdmr.experiments.core.registry import PAPER_ROWS
from sdmr.experiments.core.run import load_task
from sdmr.experiments.core.store import get_published_folder, get_published_settings
from sdmr.experiments.figures.options import FigureOptions
from sdmr.experiments.report.printed import DATASETS
from sdmr.harness.ids import tabulate_items, tabulate_users
from sdmr.models.sdm import SDM

BATCH_SIZE = 1024  # instances


def find_or_make_runs(options: FigureOptions, planned: Sequence[PlannedRun], train: bool) -> dict[PlannedRun, FoundRun]:
    """Return the planned runs that have a record, in order, and report the others.

    Raises UsageError for settings that no run can have.
    """
    for one in planned[:1]:
        compose_config(one.overrides)
    findings = find_or_train(planned, Path(options.runs), options.workers, train)
    report_missing(planned, findings)
    if not findings.runs:
        print(f"{options.file_name} is not drawn: none of its runs exists")
    return findings.runs


def find_table_runs(options: FigureOptions) -> tuple[dict[PlannedRun, FoundRun], str]:
    """Find the runs behind Table 3 or 4 without making any. Also returns the words on how many are missing."""
    models, results = options.models or list(PAPER_ROWS), Path(options.results)
    experiment = "table4" if options.dataset in DATASETS[4] else "table3"
    planned = plan_runs(models, [options.dataset], options.seeds, options.settings, options.overrides)
    for index, run in enumerate(planned):
        settings = get_published_settings(results, experiment, run.dataset, run.model)
        if settings == options.settings and not options.overrides:
            folder = get_published_folder(results, experiment, run.dataset, f"{run.model}-{run.seed}")
            planned[index] = replace(run, published=folder)
    runs = find_or_make_runs(options, planned, train=False)
    return runs, describe_missing(planned, runs)


def describe_missing(planned: Sized, runs: Sized) -> str:
    """Return the words under a figure on how many of its runs are missing."""
    count = len(planned) - len(runs)
    return f"; {count} of {len(planned)} runs are missing" if count else ""


def plan_sdm_runs(options: FigureOptions, hops: Iterable[int], seeds: Iterable[int]) -> list[PlannedRun]:
    """Plan runs of SDM by number of hops. Models are not published: only this machine has them."""
    size = f"model.dim={options.dim}"
    return [
        PlannedRun("sdm", options.dataset, seed, (f"model.hops={number}", size, *options.overrides))
        for seed in seeds
        for number in hops
    ]


def compute_attention(model: SDM, users: IntArray, contexts: IntArray, targets: IntArray) -> NDArray[np.float64]:
    """Return [H, n, s], each hop's weights over contexts [n, s] for targets [n]."""
    inputs = [torch.tensor(ids, device=model.device).split(BATCH_SIZE) for ids in (users, contexts, targets[:, None])]
    with torch.inference_mode():
        batches = [model.compute_attention(*batch)[:, :, 0] for batch in zip(*inputs, strict=True)]
    return torch.cat(batches, dim=1).double().cpu().numpy()


def load_ids(run: FoundRun) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the raw ids of users and items.

    Data that come with their split have numbers only.
    """
    training = load_task(run.record.config)[0].training
    return tabulate_users(training)["id"].to_numpy(), tabulate_items(training)["id"].to_numpy()
