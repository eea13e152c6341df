"""Runs on a cluster: tasks of Ray, or jobs of Slurm. All machines share the current folder and that of the runs."""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import CommandOptions
from sdmr.experiments.core.parallel import THREAD_VARIABLES, Launcher, Outcome, make_outcome
from sdmr.experiments.core.trackers import Watch

WorkerContext = tuple[str, Mapping[str, str]]  # the current folder, and environment variables of the runs


class ClusterOptions(CommandOptions):
    """The options of commands whose runs may be made on a cluster."""

    cluster: Literal["none", "ray", "slurm"] = Field(
        "none", description="where `workers` runs are made at a time: on this machine, by Ray, or by Slurm"
    )
    job_minutes: int = Field(1440, ge=1, description="cluster=slurm: time limit of a job, which makes one run")


def get_launcher(options: ClusterOptions, runs: Path) -> Launcher | None:
    """Return what makes a run on the cluster; None for this machine. Raises UsageError if there is no such cluster."""
    if options.cluster == "none":
        return None
    names = [name for name in os.environ if name.startswith("SDMR_")]
    environment = {name: os.environ[name] for name in names} | dict.fromkeys((*THREAD_VARIABLES, "TQDM_DISABLE"), "1")
    context = (str(Path.cwd()), environment)
    try:
        return RayLauncher(context) if options.cluster == "ray" else SlurmLauncher(context, runs, options.job_minutes)
    except ImportError as error:
        hint = f"pip install 'sdmr-benchmark[{options.cluster}]'"
        raise UsageError(f"cluster={options.cluster}: {error.name} is not installed; {hint}") from error


class RayLauncher:
    """Makes runs as tasks of Ray."""

    def __init__(self, context: WorkerContext) -> None:
        """Connect to the head. Raises UsageError if there is none."""
        import ray

        try:
            ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
        except (ConnectionError, ray.exceptions.RayError) as error:
            hint = "`ray start --head` starts one; RAY_ADDRESS names another machine's"
            raise UsageError(f"cluster=ray: there is no head; {hint}") from error
        self._ray, self._context = ray, context
        # A worker makes one run: the memory of a process never falls below its peak.
        self._task = ray.remote(num_cpus=1, max_retries=0, max_calls=1)(_make_on_worker)
        self._tasks: set[Any] = set()

    def __call__(self, overrides: tuple[str, ...], runs: Path, watch: Watch | None, name: str) -> Outcome:
        task = self._task.remote(*self._context, overrides, runs, watch, name)
        self._tasks.add(task)
        try:
            outcome: Outcome = self._ray.get(task)
            return outcome
        except self._ray.exceptions.RayError as error:
            return _describe_death(overrides, error)
        finally:
            self._tasks.discard(task)

    def cancel(self) -> None:
        for task in list(self._tasks):
            self._ray.cancel(task, force=True)


class SlurmLauncher:
    """Makes runs as jobs of Slurm."""

    def __init__(self, context: WorkerContext, runs: Path, job_minutes: int) -> None:
        """Prepare the jobs. Raises UsageError if this machine has no Slurm."""
        import submitit

        # The folder has the scripts and the output of the jobs. SUBMITIT_EXECUTOR=local is for tests.
        cluster = os.environ.get("SUBMITIT_EXECUTOR", "slurm")
        try:
            self._executor = submitit.AutoExecutor(folder=runs / "slurm", cluster=cluster)
        except RuntimeError as error:
            raise UsageError(f"cluster=slurm: {error}; give the command on a machine that can submit jobs") from error
        self._executor.update_parameters(timeout_min=job_minutes, cpus_per_task=1, name="sdmr")
        utils = submitit.core.utils
        self._errors = (utils.UncompletedJobError, utils.FailedJobError, utils.FailedSubmissionError)
        self._context = context
        self._jobs: set[Any] = set()

    def __call__(self, overrides: tuple[str, ...], runs: Path, watch: Watch | None, name: str) -> Outcome:
        job = None
        try:
            job = self._executor.submit(_make_on_worker, *self._context, overrides, runs, watch, name)
            self._jobs.add(job)
            outcome: Outcome = job.result()
            return outcome
        except self._errors as error:
            return _describe_death(overrides, error)
        finally:
            self._jobs.discard(job)

    def cancel(self) -> None:
        for job in list(self._jobs):
            job.cancel()


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
