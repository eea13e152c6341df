"""Measure speed (`suite=speed`), or one epoch of every model (`suite=smoke`).

`suite=speed` times every model, SDP and SDM beside literal oracles, and draws what grows with what. It needs no data
set, takes some minutes, and writes results/bench.json and plots/bench.png, .pdf and .csv. `suite=smoke` writes
results/smoke.md and .csv. Each suite has some of the options:

    sdmr bench suite=speed only=[models,parts]
    sdmr bench suite=smoke datasets=ml-100k
"""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from sdmr.experiments.benchmark.cases import GROUPS, TINY, Scale, measure_groups
from sdmr.experiments.benchmark.curves import draw_curves
from sdmr.experiments.benchmark.suites import DATASETS, run_smoke
from sdmr.experiments.core import cli
from sdmr.experiments.core.options import CORES, Names, RunOptions, check_choices, check_used
from sdmr.experiments.core.plan import check_overrides
from sdmr.experiments.core.registry import MODELS
from sdmr.harness.files import save_json
from sdmr.harness.records import collect_environment

SUITE_OPTIONS = {
    "speed": ("threads", "only", "tiny", "results", "plots"),
    "smoke": ("datasets", "models", "workers", "runs", "results", "overrides"),
}


class Options(RunOptions):
    suite: Literal["speed", "smoke"] = Field(description="what to measure")
    threads: int = Field(CORES, ge=1, description="speed: threads of each measurement")
    only: Names | None = Field(None, description=f"speed: measure some of {', '.join(GROUPS)}, and write no file")
    tiny: bool = Field(False, description="speed: so little that the numbers say nothing, to see whether it runs")
    plots: str = Field("plots", description="speed: folder of the figure")
    datasets: Names = Field(list(DATASETS), description="smoke: data sets")
    models: Names | None = Field(None, description="smoke: models; null: all")


def main(options: Options) -> int:
    names = SUITE_OPTIONS[options.suite]
    if options.suite == "speed" and options.only:
        names = ("threads", "only", "tiny")
    check_used(options, ("suite", *names), f"suite={options.suite}")
    check_overrides(options.overrides)
    if options.suite == "speed":
        measure_speed(options)
        return 0
    folders = {"runs": Path(options.runs), "results": Path(options.results)}
    models = options.models or list(MODELS)
    succeeded = run_smoke(options.datasets, models, options.overrides, workers=options.workers, **folders)
    return 0 if succeeded else cli.FAILED


def measure_speed(options: Options) -> None:
    """Time the cases; write results/bench.json and the growth curves, unless only some groups are measured."""
    groups = options.only or list(GROUPS)
    check_choices("only", groups, GROUPS)
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(options.threads)
    environment = collect_environment()
    machine, commit = f"{environment['processor']}, {environment['cores']} cores", environment["commit"]
    print(f"{machine}; {options.threads} threads; commit {commit}; ratio: times faster than the oracle")
    entries = measure_groups(TINY if options.tiny else Scale(), groups)
    if options.only:
        return
    rows = [asdict(entry) | {"ratio": entry.ratio, "machine": machine, "commit": commit} for entry in entries]
    save_json(rows, Path(options.results) / "bench.json")
    print(f"{options.results}/bench.json")
    draw_curves(rows, Path(options.plots), machine)


if __name__ == "__main__":
    sys.exit(cli.main(["bench", *sys.argv[1:]]))
