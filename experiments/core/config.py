"""The configuration of a run: composed by Hydra, read off constructors by hydra-zen, checked by pydantic.

A model is chosen by its name (`model=sdm`) or, if it is a user's own, by its class (`model=my_package.Net`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdmr.experiments.core.arguments import check_argument_exists, check_arguments, flatten, model_config
from sdmr.experiments.core.options import ConfigError, NotTunedError, UsageError, explain_validation_error, quote_value
from sdmr.experiments.core.registry import NAMED_MODELS, get_model
from sdmr.harness.protocol import Protocol

UNSET = "none"  # the choice of a model, until one is made
CONF = Path(__file__).parents[1] / "conf"
IS_CHECKOUT = (CONF.parents[1] / "setup.cfg").is_file()


class RunSettings(BaseModel):
    """The settings of a run beside its data set, protocol and model."""

    model_config = ConfigDict(strict=True, extra="ignore")

    seed: int = Field(0, ge=0, description="initialization, batch order and training negatives")
    split_seed: int = Field(0, ge=0, description="shuffled orders, held-out items and candidates")
    test: bool = Field(True, description="rank the test items; false: a search run, which never does")
    epochs: int = Field(100, description="epochs at most; a data set may say otherwise")
    patience: int = Field(10, description="epochs without a better validation NDCG@10 before training stops")
    validation_instances: int | Literal["all"] = Field("all", description="validation items that choose the epoch")
    context_length: int | None = Field(
        5, description="context items of models that read several; a data set may differ"
    )
    runs: str = Field("runs", description="folder of this machine's records")
    threads: int = Field(1, ge=1, description="threads of this run; two runs side by side beat one run on two threads")
    force: bool = Field(False, description="run again even if the record exists")


class RunConfig(NamedTuple):
    """A composed configuration: every setting resolved, and the name of the data set."""

    settings: dict[str, Any]
    dataset: str


def list_user_folders() -> list[Path]:
    """Return the folder of a user's own configuration: the results; none in the checkout, which holds it itself."""
    return [] if IS_CHECKOUT else [Path(os.environ.get("SDMR_RESULTS", "results")).resolve()]


class UserConfiguration(SearchPathPlugin):
    """Hydra's search path with a user's own configuration first, such as `settings/tuned/DATASET/MODEL.yaml`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in list_user_folders():
            search_path.prepend("results", f"file://{folder}")


Plugins.instance().register(UserConfiguration)


def compose_config(overrides: Sequence[str]) -> RunConfig:
    """Compose the configuration of a run from Hydra's overrides.

    Raises ConfigError for a setting that does not exist, is missing, or has a value of another type.
    """
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("config", overrides=prepare_overrides(overrides), return_hydra_config=True)
        choices = config.hydra.runtime.choices
        with open_dict(config):
            del config.hydra
        return resolve_config(config, choices)
    except HydraException as error:
        raise ConfigError(explain_hydra_error(error)) from error
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise ConfigError(str(error)) from error  # Hydra's, such as for model=3


def resolve_config(config: DictConfig, choices: Mapping[str, Any]) -> RunConfig:
    """Resolve a composed config; `choices` are the names that Hydra has chosen by, such as that of the data set.

    Raises ConfigError for a missing setting, and NotTunedError where tuned settings are asked for and there are none.
    """
    dataset, model = str(choices["dataset"]), str(choices["model"])
    if model == UNSET:
        raise ConfigError(f"model=... is missing; there are {', '.join(NAMED_MODELS)}, or name a class: package.Class")
    try:
        settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise ConfigError(explain_hydra_error(error)) from error
    if choices["settings"] == "tuned":
        if "tuning" not in settings:
            raise NotTunedError(f"{model} on {dataset} has no tuned settings; `sdmr sweep model={model}` finds some")
        check_tuned_data(model, settings["tuning"], settings["dataset"])
    return RunConfig(settings, dataset)


def describe_data(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data set's configuration with its file by the whole path, which tells a user's files apart."""
    return {**dataset, "path": str(Path(dataset["path"]).resolve())} if "path" in dataset else dict(dataset)


def check_tuned_data(model: str, tuning: Mapping[str, Any], dataset: Mapping[str, Any]) -> None:
    """Raise NotTunedError if a user's data set is not the one that the model was tuned on."""
    tuned_on, data = tuning.get("dataset"), describe_data(dataset)
    if tuned_on not in (None, data):
        raise NotTunedError(f"{model} was tuned on other data: {tuned_on}, not {data}")


