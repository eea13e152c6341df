"""What a run does in another way than the paper: named in its record and in the caption of a table."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from sdmr.experiments.core.config import CONF
from sdmr.experiments.core.run import Run

PAPER_DEFAULTS = {"variant": "paper", "dropout_at_test": "off"}  # of models that have these arguments


def list_deviations(run: Run) -> dict[str, Any]:
    """Return what differs from the default protocol and split, the data set's order, and the paper's model."""
    deviations = run.protocol.deviations
    if split_seed := run.config.get("split_seed", 0):
        deviations["split_seed"] = split_seed
    order = run.config["dataset"].get("order")
    if order != _default_order(run.dataset):
        deviations["order"] = order
    arguments = {key: run.config["model"].get(key, value) for key, value in PAPER_DEFAULTS.items()}
    return deviations | {key: value for key, value in arguments.items() if value != PAPER_DEFAULTS[key]}


def format_deviations(deviations: dict[str, Any]) -> str:
    """Return deviations as they are written on the command line."""
    return ", ".join(f"{name}={value}" for name, value in deviations.items())


def _default_order(dataset: str) -> str | None:
    config = OmegaConf.load(CONF / "dataset" / f"{dataset}.yaml")
    order: str | None = OmegaConf.select(config, "dataset.order") or OmegaConf.select(config, "order")
    return order
