"""Constructor arguments as configuration: read by hydra-zen, checked by pydantic."""

import importlib
import inspect
import json
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra_zen import builds
from hydra_zen.errors import HydraZenException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from sdmr.experiments.core.errors import ConfigError, UsageError
from sdmr.experiments.core.help_text import describe_setting
from sdmr.experiments.core.messages import explain_validation_error, format_value, suggest
from sdmr.experiments.core.paths import CHECKOUT
from sdmr.experiments.core.registry import get_model, list_models
from sdmr.experiments.core.signatures import check_default, convert_value, is_open, read_signature
from sdmr.harness.generators import seed_generators
from sdmr.harness.recommender import keep_filters, keep_settings
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.harness.training.sequence import SequenceRecommender

# Settings of a run that are the defaults of the model's arguments of the same names.
TRAINING_LENGTH = ("epochs", "patience", "validation_instances")
SHARED_SETTINGS = (*TRAINING_LENGTH, "context_length")
LAYERS = ("datasets", "harness", "models", "baselines", "experiments")


def import_class(target: str) -> Any:
    """Import the class, or the function, that a dotted path names. Raises UsageError that says what is missing."""
    module, _, name = target.rpartition(".")
    if module == "__main__":
        raise UsageError(
            f"model={target}: a run must know the code of its class: write the class into a file and name it "
            "my_file.Class; in a notebook, call its fit and score from Python"
        )
    if not module:
        raise UsageError(f"model={target}: there is none of this name; {list_models(target)}")
    top = module.partition(".")[0]
    if top in LAYERS and _is_only_of_suite(top):
        is_suites = (CHECKOUT / module.replace(".", "/")).with_suffix(".py").exists()
        hint = f"the class of this suite is sdmr.{target}" if is_suites else list_models()
        raise UsageError(f"model={target}: no such class can be imported; {hint}")
    try:
        with keep_filters():
            return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        imported = sys.modules.get(module)  # without such a class
        classes = [key for key, one in vars(imported).items() if inspect.isclass(one)] if imported else []
        hint = suggest(name, classes) or f"; {list_models()}; a file of yours must be in the current folder"
        raise UsageError(f"model={target}: no such class can be imported ({error}){hint}") from error
    except (Exception, SystemExit) as error:  # a user's module may raise any when it is imported
        last = traceback.extract_tb(error.__traceback__)[-1]
        line = "" if isinstance(error, SyntaxError) else f", {last.filename}, line {last.lineno}"
        raise UsageError(f"model={target} cannot be imported: {type(error).__name__}: {error}{line}") from error


def check_recommender(target: str, cls: Any) -> None:
    """Raise UsageError if a class lacks a method that the harness calls, or its arguments."""
    if not inspect.isclass(cls):
        raise UsageError(f"model={target}: this is a {type(cls).__name__}, expected a class with fit and score")
    methods = {"fit": ("training",), "score": ("users", "contexts", "candidates")}
    if issubclass(cls, TorchRecommender):
        methods |= {"build": ("n_users", "n_items"), "forward": ("users", "contexts", "candidates")}
    for name, arguments in methods.items():
        expected = f"model={target}: the class must have a method {name}({', '.join(arguments)})"
        method = getattr(cls, name, None)
        if method is None or (method is getattr(TorchRecommender, name) and name in ("build", "forward")):
            raise UsageError(f"{expected}, and has none")
        try:
            inspect.signature(method).bind(None, *arguments)
        except TypeError as error:
            raise UsageError(f"{expected}, and has {name}{inspect.signature(method)}") from error


def _is_only_of_suite(folder: str) -> bool:
    """Tell whether no package but the folder in the checkout has a name."""
    spec = find_spec(folder)
    return spec is None or Path(spec.origin or "").is_relative_to(CHECKOUT)


@cache
def get_model_config(name: str) -> dict[str, Any]:
    """Return a config of a model's constructor arguments and their defaults.

    It is a plain dictionary, since OmegaConf's types know no `Literal`, and a default need not be of its argument's
    type; pydantic checks the values. Raises UsageError if the class is no recommender, or has a default that no
    command line can hold.
    """
    model = get_model(name)
    try:
        defaults = OmegaConf.create(_read_fields(_build_config(model.target)))
    except (HydraZenException, OmegaConfBaseException, TypeError) as error:
        raise ConfigError(f"model={name}: {error}") from error
    config: dict[str, Any] = OmegaConf.to_container(OmegaConf.merge(defaults, model.settings))  # type: ignore[assignment]
    return config


