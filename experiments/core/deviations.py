"""What a run does in another way than the paper: named in its record and in the caption of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from sdmr.experiments.core.config import CONF
from sdmr.experiments.core.registry import import_class
from sdmr.experiments.core.run import Run

PAPER_DEFAULTS = {"dropout_at_test": "off"}  # of models that have this argument


def list_deviations(run: Run) -> dict[str, Any]:
    """Return what differs from the default protocol and split, the data set's order, and the paper's models."""
    deviations = run.protocol.deviations
    if split_seed := run.config.get("split_seed", 0):
        deviations["split_seed"] = split_seed
    order = run.config["dataset"].get("order")
    if order != _default_order(run.dataset):
        deviations["order"] = order
    return deviations | list_model_deviations(run.config["model"])


def list_model_deviations(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a model, its parts included, whose values are not the paper's.

    An argument of a part or of training has a dotted name. The first entry is `variant: released`, if the model is one
    of `sdmr.models.released` and any argument differs.
    """
    choices = getattr(import_class(config["_target_"]), "PAPER_CHOICES", None)
    deviations: dict[str, Any] = {}
    for name, paper in (choices or PAPER_DEFAULTS).items():
        value = OmegaConf.select(OmegaConf.create(dict(config)), name, default=paper)
        if value != paper:
            deviations[name] = value
    for name, part in config.items():
        if isinstance(part, Mapping) and "_target_" in part:
            inner = list_model_deviations(part).items()
            deviations |= {f"{name}.{key}": value for key, value in inner if key != "variant"}
    return {"variant": "released"} | deviations if choices and deviations else deviations


def format_deviations(deviations: dict[str, Any]) -> str:
    """Return deviations as they are written on the command line."""
    return ", ".join(f"{name}={value}" for name, value in deviations.items())


def _default_order(dataset: str) -> str | None:
    config = OmegaConf.load(CONF / "dataset" / f"{dataset}.yaml")
    order: str | None = OmegaConf.select(config, "dataset.order") or OmegaConf.select(config, "order")
    return order
