"""Measure speed (`suite=speed`), or one epoch of every model (`suite=smoke`).

`suite=speed`, the default, times every model beside other programs that compute the same. It draws the times of
training steps over sizes, and those of epochs by model. It needs no data set, takes a quarter of an hour, and writes
results/bench.json, plots/bench.png and plots/bench-epochs.png, each figure also as .pdf and .csv. `scale=quick` ends in
two minutes, and writes bench-quick.json and so on. `suite=smoke` writes results/smoke.md and .csv. Each suite has some
of the options:

    sdmr bench scale=quick
    sdmr bench only=[released,load]
    sdmr bench device=cuda
    sdmr bench suite=smoke datasets=ml-100k
"""

import os
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from sdmr.experiments.benchmark.cases import GROUPS, Measure, measure_device, measure_groups
from sdmr.experiments.benchmark.curves import draw_curves, draw_epochs
from sdmr.experiments.benchmark.scale import SCALES, Scale
from sdmr.experiments.benchmark.smoke import DATASETS, run_smoke
from sdmr.experiments.core import cli
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.execute import check_device
from sdmr.experiments.core.options import Names, RunOptions, check_choices, check_used
from sdmr.experiments.core.plan import check_overrides
from sdmr.experiments.core.registry import MODELS
from sdmr.harness.files import save_json
from sdmr.harness.records import collect_environment

SUITE_OPTIONS = {
    "suite=speed": ("scale", "threads", "recbole", "only", "device", "results", "plots"),
    "suite=speed with device=...": ("scale", "threads", "device"),
    "suite=speed with only=...": ("scale", "threads", "recbole", "only"),
    "suite=smoke": ("datasets", "models", "workers", "runs", "results", "overrides"),
}


class Options(RunOptions):
    suite: Literal["speed", "smoke"] = Field("speed", description="what to measure")
    scale: Literal["full", "quick", "tiny"] = Field(
        "full", description="speed: how much; quick: two minutes; tiny: a test run, ignore its numbers"
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="speed: threads of each measurement; null: one, or all cores for released, recbole, "
        "side_by_side and load",
    )
    only: Names | None = Field(None, description=f"speed: measure some of {', '.join(GROUPS)}, and write no file")
    device: str | None = Field(
        None, description="speed: a device whose training steps are compared with the processor's; write no file"
    )
    recbole: str | None = Field(
        None, description="speed: a Python with RecBole 1.2.1; null: the Python that runs sdmr, if it has RecBole"
    )
    plots: str = Field("plots", description="speed: folder of the figures")
    datasets: Names = Field(list(DATASETS), description="smoke: data sets")
    models: Names | None = Field(None, description="smoke: models; null: all")


def main(options: Options) -> int:
    subject = f"suite={options.suite}"
    if options.suite == "speed" and (options.device or options.only):
        subject += " with device=..." if options.device else " with only=..."
    check_used(options, ("suite", *SUITE_OPTIONS[subject]), subject)
    if options.suite == "speed":
        measure_speed(options)
        return 0
    check_overrides(options.overrides)
    folders = {"runs": Path(options.runs), "results": Path(options.results)}
    models = options.models or list(MODELS)
    succeeded = run_smoke(options.datasets, models, options.overrides, workers=options.workers, **folders)
    return 0 if succeeded else cli.FAILED


def choose_groups(options: Options) -> tuple[Scale, list[Measure]]:
    """Return how much is measured, and what. Raises UsageError for options that do not fit."""
    check_choices("only", options.only or (), GROUPS)
    scale, names = SCALES[options.scale], options.only or list(GROUPS)
    if options.device:
        check_device(options.device)
        return scale, [partial(measure_device, device=options.device)]
    if options.recbole:
        if "recbole" not in names:
            raise UsageError("recbole=... has no effect here: only=... names other groups; add recbole to them")
        if not (program := shutil.which(options.recbole)):
            raise UsageError(f"recbole={options.recbole!r:.80}: there is no such program, expected a path of Python")
        scale = replace(scale, recbole=os.path.abspath(program))  # it runs in another folder
    return scale, [GROUPS[name] for name in names]


def measure_speed(options: Options) -> None:
    """Time the cases; write results/bench.json and the figures, unless only some groups are measured."""
    scale, groups = choose_groups(options)
    os.environ["TQDM_DISABLE"] = "1"  # no progress bars between the lines of the measurements
    environment = collect_environment()
    machine, commit = f"{environment['processor']}, {environment['cores']} cores", environment["commit"]
    print(f"{machine}; commit {commit}")
    print("times as fast as the reference, least and most of a round (by processor time); seconds (of all processors)")
    entries = measure_groups(scale, groups, options.threads)
    if options.only or options.device:
        return
    name = "bench" if options.scale == "full" else f"bench-{options.scale}"
    rows = [entry.get_row() | {"machine": machine, "commit": commit} for entry in entries]
    save_json(rows, Path(options.results) / f"{name}.json")
    print(f"{options.results}/{name}.json")
    draw_curves(rows, Path(options.plots), name, machine)
    draw_epochs(rows, Path(options.plots), f"{name}-epochs", machine)


if __name__ == "__main__":
    sys.exit(cli.main(["bench", *sys.argv[1:]]))
