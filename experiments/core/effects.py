"""The effects of settings: which models and data sets read them."""

from collections.abc import Collection, Sequence

from sdmr.experiments.core.arguments import (
    SHARED_SETTINGS,
    TRAINING_LENGTH,
    check_argument_exists,
    flatten,
    get_model_config,
)
from sdmr.experiments.core.config import explain_unknown_setting, list_settings
from sdmr.experiments.core.errors import ConfigError, UsageError
from sdmr.experiments.core.grammar import is_of_hydra


def check_effects(overrides: Sequence[str], models: Sequence[str], datasets: Collection[str]) -> None:
    """Raise UsageError for a setting that none of the models or data sets reads."""
    subject, verb = (f"model={models[0]}", "does") if len(models) == 1 else ("these models", "do")
    for override in overrides:
        key, _, value = override.partition("=")
        if key.startswith("model."):
            errors = [error for model in models if (error := _find_argument_error(model, key))]
            if errors and len(errors) == len(models):
                raise errors[0] if len(errors) == 1 else UsageError(f"{key}: none of these models has this argument")
        elif key in SHARED_SETTINGS and not any(_has_setting(model, key) for model in models):
            is_own = len(models) == 1 and key in get_model_config(models[0])
            hint = f": it has its own, model.{key}={value}" if is_own else ""
            raise UsageError(f"{key}={value} has no effect on {subject}, which {verb} not read it{hint}")
        elif not is_of_hydra(key) and key not in list_settings(datasets):
            raise ConfigError(explain_unknown_setting(key, datasets))


def _find_argument_error(model: str, key: str) -> ConfigError | None:
    try:
        check_argument_exists(model, key.split(".")[1:])
    except ConfigError as error:
        return error
    return None


def _has_setting(model: str, key: str) -> bool:
    """Tell whether a model, or a part of it, reads a setting of the run."""
    arguments = flatten(get_model_config(model))
    names = {name.rpartition(".")[2] for name in arguments} if key in TRAINING_LENGTH else set()
    return f"${{{key}}}" in arguments.values() or key in names
