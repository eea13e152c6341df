"""Constructor arguments as configuration: read by hydra-zen, checked by pydantic."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from typing import Any

from hydra_zen import builds
from hydra_zen.errors import HydraZenException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from sdmr.experiments.core.options import ConfigError, explain_validation_error
from sdmr.experiments.core.registry import check_recommender, get_model, import_class
from sdmr.harness.training.optimizer import OptimizationConfig

# Settings of a run that are the defaults of the model's arguments of the same names.
SHARED_SETTINGS = ("epochs", "patience", "context_length", "validation_instances")


def model_config(target: str) -> dict[str, Any]:
    """Return a config of the class's constructor arguments and their defaults.

    It is a plain dictionary, since OmegaConf's types know no `Literal`, and a default need not be of its argument's
    type; pydantic checks the values. Raises ConfigError if the class is no recommender, or has a default that no
    command line can hold.
    """
    try:
        config: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(_read_fields(_build_config(target))))  # type: ignore[assignment]
    except (HydraZenException, OmegaConfBaseException, TypeError) as error:
        raise ConfigError(f"model={target}: {error}") from error
    return config


def _build_config(target: str) -> Any:
    """Return hydra-zen's config of a class. An argument whose type is a recommender becomes a config of that class."""
    cls = import_class(target)
    check_recommender(target, cls)
    arguments: dict[str, Any] = {}
    for name, parameter in inspect.signature(cls, eval_str=True).parameters.items():
        annotation = parameter.annotation
        if name in SHARED_SETTINGS:
            arguments[name] = f"${{{name}}}"
        elif isinstance(parameter.default, OptimizationConfig):
            values, usual = asdict(parameter.default), asdict(OptimizationConfig())
            shared = {key: f"${{{key}}}" for key in SHARED_SETTINGS if key in usual and values[key] == usual[key]}
            arguments[name] = builds(OptimizationConfig, **values | shared)
        elif parameter.default is parameter.empty and hasattr(annotation, "fit") and hasattr(annotation, "score"):
            arguments[name] = _build_config(f"{annotation.__module__}.{annotation.__qualname__}")
    return builds(cls, **arguments, populate_full_signature=True)


def _read_fields(config: Any) -> dict[str, Any]:
    """Return the defaults of a dataclass, those of nested ones included; `???` where there is none."""
    values = {}
    for field in fields(config):
        default = "???" if field.default is MISSING else field.default
        value = default if field.default_factory is MISSING else field.default_factory()
        values[field.name] = _read_fields(value) if is_dataclass(value) else value
    return values


def check_arguments(config: Mapping[str, Any], path: str) -> None:
    """Check the arguments of what `_target_` names, those of its parts included."""
    for name, parameter in _signature(config["_target_"]).parameters.items():
        value = config.get(name)
        if isinstance(value, Mapping) and "_target_" in value:
            check_arguments(value, f"{path}.{name}")
            continue
        is_open = name == "context_length" and value is None  # the data set's, which is not known here
        is_default = type(value) is type(parameter.default) and value == parameter.default
        if name not in config or is_open or is_default or parameter.annotation is parameter.empty:
            continue
        try:
            checked = TypeAdapter(parameter.annotation).validate_json(json.dumps(value), strict=True)
        except PydanticSchemaGenerationError:  # a type of the user's own, which only its class can check
            continue
        except ValidationError as error:
            raise ConfigError(explain_validation_error(error, f"{path}.{name}")) from error
        if isinstance(value, bool) and not isinstance(checked, bool):  # Literal[0, 1] takes it for a number
            raise ConfigError(f"{path}.{name}={value}: must be a number, not true or false")


@cache
def _signature(target: str) -> inspect.Signature:
    return inspect.signature(import_class(target), eval_str=True)


def check_argument_exists(name: str, keys: Sequence[str]) -> None:
    """Raise ConfigError if the model's config has no such key (a path)."""
    config = model_config(get_model(name).target)
    for key in keys:
        if key not in config:
            arguments = ", ".join(argument for argument in config if argument != "_target_") or "none"
            raise ConfigError(
                f"model.{'.'.join(keys)}: {config['_target_']} has no argument {key!r}; its arguments are: {arguments}"
            )
        if not isinstance(config[key], dict):
            return  # a path that goes on is Hydra's to refuse
        config = config[key]


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their dotted keys, without `_target_`."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif key != "_target_":
            flat[prefix + key] = value
    return flat
