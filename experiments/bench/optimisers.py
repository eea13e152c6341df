"""Adam to the letter against Adam on the batch's rows, on ML-100k: `python -m sdmr.experiments.bench.optimisers`.

Plain settings; validation metrics only, since the default is chosen by this table. Runs are made if they are missing;
what a training step takes is measured anew, in turns, on data of ML-100k's shape.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sdmr.datasets.files import write_atomic
from sdmr.experiments.bench.inputs import excerpt, synthetic
from sdmr.experiments.bench.measure import BATCH, OPTIMIZER, Scale, least, of_training, recommender
from sdmr.experiments.configs import MODELS
from sdmr.experiments.figures.collect import Wanted, command_line, sources_of
from sdmr.experiments.figures.drawing import write_csv
from sdmr.experiments.jobs import at_least_one

CHOICES = ("mf-bpr", "sdp", "sdm")
OPTIMISERS = ("dense", "rowwise")


def wanted(models: Sequence[str], seeds: int, overrides: Sequence[str]) -> dict[tuple[str, str, int], Wanted]:
    """The runs by (model, optimizer, seed)."""
    return {
        (model, optimizer, seed): Wanted(
            (f"model={model}", "test=false", f"seed={seed}", f"{OPTIMIZER}={optimizer}", *overrides)
        )
        for seed in range(seeds)
        for model in models
        for optimizer in OPTIMISERS
    }


def step_seconds(models: Sequence[str], scale: Scale) -> dict[tuple[str, str], float]:
    """Seconds of a training step by (model, optimizer)."""
    training = excerpt(synthetic(*scale.shape, scale.n_candidates).training, scale.steps * BATCH)
    seconds: dict[tuple[str, str], float] = {}
    for model in models:
        each = [of_training(recommender(model, f"{OPTIMIZER}={optimizer}"), training) for optimizer in OPTIMISERS]
        times = least(scale.rounds, *each)
        seconds |= {(model, optimizer): time for optimizer, time in zip(OPTIMISERS, times, strict=True)}
    return seconds


def row_of(key: tuple[str, str, int], record: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What the table says of a run, whose training step takes so many seconds."""
    return {
        **dict(zip(("model", "optimizer", "seed"), key, strict=True)),
        "validation_ndcg@10": record["validation"]["NDCG@10"]["expected"],
        "best_epoch": record["best_epoch"],
        "step_seconds": seconds,
        "commit": record["environment"]["commit"],
    }


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table for reading, a line a model and optimizer."""
    lines = [
        "# Dense and row-wise Adam on ML-100k",
        "",
        "Validation NDCG@10 of the best epoch, that epoch, and milliseconds of a training step of 256 positives.",
        "",
        "| model | optimizer | NDCG@10 by seed | mean | best epoch | ms a step |",
        "|---|---|---|---:|---|---:|",
    ]
    for model, optimizer in dict.fromkeys((row["model"], row["optimizer"]) for row in rows):
        those = [row for row in rows if (row["model"], row["optimizer"]) == (model, optimizer)]
        values = [row["validation_ndcg@10"] for row in those]
        lines.append(
            f"| {MODELS[model].name} | {optimizer} | {', '.join(f'{value:.4f}' for value in values)} "
            f"| {statistics.mean(values):.4f} | {', '.join(str(row['best_epoch']) for row in those)} "
            f"| {1000 * those[0]['step_seconds']:.2f} |"
        )
    seeds = len({row["seed"] for row in rows})
    return "\n".join([*lines, "", f"Made by `python -m sdmr.experiments.bench.optimisers --seeds {seeds}`."]) + "\n"


def main() -> int:
    parser = command_line(__doc__, "optimisers")
    parser.add_argument("--seeds", type=at_least_one, default=2, help="seeds 0 … n − 1")
    parser.add_argument("--models", nargs="+", choices=CHOICES, default=CHOICES)
    arguments = parser.parse_intermixed_args()
    runs = wanted(arguments.models, arguments.seeds, arguments.overrides)
    found = sources_of(runs, arguments)
    if not found:
        return 1
    torch.set_num_threads(1)
    seconds = step_seconds(arguments.models, Scale())
    rows = [row_of(key, source.record, seconds[key[:2]]) for key, source in found.items()]
    write_csv(arguments.results / f"{arguments.name}.csv", rows)
    path: Path = arguments.results / f"{arguments.name}.md"
    write_atomic(path, markdown(rows).encode())
    print(path.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
