"""SDP, SDM and SDMR: one class held the paper's model and the released one at d2b9968, and two classes do today.

Commands and records come here under the old variants. `names.TABLE` renames arguments; it cannot say which of two
classes a model has become, since that depends on all arguments together.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from sdmr.harness.schema1 import translate_record

# Model -> the paper's choice of each argument that its released class has and its own class lacks.
RELEASED_ARGUMENTS: dict[str, dict[str, Any]] = {
    "sdp": {"distance": "square", "dropout_at_test": "off", "initialization": "he"},
    "sdm": {
        "dropout_at_test": "off",
        "value_layer": "nothing",
        "gate_update": "distance",
        "padding": "excluded",
        "short_context": "padded",
        "initialization": "he",
    },
    "sdmr": {"dropout": 0.0, "dropout_at_test": "off", "part_mode": "evaluation"},
}
# Arguments that both classes have, with other defaults, and which a record lists as deviations.
TRAINING = {
    "optimization.regularization_scope": "batch",
    "optimization.halve_learning_rate_every": 0,
    "optimization.selection_metric": "NDCG@10",
}
SHARED_ARGUMENTS: dict[str, dict[str, Any]] = {
    "sdp": {"dropout": 0.0, **TRAINING},
    "sdm": {"dropout": 0.0, **TRAINING},
    "sdmr": TRAINING,
}
# The same, but of no paper's choice: the defaults of the paper's class.
DEFAULTS: dict[str, dict[str, Any]] = {
    "sdp": {"optimization.regularization": 0.01},
    "sdm": {},
    "sdmr": {"optimization.learning_rate": 0.01, "optimization.regularization": 0.001},
}
EPOCHS = {"optimization.epochs": "${epochs}", "optimization.patience": "${patience}"}
PARTS = {"sdp": {}, "sdm": {}, "sdmr": {"sdp.": "sdp", "sdm.": "sdm"}}  # prefix of a part's arguments -> its model


def choose_class(overrides: Iterable[str]) -> list[str]:
    """Return overrides for the paper's class or the released one, without variants.

    The arguments have today's names. A part or a model that was the paper's variant in a released command gets all the
    paper's choices.
    """
    overrides = list(overrides)
    values = {key: value for key, _, value in (override.partition("=") for override in overrides)}
    model = values.get("model")
    if model not in PARTS:
        return overrides
    models = {"": model, **PARTS[model]}
    variants = {prefix: values.get(f"model.{prefix}variant", values.get("model.variant", "paper")) for prefix in models}
    choices = {
        f"model.{prefix}{argument}": choice
        for prefix, name in models.items()
        for argument, choice in RELEASED_ARGUMENTS[name].items()
    }
    differs = any(key in values and yaml.safe_load(values[key]) != choice for key, choice in choices.items())
    dropped = {f"model.{prefix}variant" for prefix in models}
    if not differs and "released" not in variants.values():
        dropped |= choices.keys()
        return [override for override in overrides if override.partition("=")[0] not in dropped]
    released = [override for override in overrides if override.partition("=")[0] not in {"model", *dropped}]
    for prefix in (prefix for prefix, variant in variants.items() if variant == "paper"):
        name = models[prefix]
        paper = RELEASED_ARGUMENTS[name] | SHARED_ARGUMENTS[name] | DEFAULTS[name] | EPOCHS
        missing = {f"model.{prefix}{argument}": choice for argument, choice in paper.items()}
        released += [f"{key}={choice}" for key, choice in missing.items() if key not in values]
    return [f"model={model}-released", *released]


def translate_model(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the old config of a model for today's class, as `harness.schema1` reads published records."""
    translated: dict[str, Any] = translate_record({"config": {"model": config}})["config"]["model"]
    return translated


def translate_models(records: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return old records, by the names of their runs, with today's classes.

    The run of a part has the class that it has within the whole model.
    """
    models = {name: translate_model(record["config"]["model"]) for name, record in records.items()}
    for name, record in records.items():
        models |= {run: models[name][part] for part, run in record["parts"].items() if part in models[name]}
    return {name: _replace_model(record, models[name]) for name, record in records.items()}


def _replace_model(record: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with another config of its model, and all that follows from it."""
    deviations = {
        key: value for key, value in record["departures"].items() if key not in ("variant", "dropout_at_test")
    }
    classes = {part: f"{_get_class(model[part])}-" for part in record["parts"]}
    return {
        **record,
        "model": model["_target_"],
        "config": {**record["config"], "model": dict(model)},
        "departures": deviations | list_deviations(model),
        "parts": classes,
        **({"trained": f"{_get_class(model)}-"} if "trained" in record else {}),
    }


def list_deviations(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's arguments, those of parts included, that are not the paper's."""
    name = _get_class(model).removeprefix("Released").lower()
    if name not in PARTS or not _get_class(model).startswith("Released"):
        is_on = model.get("dropout_at_test", "off") != "off"
        return {"dropout_at_test": model["dropout_at_test"]} if is_on else {}
    deviations = {}
    for prefix, part in {"": name, **PARTS[name]}.items():
        for argument, choice in (RELEASED_ARGUMENTS[part] | SHARED_ARGUMENTS[part]).items():
            value = _get(model, f"{prefix}{argument}")
            if value != choice:
                deviations[f"{prefix}{argument}"] = value
    return {"variant": "released", **deviations} if deviations else {}


def _get(values: Any, path: str) -> Any:
    """Return the value at a dotted path."""
    for key in path.split("."):
        values = values[key]
    return values


def _get_class(model: Mapping[str, Any]) -> str:
    return str(model["_target_"]).rpartition(".")[2]
