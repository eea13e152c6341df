"""The configuration of a run, composed by Hydra and checked by pydantic.

`model=sdm` names a model of the suite, `model=my_package.Net` a user's class.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdmr.experiments.core.arguments import (
    TRAINING_LENGTH,
    check_argument_exists,
    check_arguments,
    flatten,
    get_model_config,
)
from sdmr.experiments.core.datasets import is_reader, read_dataset
from sdmr.experiments.core.errors import ConfigError
from sdmr.experiments.core.grammar import drop_plus, quote_value
from sdmr.experiments.core.messages import explain_validation_error, list_choices, suggest
from sdmr.experiments.core.paths import CONF
from sdmr.experiments.core.registry import NAMED_MODELS, can_read, list_models
from sdmr.experiments.core.trackers import NO_TRACKER, import_tracker
from sdmr.experiments.core.tuned import check_tuned_data, read_tuned
from sdmr.harness.protocol import Protocol

DEFAULT_DATASET = "ml-100k"
UNSET = "none"  # stands for the model until one is named


class RunSettings(BaseModel):
    """The settings of a run beside its data set, protocol and model."""

    model_config = ConfigDict(strict=True, extra="ignore")

    seed: int = Field(0, ge=0, lt=2**64, description="initialization, batch order and training negatives")
    split_seed: int = Field(0, ge=0, description="shuffled orders, held-out items and candidates")
    test: bool = Field(True, description="rank the test items; false: a search run, which never ranks them")
    epochs: int = Field(100, ge=1, description="epochs at most; a data set may set another value")
    patience: int = Field(10, ge=1, description="epochs without a better validation NDCG@10 before training stops")
    validation_instances: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        "all", description="number of validation items that select the epoch"
    )
    context_length: int | None = Field(
        5, ge=1, description="context items of models that read several; a data set may set another value"
    )
    runs: str = Field("runs", description="folder of this machine's records")
    threads: int = Field(1, ge=1, description="threads of a run; two runs side by side are faster than two threads")
    force: bool = Field(False, description="run again even if the record exists")
    tracker: str = Field(NO_TRACKER, description="follows the epochs: none, csv, tensorboard, or package.Class")


class RunConfig(NamedTuple):
    """A composed configuration: every setting resolved, and the name of the data set."""

    settings: dict[str, Any]
    dataset: str


def compose_config(overrides: Sequence[str]) -> RunConfig:
    """Compose the configuration of a run from Hydra's overrides.

    Raises ConfigError for a setting that does not exist, is missing, or has a value that is not allowed.
    """
    prepared = prepare_overrides(overrides)
    named = dict(override.partition("=")[::2] for override in prepared)
    if named.get("settings") == "tuned" and "model" in named:
        read_tuned(named.get("dataset", DEFAULT_DATASET), named["model"])  # raises an error that names the file
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("config", overrides=prepared, return_hydra_config=True)
    except HydraException as error:
        raise ConfigError(explain_hydra_error(error, named.get("dataset", DEFAULT_DATASET))) from error
    choices = config.hydra.runtime.choices
    with open_dict(config):
        del config.hydra
    return resolve_config(config, choices)


def resolve_config(config: DictConfig, choices: Mapping[str, Any]) -> RunConfig:
    """Resolve and check a composed config, in which `choices` names data set and model.

    Raises ConfigError for a missing setting or a wrong value, and NotTunedError if tuned settings do not exist.
    """
    dataset, model = str(choices["dataset"]), str(choices["model"])
    if model == UNSET:
        raise ConfigError(f"model=... is missing; {list_models()}")
    if not can_read(model, dataset):
        raise ConfigError(f"model={model}: it reads the order of histories, which the baskets of {dataset} lack")
    try:
        settings: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise ConfigError(explain_hydra_error(error)) from error
    if choices["settings"] == "tuned":
        check_tuned_data(model, read_tuned(dataset, model)["tuning"], settings["dataset"])
    check_config(settings)
    return RunConfig(settings, dataset)


def explain_hydra_error(error: Exception, dataset: str = DEFAULT_DATASET) -> str:
    """Return Hydra's message in one line, without search path and advice."""
    message = " ".join(str(error).partition("Config search path")[0].split())
    if unknown := re.search(r"Could not override '([^']+)'", message):
        return explain_unknown_setting(unknown[1], [dataset])
    if missing := re.search(r"Could not find '(.+)/([^'/]*)' Available options in '[^']*': (.*)", message):
        if missing[1] == "dataset":
            read_dataset(missing[2])  # raises an error that lists the data sets
        names = [name for name in missing[3].split() if name != UNSET]
        return f"{missing[1]}={missing[2]}: there is none of this name; {list_choices(missing[2], names)}"
    if ambiguous := re.search(r"Ambiguous value for argument '([^']+)'", message):
        return f"{ambiguous[1]}: expected one value; for several, use -m"
    if unset := re.search(r"Missing mandatory value: .*full_key: ([\w.]+)", message):
        return f"{unset[1]}=... is missing"
    return message.removeprefix("In 'config': ")


def list_settings(datasets: Collection[str]) -> list[str]:
    """Return the keys of all settings, of these data sets, but a model's arguments."""
    keys = ["model", "dataset", "settings", *RunSettings.model_fields, *flatten(asdict(Protocol()), "protocol.")]
    return keys + [key for name in datasets for key in flatten(read_dataset(name)["dataset"], "dataset.")]


