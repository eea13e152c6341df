"""Runs on a cluster: tasks of Ray, or jobs of Slurm. All machines share the current folder and that of the runs."""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import CommandOptions
from sdmr.experiments.core.parallel import THREAD_VARIABLES, Launch, Outcome, make_outcome
from sdmr.experiments.core.trackers import Watch

WorkerContext = tuple[str, Mapping[str, str]]  # the current folder, and environment variables of the runs


class ClusterOptions(CommandOptions):
    """The options of commands whose runs may be made on a cluster."""

    cluster: Literal["none", "ray", "slurm"] = Field(
        "none", description="where `workers` runs are made at a time: on this machine, by Ray, or by Slurm"
    )
    job_minutes: int = Field(1440, ge=1, description="cluster=slurm: time limit of a job, which makes one run")


def get_launcher(options: ClusterOptions, runs: Path) -> Launch | None:
    """Return what makes a run on the cluster; None for this machine. Raises UsageError if there is no such cluster."""
    if options.cluster == "none":
        return None
    names = [name for name in os.environ if name.startswith("SDMR_")]
    environment = {name: os.environ[name] for name in names} | dict.fromkeys((*THREAD_VARIABLES, "TQDM_DISABLE"), "1")
    context = (str(Path.cwd()), environment)
    try:
        return _connect_ray(context) if options.cluster == "ray" else _connect_slurm(context, runs, options.job_minutes)
    except ImportError as error:
        hint = f"pip install 'sdmr-benchmark[{options.cluster}]'"
        raise UsageError(f"cluster={options.cluster}: {error.name} is not installed; {hint}") from error


def _connect_ray(context: WorkerContext) -> Launch:
    import ray

    try:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
    except (ConnectionError, ray.exceptions.RayError) as error:
        hint = "`ray start --head` starts one; RAY_ADDRESS names another machine's"
        raise UsageError(f"cluster=ray: there is no head; {hint}") from error
    task = ray.remote(num_cpus=1, max_retries=0)(_make_on_worker)

    def launch(overrides: tuple[str, ...], runs: Path, watch: Watch | None, name: str) -> Outcome:
        try:
            outcome: Outcome = ray.get(task.remote(*context, overrides, runs, watch, name))
            return outcome
        except ray.exceptions.RayError as error:
            return _describe_death(overrides, error)

    return launch


def _connect_slurm(context: WorkerContext, runs: Path, job_minutes: int) -> Launch:
    import submitit

    # The folder has the scripts and the output of the jobs. SUBMITIT_EXECUTOR=local is for tests.
    executor = submitit.AutoExecutor(folder=runs / "slurm", cluster=os.environ.get("SUBMITIT_EXECUTOR", "slurm"))
    executor.update_parameters(timeout_min=job_minutes, cpus_per_task=1, name="sdmr")

    def launch(overrides: tuple[str, ...], runs: Path, watch: Watch | None, name: str) -> Outcome:
        try:
            outcome: Outcome = executor.submit(_make_on_worker, *context, overrides, runs, watch, name).result()
            return outcome
        except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError) as error:
            return _describe_death(overrides, error)

    return launch


def _describe_death(overrides: tuple[str, ...], error: Exception) -> Outcome:
    lines = [line for line in str(error).splitlines() if line.strip()] or ["no message"]
    return Outcome(overrides, None, f"its job has died: {type(error).__name__}: {lines[-1][:200]}", has_died=True)


def _make_on_worker(
    folder: str, environment: Mapping[str, str], overrides: tuple[str, ...], runs: Path, watch: Watch | None, name: str
) -> Outcome:
    """Make a run in a cluster's worker as on this machine."""
    os.environ.update(environment)
    os.chdir(folder)
    if folder not in sys.path:  # for a model of the user's own
        sys.path.insert(0, folder)
    return make_outcome(overrides, runs, watch, name)
