"""Hydra's view of the models: one config each, read off the constructor, so that no setting is written down twice."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore

from harness.optimiser import Optimisation

# Choice on the command line -> (name in the paper's tables, class). The order is that of Table 3.
MODELS = {
    "popularity": ("Popularity", "baselines.popularity.Popularity"),
    "mf-bpr": ("MF-BPR", "baselines.mf_bpr.MFBPR"),
    "sdp": ("SDP", "models.sdp.SDP"),
    "sdm": ("SDM", "models.sdm.SDM"),
    "sdmr": ("SDMR", "models.sdmr.SDMR"),
}


def class_of(target: str) -> type:
    """The class that a dotted path names. Raises ValueError, saying what is missing."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"model._target_={target}: no such class can be imported ({error})") from error


def config_of(target: str) -> dict[str, Any]:
    """A config with the class's constructor arguments and their defaults.

    A part (an argument whose type is a class of our own) becomes a nested config of that class. The length of training
    is left to the data set.
    """
    cls = class_of(target)
    config: dict[str, Any] = {"_target_": target}
    hints = get_type_hints(vars(cls).get("__init__", object.__init__))
    for name, parameter in inspect.signature(cls).parameters.items():
        if isinstance(parameter.default, Optimisation):
            values = dataclasses.asdict(parameter.default) | {"epochs": "${epochs}", "patience": "${patience}"}
            config[name] = {"_target_": "harness.optimiser.Optimisation", **values}
        elif parameter.default is not inspect.Parameter.empty:
            config[name] = parameter.default
        elif inspect.isclass(hints.get(name)) and hints[name].__module__.split(".")[0] in ("models", "baselines"):
            config[name] = config_of(f"{hints[name].__module__}.{hints[name].__name__}")
        else:
            config[name] = "???"
    return config


def register() -> None:
    """Make `model=NAME` known to Hydra, for every model."""
    for choice, (_, target) in MODELS.items():
        ConfigStore.instance().store(group="model", name=choice, node=config_of(target))