def explain_unknown_setting(key: str, datasets: Collection[str]) -> str:
    """Return that there is no such setting, and what its group has."""
    group, dot, word = key.partition(".")
    if not dot or group not in ("dataset", "protocol"):
        return f"{key}: there is no such setting{suggest(key, list_settings(datasets))}"
    names = [name.partition(".")[2] for name in list_settings(datasets) if name.startswith(f"{group}.")]
    subject = f"dataset={','.join(datasets)}" if group == "dataset" else "the protocol"
    return f"{key}: {subject} has {', '.join(dict.fromkeys(names)) or 'no settings'}{suggest(word, names)}"


def prepare_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides as Hydra must see them, users' classes registered as models.

    `model._target_=CLASS` is `model=CLASS`. A leading `+` or `++` is dropped: no setting may be added. Raises
    UsageError if a class is no recommender, or a model has no argument of that name.
    """
    register_configs()
    prepared, names = [], []
    for override in map(drop_plus, map(quote_value, overrides)):
        key, equals, value = override.partition("=")
        is_group = key in ("dataset", "settings", "protocol", "model", "model._target_")
        if is_group and value.startswith(("[", "{", "null")):
            raise ConfigError(f"{override}: expected one name; for several, use -m {key}=NAME,NAME")
        if key == "dataset":
            for name in filter(is_reader, value.split(",")):
                ConfigStore.instance().store(group="dataset", name=name, node=read_dataset(name), package="_global_")
        if key in ("model", "model._target_") and equals:
            names += [name for name in value.split(",") if re.fullmatch(r"[\w.-]*", name)]  # and no function of Hydra's
            override = f"model={value}"
        prepared.append(override)
    keys = [key for key, equals, _ in (override.partition("=") for override in prepared) if equals]
    for name in names:
        register_model(name, keys)
        for key in keys:
            if key.startswith("model."):
                check_argument_exists(name, key.split(".")[1:])
    return prepared


@cache
def register_configs() -> None:
    """Store the main config, the protocol and every model, for Hydra to find."""
    store = ConfigStore.instance()
    defaults = [
        "_self_",
        {"dataset": DEFAULT_DATASET},
        {"protocol": "default"},
        {"model": UNSET},  # not Hydra's "???", which no interpolation may refer to in a multirun
        {"settings": "default"},
        {"optional settings@_global_": "${settings}/${dataset}/${model}"},
        {"override hydra/job_logging": "none"},
        {"override hydra/hydra_logging": "none"},
    ]
    folders = {"run": {"dir": "."}, "sweep": {"dir": "${runs}", "subdir": "."}}  # launchers keep their files there
    main = {"defaults": defaults, **RunSettings().model_dump(), "hydra": {"output_subdir": None, **folders}}
    store.store(name="config", node=main)
    store.store(group="model", name=UNSET, node={})
    store.store(group="protocol", name="default", node=asdict(Protocol()))
    for choice in ("default", "tuned"):
        store.store(group="settings", name=choice, node={}, package="_global_")
    for name in NAMED_MODELS:
        register_model(name)


def register_model(name: str, keys: Collection[str] = ()) -> None:
    """Store the config of a model or of a user's class. Raises UsageError if the class is no recommender.

    A released model has its own epochs and patience. `epochs` among the keys of the command line replaces them.
    """
    config = OmegaConf.create(get_model_config(name))
    for argument in (key.removeprefix("model.") for key in keys if key.startswith("model.")):
        first = argument.partition(".")[0]
        value = get_model_config(name).get(first)
        if first not in config:  # for **kwargs; others are checked before
            OmegaConf.update(config, argument, None)
        elif isinstance(value, dict) and "_target_" not in value:  # an argument that is a dictionary takes any key
            OmegaConf.set_struct(config[first], False)
    for argument in flatten(get_model_config(name)):
        setting = argument.rpartition(".")[2]
        if setting in TRAINING_LENGTH and setting in keys:
            OmegaConf.update(config, argument, f"${{{setting}}}")
    ConfigStore.instance().store(group="model", name=name, node=config)


def check_finite(text: str, value: Any) -> None:
    """Raise ConfigError for infinity and NaN, which no record can hold."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise ConfigError(f"{text}: expected a finite number") from error


def check_config(config: Mapping[str, Any]) -> None:
    """Raise ConfigError for a value that its setting does not allow."""
    try:
        tracker = RunSettings.model_validate(config).tracker
        protocol = Protocol(**config["protocol"])
    except ValidationError as error:
        raise ConfigError(explain_validation_error(error)) from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if tracker != NO_TRACKER:
        import_tracker(tracker)
    for name in ("model", "dataset"):
        check_arguments(config[name], name)
        for key, value in flatten(config[name], f"{name}.").items():
            check_finite(f"{key}={value}", value)
    needs_test = protocol.select_on == "test" or protocol.retrain or protocol != protocol.training_protocol
    if needs_test and not config["test"]:
        settings = ", ".join(f"protocol.{name}={value}" for name, value in protocol.deviations.items())
        raise ConfigError(
            f"test=false: a run that never ranks the test items cannot select on, train for or rank them ({settings})"
        )
