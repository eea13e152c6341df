"""A task without a model: for commands that write a split, or rank scores made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from sdmr.experiments.core.options import CommandOptions, ConfigError
from sdmr.experiments.core.run import Run, compose_run


class TaskOptions(CommandOptions):
    """Options that all commands share which need a task and train no model."""

    dataset: str = Field("ml-100k", description="data set")
    overrides: list[str] = Field(
        default_factory=list, description="settings of the task: dataset.*, protocol.*, split_seed"
    )


def is_task_override(override: str) -> bool:
    """Return whether an override may change split, candidates or ranking, whatever the model."""
    key = override.lstrip("+").partition("=")[0]
    is_setting = key in ("dataset", "split_seed") or key.startswith(("dataset.", "protocol."))
    return is_setting and key != "protocol.select_on"


def check_task_overrides(overrides: Sequence[str]) -> None:
    """Raise ConfigError for an override that does not change the task."""
    for override in overrides:
        if not is_task_override(override):
            key = override.lstrip("+").partition("=")[0]
            allowed = "dataset.*, protocol.* without protocol.select_on, and split_seed"
            raise ConfigError(f"{key} has no effect here, since no model is trained; allowed are {allowed}")


def compose_task(dataset: str, overrides: Sequence[str], runs: Path = Path("runs")) -> Run:
    """Return the run of the simplest model on a task.

    Raises ConfigError for an override that does not change the task, DataError for a data set that cannot be read.
    """
    check_task_overrides(overrides)
    return compose_run(["model=popularity", f"dataset={dataset}", *overrides], runs)
