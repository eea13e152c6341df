"""Hydra's view of the models: one config each, read off the constructor, so that no setting is written down twice."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf, open_dict

from harness.optimiser import Optimisation


@dataclasses.dataclass(frozen=True)
class Model:
    """A model as the tables know it."""

    name: str  # as the paper prints it
    target: str  # the class
    fixed: dict[str, Any] = dataclasses.field(default_factory=dict)  # settings that make it this model


# Choice on the command line -> model. The order is that of Table 3.
MODELS = {
    "popularity": Model("Popularity", "baselines.popularity.Popularity"),
    "item-knn": Model("Item-KNN", "baselines.item_knn.ItemKNN"),
    "slim": Model("SLIM", "baselines.slim.SLIM"),
    "mf-bpr": Model("MF-BPR", "baselines.mf_bpr.MFBPR"),
    "cml": Model("CML", "baselines.cml.CML"),
    "neumf": Model("NeuMF++", "baselines.neumf.NeuMF"),
    "cmn": Model("CMN++", "baselines.cmn.CMN", {"gmf": {"objective": "bpr"}}),
    "prme": Model("PRME", "baselines.prme.PRME", {"context_length": 1}),
    "prme-s": Model("PRME_s", "baselines.prme.PRME"),
    "transrec": Model("TransRec", "baselines.transrec.TransRec"),
    "caser": Model("Caser", "baselines.caser.Caser"),
    "sdp": Model("SDP", "models.sdp.SDP"),
    "sdm": Model("SDM", "models.sdm.SDM"),
    "sdmr": Model("SDMR", "models.sdmr.SDMR"),
}

# Settings whose plain value is the data set's, not the model's.
OF_THE_DATASET = ("epochs", "patience", "context_length")


def class_of(target: str) -> type:
    """The class that a dotted path names. Raises ValueError, saying what is missing."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"model._target_={target}: no such class can be imported ({error})") from error


def config_of(target: str) -> dict[str, Any]:
    """A config with the class's constructor arguments and their defaults.

    A part (an argument whose type is a class of our own) becomes a nested config of that class.
    """
    cls = class_of(target)
    config: dict[str, Any] = {"_target_": target}
    hints = get_type_hints(vars(cls).get("__init__", object.__init__))
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in OF_THE_DATASET:
            config[name] = f"${{{name}}}"
        elif isinstance(parameter.default, Optimisation):
            values = dataclasses.asdict(parameter.default)
            values |= {key: f"${{{key}}}" for key in values if key in OF_THE_DATASET}
            config[name] = {"_target_": f"{Optimisation.__module__}.{Optimisation.__name__}", **values}
        elif parameter.default is not inspect.Parameter.empty:
            config[name] = parameter.default
        elif inspect.isclass(hints.get(name)) and hints[name].__module__.split(".")[0] in ("models", "baselines"):
            config[name] = config_of(f"{hints[name].__module__}.{hints[name].__name__}")
        else:
            config[name] = "???"
    return config


@cache
def register() -> None:
    """Make `model=NAME` known to Hydra, for every model."""
    for choice, model in MODELS.items():
        node = OmegaConf.merge(config_of(model.target), model.fixed)
        ConfigStore.instance().store(group="model", name=choice, node=node)


def compose_run(overrides: Sequence[str]) -> tuple[dict[str, Any], str]:
    """The resolved config that `experiments.run` would see with these overrides, and the name of its data set."""
    register()
    with initialize_config_dir(str(Path(__file__).parent / "conf"), version_base="1.3"):
        config = compose("config", overrides=list(overrides), return_hydra_config=True)
    dataset = str(config.hydra.runtime.choices["dataset"])
    with open_dict(config):
        del config.hydra
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True), dataset  # type: ignore[return-value]
