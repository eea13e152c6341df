"""Hydra's view of the models: one config each, read off the constructor, so that no setting is written down twice.

A model is chosen by its short name (`model=sdm`), or, if it is anyone's own, by its class (`model._target_=my.Model`,
or `model=my.Model`, which is the same).
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from sdmr.harness.metrics import TiePolicy
from sdmr.harness.protocol import Protocol
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.variant import by_variant


@dataclasses.dataclass(frozen=True)
class Model:
    """A model as the tables know it."""

    name: str  # as the paper prints it
    target: str  # the class
    fixed: dict[str, Any] = dataclasses.field(default_factory=dict)  # settings that make it this model


# Choice on the command line -> model. The order is that of Table 3.
MODELS = {
    "popularity": Model("Popularity", "sdmr.baselines.popularity.Popularity"),
    "item-knn": Model("Item-KNN", "sdmr.baselines.item_knn.ItemKNN"),
    "slim": Model("SLIM", "sdmr.baselines.slim.SLIM"),
    "mf-bpr": Model("MF-BPR", "sdmr.baselines.mf_bpr.MFBPR"),
    "cml": Model("CML", "sdmr.baselines.cml.CML"),
    "neumf": Model("NeuMF++", "sdmr.baselines.neumf.NeuMF"),
    "cmn": Model("CMN++", "sdmr.baselines.cmn.CMN", {"gmf": {"objective": "bpr"}}),
    "prme": Model("PRME", "sdmr.baselines.prme.PRME", {"context_length": 1}),
    "prme-s": Model("PRME_s", "sdmr.baselines.prme.PRME"),
    "transrec": Model("TransRec", "sdmr.baselines.transrec.TransRec"),
    "caser": Model("Caser", "sdmr.baselines.caser.Caser"),
    "sdp": Model("SDP", "sdmr.models.sdp.SDP"),
    "sdm": Model("SDM", "sdmr.models.sdm.SDM"),
    "sdmr": Model("SDMR", "sdmr.models.sdmr.SDMR"),
}

OmegaConf.register_new_resolver("by_variant", by_variant, replace=True)

CONF = Path(__file__).parent / "conf"
LAYERS = ("datasets", "harness", "models", "baselines", "experiments")
# Settings whose plain value is the data set's, not the model's.
OF_THE_DATASET = ("epochs", "patience", "context_length", "validation_instances")


# What the settings of a run are, where no constructor says it.
KINDS = {"test": bool, "force": bool, "seed": int, "split_seed": int, "threads": int}


def model_of(choice: str) -> Model:
    """The model of a choice: one of `MODELS`, or the class that a dotted path names, known by the whole path."""
    return MODELS.get(choice, Model(choice, choice))


def class_of(target: str) -> type:
    """The class that a dotted path names. Raises ValueError, saying what is missing."""
    module, _, name = target.rpartition(".")
    if _is_name_before_the_package(module):
        raise ValueError(f"model._target_={target}: the class of this suite is sdmr.{target}")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"model._target_={target}: no such class can be imported ({error})") from error


def _is_name_before_the_package(module: str) -> bool:
    """Whether a dotted name is that of a module of this suite without `sdmr.`, and not a module of the user's."""
    top = module.split(".")[0]
    if top not in LAYERS or find_spec(f"sdmr.{top}") is None or find_spec(f"sdmr.{module}") is None:
        return False
    spec = find_spec(top)
    return spec is None or (spec.origin is not None and Path(spec.origin).is_relative_to(CONF.parents[1]))