def explain_hydra_error(error: Exception) -> str:
    """Return Hydra's message in one line, without its search path and its advice to add keys."""
    message = " ".join(str(error).partition("Config search path")[0].split())
    if unknown := re.search(r"Could not override '([^']+)'", message):
        return f"{unknown[1]}: there is no such setting (`sdmr run --help` lists them)"
    if missing := re.search(r"Could not find '(.+)/([^'/]*)' Available options in '[^']*': (.*)", message):
        names = ", ".join(name for name in missing[3].split() if name != UNSET)
        return f"{missing[1]}={missing[2]}: there is none of this name; there are {names}"
    if ambiguous := re.search(r"Ambiguous value for argument '([^']+)'", message):
        return f"{ambiguous[1]}: expected one value; for several, use -m"
    if unset := re.search(r"Missing mandatory value: .*full_key: ([\w.]+)", message):
        return f"{unset[1]}=... is missing"
    return message.removeprefix("In 'config': ")


def prepare_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides as Hydra must see them, users' classes registered as models.

    `model._target_=CLASS` is `model=CLASS`. A leading `+` or `++` is dropped: no setting may be added. Raises
    ValueError if a class is no recommender, or a model has no argument of that name.
    """
    register_configs()
    prepared, names = [], []
    for override in map(quote_value, overrides):
        if not override.lstrip("+").startswith(("hydra.", "hydra/")):
            override = override.lstrip("+")
        key, equals, value = override.partition("=")
        if key in ("model", "model._target_") and equals:
            if value.startswith("["):
                raise ConfigError(f"{override}: expected one model; for several, use -m {key}={value.strip('[]')}")
            names += [name for name in value.split(",") if "." in name or name in NAMED_MODELS]
            override = f"model={value}"
        prepared.append(override)
    for name in names:
        register_model(name)
        for override in prepared:
            key, equals, _ = override.partition("=")
            if key.startswith("model.") and equals:
                check_argument_exists(name, key.split(".")[1:])
    return prepared


def expand_sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Return, for each override, the overrides that a multirun takes in its place.

    Raises ConfigError for text that Hydra's grammar does not know.
    """
    expanded, parser = [], OverridesParser.create()
    for text in overrides:
        try:
            override = parser.parse_override(text)
            values = override.sweep_string_iterator() if override.is_sweep_override() else []
            expanded.append([f"{text.partition('=')[0]}={value}" for value in values] or [text])
        except HydraException as error:
            raise ConfigError(f"{text}: expected values separated by commas ({explain_hydra_error(error)})") from error
    return expanded


@cache
def register_configs() -> None:
    """Store the main config, the protocol and every model, for Hydra to find."""
    store = ConfigStore.instance()
    defaults = [
        "_self_",
        {"dataset": "ml-100k"},
        {"protocol": "default"},
        {"model": UNSET},  # not Hydra's "???", which no interpolation may refer to in a multirun
        {"settings": "default"},
        {"optional settings@_global_": "${settings}/${dataset}/${model}"},
        {"override hydra/job_logging": "none"},
        {"override hydra/hydra_logging": "none"},
    ]
    folders = {"run": {"dir": "."}, "sweep": {"dir": ".", "subdir": "."}}
    main = {"defaults": defaults, **RunSettings().model_dump(), "hydra": {"output_subdir": None, **folders}}
    store.store(name="config", node=main)
    store.store(group="model", name=UNSET, node={})
    store.store(group="protocol", name="default", node=asdict(Protocol()))
    for choice in ("default", "tuned"):
        store.store(group="settings", name=choice, node={}, package="_global_")
    for name in NAMED_MODELS:
        register_model(name)


@cache
def register_model(name: str) -> None:
    """Store the config of a model or of a user's class. Raises ConfigError if the class is no recommender."""
    model = get_model(name)
    ConfigStore.instance().store(
        group="model", name=name, node=OmegaConf.merge(model_config(model.target), model.settings)
    )


def check_config(config: Mapping[str, Any]) -> None:
    """Raise ConfigError for a value of another type than its setting has."""
    try:
        RunSettings.model_validate(config)
    except ValidationError as error:
        raise ConfigError(explain_validation_error(error)) from error
    for name in ("model", "dataset"):
        check_arguments(config[name], name)


def describe_arguments(names: Sequence[str] = ()) -> str:
    """Return the names of data sets, models and protocol options, and the arguments of the named models."""
    register_configs()
    lines = [f"  dataset=NAME: {', '.join(sorted(path.stem for path in (CONF / 'dataset').glob('*.yaml')))}"]
    lines += [f"  model=NAME: {', '.join(NAMED_MODELS)}, or package.Class", "  settings=default (default, tuned)"]
    for name, annotation in get_type_hints(Protocol).items():
        choices = ", ".join(str(value) for value in get_args(annotation))
        meaning = Protocol.__dataclass_fields__[name].metadata["description"]
        lines.append(f"  {f'protocol.{name}={getattr(Protocol, name)}':34} {meaning} ({choices})")
    for name in names:
        lines += ["", f"arguments of {name} (meanings: {get_model(name).target}):"]
        lines += [f"  model.{key}={value}" for key, value in flatten(model_config(get_model(name).target)).items()]
    return "\n".join(lines)