def _build_config(target: str) -> Any:
    """Return hydra-zen's config of a class. An argument whose type is a recommender becomes a config of that class."""
    cls = import_class(target)
    check_recommender(target, cls)
    arguments: dict[str, Any] = {}
    for name, parameter in read_signature(cls).parameters.items():
        check_default(cls, parameter)
        annotation = parameter.annotation
        if name in SHARED_SETTINGS and not (name == "context_length" and issubclass(cls, SequenceRecommender)):
            arguments[name] = f"${{{name}}}"
        elif isinstance(parameter.default, OptimizationConfig):
            values, usual = asdict(parameter.default), asdict(OptimizationConfig())
            shared = {key: f"${{{key}}}" for key in SHARED_SETTINGS if key in usual and values[key] == usual[key]}
            arguments[name] = builds(OptimizationConfig, **values | shared)
        elif parameter.default is parameter.empty and hasattr(annotation, "fit") and hasattr(annotation, "score"):
            arguments[name] = _build_config(f"{annotation.__module__}.{annotation.__qualname__}")
    return builds(cls, **arguments, populate_full_signature=True)


def _read_fields(config: Any) -> dict[str, Any]:
    """Return the defaults of a dataclass and of nested ones; `???` for a missing one."""
    values = {}
    for field in fields(config):
        default = "???" if field.default is MISSING else field.default
        value = default if field.default_factory is MISSING else field.default_factory()
        values[field.name] = _read_fields(value) if is_dataclass(value) else value
    return values


def check_arguments(config: Mapping[str, Any], path: str) -> None:
    """Check the arguments of what `_target_` names, those of its parts included."""
    for name, parameter in read_signature(import_class(config["_target_"])).parameters.items():
        value = config.get(name)
        if isinstance(value, Mapping) and "_target_" in value:
            check_arguments(value, f"{path}.{name}")
            continue
        is_unset = name == "context_length" and value is None  # the data set's, which is not known here
        is_default = type(value) is type(parameter.default) and value == parameter.default
        if name not in config or is_unset or is_default or parameter.annotation is parameter.empty:
            continue
        try:
            checked = TypeAdapter(parameter.annotation).validate_json(json.dumps(value), strict=True)
        except (PydanticUserError, NameError):  # a type of the user's own, which only its class can check
            continue
        except ValidationError as error:
            raise ConfigError(explain_validation_error(error, f"{path}.{name}")) from error
        if isinstance(value, bool) and not isinstance(checked, bool):  # Literal[0, 1] takes it for a number
            raise ConfigError(f"{path}.{name}={value}: must be a number, not true or false")


def make_object(config: Mapping[str, Any], seed: int = 0) -> Any:
    """Return what `_target_` makes of its arguments. Raises ConfigError for those that it does not allow.

    `seed` seeds what it draws, and what each part draws.
    """
    target = config["_target_"]
    called = import_class(target)
    parameters, values = read_signature(called).parameters, {}
    for name, value in config.items():
        if isinstance(value, Mapping) and "_target_" in value:
            values[name] = make_object(value, seed)
        elif name != "_target_":
            values[name] = convert_value(value, parameters[name]) if name in parameters else value
    seed_generators(seed)
    try:
        with keep_settings(target):
            return called(**values)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{target}: {str(error) or type(error).__name__}") from error


def check_argument_exists(name: str, keys: Sequence[str]) -> None:
    """Raise ConfigError if the model's config has no such key (a path)."""
    config = get_model_config(name)
    for key in keys:
        if "_target_" not in config or (key not in config and is_open(import_class(config["_target_"]))):
            return
        if key not in config:
            arguments = [argument for argument in config if argument != "_target_"]
            raise ConfigError(
                f"model.{'.'.join(keys)}: {config['_target_']} has no argument {key!r}; "
                f"its arguments are: {', '.join(arguments) or 'none'}{suggest(key, arguments)}"
            )
        if not isinstance(config[key], dict):
            return  # Hydra raises an error if the path continues
        config = config[key]


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their dotted keys, without `_target_`."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif key != "_target_":
            flat[f"{prefix}{key}"] = value
    return flat


def read_meanings(target: str) -> dict[str, str]:
    """Return the first sentence of the docstrings of a function or class on each argument."""
    called = import_class(target)
    meanings: dict[str, str] = {}
    for owner in reversed(getattr(called, "__mro__", [called])):
        text = f"{inspect.getdoc(owner)}\n\n{inspect.getdoc(owner.__init__) if inspect.isclass(owner) else ''}"
        section = text.partition("Args:\n")[2].partition("\n\n")[0]
        for names, meaning in re.findall(r"^ {4}(\w[\w, ]*): (.+(?:\n {8}.+)*)", section, re.MULTILINE):
            sentence = re.split(r"(?<!Eq)\. ", " ".join(meaning.split()))[0]
            meanings |= dict.fromkeys(names.split(", "), sentence.rstrip("."))
    return meanings


def describe_arguments(config: Mapping[str, Any], path: str) -> list[str]:
    """Return a help line for each argument of a class or function, parts included."""
    meanings, lines = read_meanings(config["_target_"]), []
    for key, value in config.items():
        if isinstance(value, Mapping) and "_target_" in value:
            lines += describe_arguments(value, f"{path}.{key}")
        elif key != "_target_":
            default = "..." if value == "???" else format_value(value)
            lines.append(describe_setting(f"{path}.{key}", default, meanings.get(key, "")))
    return lines