def config_of(target: str) -> dict[str, Any]:
    """A config with the class's constructor arguments and their defaults.

    A part (an argument whose type is a recommender) becomes a nested config of that class. Raises ValueError if the
    class is no recommender, or has a default that no command line can hold.
    """
    cls = class_of(target)
    _refuse_other_classes(target, cls)
    config: dict[str, Any] = {"_target_": target}
    for name, parameter in inspect.signature(cls, eval_str=True).parameters.items():
        kind = parameter.annotation
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        if name in OF_THE_DATASET:
            config[name] = f"${{{name}}}"
        elif name in getattr(cls, "DIFFERENCES", {}):
            config[name] = _of_either(*cls.DIFFERENCES[name])  # type: ignore[attr-defined]
        elif isinstance(parameter.default, OptimizationConfig):
            config[name] = _of_optimization(parameter.default)
        elif parameter.default is not inspect.Parameter.empty:
            config[name] = parameter.default
        elif inspect.isclass(kind) and hasattr(kind, "fit") and hasattr(kind, "score"):
            config[name] = config_of(f"{kind.__module__}.{kind.__name__}")
            if "variant" in config[name] and "variant" in inspect.signature(cls).parameters:
                config[name]["variant"] = "${..variant}"
        else:
            config[name] = "???"
    try:
        OmegaConf.create(config)
    except OmegaConfBaseException as error:
        raise ValueError(f"model._target_={target}: {error}") from error
    return config


def refuse_other_kinds(config: Mapping[str, Any]) -> None:
    """Raise ValueError for a setting of a run that is a word where a number or true or false is expected."""
    for name, kind in KINDS.items():
        if name in config and not _fits(config[name], kind):
            raise ValueError(f"{name} must be {_told(kind)}, not {config[name]!r}")
    if config.get("threads", 1) < 1:
        raise ValueError(f"threads must be at least 1, not {config['threads']}")
    for name in ("model", "dataset"):
        _refuse_other_arguments(config[name], name)


def _refuse_other_arguments(config: Mapping[str, Any], path: str) -> None:
    """The same for the arguments of what `_target_` names, parts included."""
    for name, (kind, default) in _kinds(config["_target_"]).items():
        value = config.get(name)
        if isinstance(value, Mapping) and "_target_" in value:
            _refuse_other_arguments(value, f"{path}.{name}")
        elif name == "context_length" and value is None:  # open: the data set's, which is not known here
            continue
        elif name in config and not _fits(value, kind) and (type(value), value) != (type(default), default):
            raise ValueError(f"{path}.{name} must be {_told(kind)}, not {value!r}")


@cache
def _kinds(target: str) -> dict[str, tuple[Any, Any]]:
    """The annotation of each argument, and its default, which fits whatever the annotation."""
    parameters = inspect.signature(class_of(target), eval_str=True).parameters
    return {name: (parameter.annotation, parameter.default) for name, parameter in parameters.items()}


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value may be of a kind, of which plain numbers and text, true and false, and none are known."""
    if get_origin(kind) in (Union, UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is Literal:  # which of them, the constructor knows
        return any(_fits(value, type(one)) for one in get_args(kind))
    if kind in (bool, str, NoneType):
        return isinstance(value, kind)
    if kind in (int, float):
        return isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    return True


def _told(kind: Any) -> str:
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_told(one) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    known = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "null"}
    return known.get(kind, str(kind))


def _of_optimization(options: OptimizationConfig) -> dict[str, Any]:
    values = dataclasses.asdict(options) | {key: f"${{{key}}}" for key in OF_THE_DATASET if hasattr(options, key)}
    return {"_target_": f"{OptimizationConfig.__module__}.{OptimizationConfig.__name__}", **values}


def _of_either(paper: Any, released: Any, above: str = ".") -> Any:
    """What the variant, a sibling, decides: an interpolation, so that each value is resolved in a record."""
    if isinstance(paper, OptimizationConfig):
        values, plain, own = (
            _of_optimization(paper),
            dataclasses.asdict(OptimizationConfig()),
            dataclasses.asdict(paper),
        )
        for key, value in dataclasses.asdict(released).items():
            is_of_the_dataset = key in OF_THE_DATASET and value == plain[key]
            if value != own[key] and not is_of_the_dataset:
                values[key] = _of_either(values[key], value, above="..")
        return values
    if paper == released:
        return paper

    def text(value: Any) -> str:
        return json.dumps(value) if isinstance(value, str) and not value.startswith("${") else str(value)

    return f"${{by_variant:${{{above}variant}},{text(paper)},{text(released)}}}"


def _refuse_other_classes(target: str, cls: type) -> None:
    """Raise ValueError if the class lacks a method that the harness calls, or one that takes what it is called with."""
    arguments = {"fit": ("training",), "score": ("users", "contexts", "candidates")}
    if issubclass(cls, TorchRecommender):
        arguments |= {"build": ("n_users", "n_items"), "forward": ("users", "contexts", "candidates")}
    for name, needed in arguments.items():
        wanted = f"model._target_={target}: the class must have a method {name}({', '.join(needed)})"
        method = getattr(cls, name, None)
        if method is None or (method is getattr(TorchRecommender, name) and name in ("build", "forward")):
            raise ValueError(f"{wanted}, and has none")
        try:
            inspect.signature(method).bind(None, *needed)
        except TypeError as error:
            raise ValueError(f"{wanted}, and has {name}{inspect.signature(method)}") from error


@cache
def register() -> None:
    """Make `model=NAME` known to Hydra, for every model, and the settings of the protocol, read off its class."""
    ConfigStore.instance().store(
        group="protocol", name="default", node=OmegaConf.create(dataclasses.asdict(Protocol()))
    )
    for choice in MODELS:
        _register(choice)


def _register(choice: str) -> None:
    model = model_of(choice)
    node = OmegaConf.merge(config_of(model.target), model.fixed)
    ConfigStore.instance().store(group="model", name=choice, node=node)


def with_own_classes(overrides: Sequence[str]) -> list[str]:
    """The overrides as Hydra understands them: `model._target_=CLASS` is `model=CLASS`, which it is told of.

    Raises ValueError if a class is no recommender, ConfigCompositionException if a model has no setting of that name.
    """
    register()
    understood, choices = [], []
    for override in overrides:
        key, equals, value = override.partition("=")
        if key in ("model", "model._target_") and equals:
            choices += value.split(",")
            override = f"model={value}"
        understood.append(override)
    for choice in choices:
        if "." in choice:
            _register(choice)
    for override in understood:
        key, equals, _ = override.partition("=")
        if key.startswith("model.") and equals:
            for choice in choices:
                if "." in choice or choice in MODELS:
                    _refuse_unknown(choice, key.split(".")[1:])
    return understood


def _refuse_unknown(choice: str, keys: Sequence[str]) -> None:
    """Raise ConfigCompositionException if the model's config has no such key (as a path)."""
    config = config_of(model_of(choice).target)
    for key in keys:
        if key not in config:
            settings = ", ".join(name for name in config if name != "_target_") or "none"
            raise ConfigCompositionException(
                f"model.{'.'.join(keys)}: {config['_target_']} has no argument {key!r}; its arguments are: {settings}"
            )
        if not isinstance(config[key], dict):
            return  # a path that goes on is Hydra's to refuse
        config = config[key]


def taken_from(arguments: Sequence[str], names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The arguments `name=value` of a command's own names, and the other ones, which are Hydra's overrides."""
    pairs = [(argument.partition("=")[0], argument) for argument in arguments]
    own = {name: argument.partition("=")[2] for name, argument in pairs if name in names}
    return own, [argument for name, argument in pairs if name not in names]


def compose_run(overrides: Sequence[str]) -> tuple[dict[str, Any], str]:
    """The resolved config that `sdmr.experiments.run` would see with these overrides, and the name of its data set.

    Raises ValueError if they make none: a setting that does not exist, or one that is missing.
    """
    try:
        overrides = with_own_classes(overrides)
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("config", overrides=overrides, return_hydra_config=True)
        dataset = str(config.hydra.runtime.choices["dataset"])
        with open_dict(config):
            del config.hydra
        resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    except (HydraException, OmegaConfBaseException) as error:
        told = str(error).partition("Config search path")[0]
        raise ValueError(" ".join(told.split())) from error
    return resolved, dataset


def ties_of(overrides: Sequence[str]) -> TiePolicy:
    """How the overrides have the tables read a tie."""
    of_protocol = [override for override in overrides if override.lstrip("+").startswith("protocol.")]
    ties: TiePolicy = compose_run(["model=popularity", *of_protocol])[0]["protocol"]["tie_policy"]
    return ties
