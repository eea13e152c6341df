"""Translate published records of schema 1 into today's names.

Schema 1 is the layout before the package `sdmr`. The published files stay as they are; what reads them gets today's
names. Each table below reads old -> new.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

PACKAGES = ("datasets", "harness", "models", "baselines", "experiments")  # top-level then, below `sdmr` today
TARGETS = (  # patterns; any other class keeps its path below its package
    (r"harness\.optimiser\.Optimisation", "harness.training.optimizer.OptimizationConfig"),
    (r"experiments\.id_order\.IdOrder", "experiments.report.id_order.IdOrder"),
    (r"datasets\.tables\.(csv|inter)_file", r"datasets.tabular.load_\1"),
    (r"datasets\.(epinions|ijcai_15|movielens|ncf|netflix|ta_feng)\.(\w+)", r"datasets.\1.load_\2"),
)
ARGUMENTS = {  # of this suite's classes and functions
    # training
    "optimisation": "optimization",
    "regularisation": "regularization",
    "regularise": "regularization_scope",
    "halve_every": "halve_learning_rate_every",
    "select_by": "selection_metric",
    "development_instances": "validation_instances",
    # models
    "neighbours": "neighbors",
    "initialisation": "initialization",
    "before_sum": "value_layer",
    "mixed": "gate_update",
    "short": "short_context",
    "parts_in": "part_mode",
    # data sets
    "least": "min_count",
    "iterated": "iterative",
    "smallest": "min_basket",
    "largest": "max_basket",
}
PROTOCOL = {"ties": "tie_policy", "dev_item": "validation_item", "last_tie": "equal_times"}
PROTOCOL_VALUES = {("select_on", "dev"): "validation"}
HISTORY = {"development": "validation", "development_hit": "validation_hit"}
RECORD = {"development": "validation", "departures": "deviations"}
RANKS = {"place": "sort_position"}
# Fingerprint of a task whose validation candidates were drawn with knowledge of the test items -> that of today's task.
# Test items and test candidates are the same.
TASKS = {
    "d53ace5eacca96932d981002dc2401d03e132ac573cede6e63ff6a54a19cda2c": (
        "5b8e8b7618bf855afe135f9a8644d27328c75c391b5dea0734ef38e6f3feee3f"  # ML-100k
    ),
    "7ff08ac696559ab5b318d5bf0dfcbd75705d4d46c664822762ca8ee0fdce25db": (
        "9c18e13af5838a1c76580d9edf48806ee23cffa422560612c4b72ae20d22721d"  # ML-1M
    ),
    "39819c44471a3d8bd00530cbb2d04c44d6e0cd0be6640fd21aac640532628887": (
        "1bdaa45b17bc1ab07c6c70a0d11a0f168fa2c321d634cf8717d6aabd07f7057d"  # Epinions
    ),
    "094c5d841252709ebef11401453511ccdf38d580701e0353f87ac17f150ae45d": (
        "5a92a8e07d181c3aa2d7ee02ce6f686f45a9a9b28ccd9649d9a48da7139af036"  # Ta-Feng
    ),
}
# One class held both the paper's model and the released one. Class -> the paper's choice of each difference; records
# from before a difference was known lack it, and had the paper's choice.
_NO_DROPOUT = {"dropout": 0.0, "dropout_at_test": "off"}
PAPER_CHOICES: dict[str, dict[str, Any]] = {
    "SDP": {"distance": "square", **_NO_DROPOUT, "initialization": "he"},
    "SDM": {
        **_NO_DROPOUT,
        "value_layer": "nothing",
        "gate_update": "distance",
        "padding": "excluded",
        "short_context": "padded",
        "initialization": "he",
    },
    "SDMR": {**_NO_DROPOUT, "part_mode": "evaluation"},
}


def translate_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of schema 1 in today's names."""
    new = _rename(record, RECORD)
    translations: dict[str, Callable[[Any], Any]] = {
        "model": translate_target,
        "config": _translate_config,
        "deviations": _translate_protocol,
        "history": lambda entries: [_rename(entry, HISTORY) for entry in entries],
    }
    new |= {key: translate(new[key]) for key, translate in translations.items() if key in new}
    model = new.get("config", {}).get("model", {})
    return new | {"model": model["_target_"]} if "_target_" in model else new


def translate_optimizers(value: Any) -> Any:
    """Return a part of a configuration, of any schema, with today's names of optimizers.

    Adam was `dense`; `rowwise` left out the moves of rows outside a batch.
    """
    if not isinstance(value, Mapping):
        return value
    new = {key: translate_optimizers(argument) for key, argument in value.items()}
    is_old = str(new.get("_target_")).endswith(".OptimizationConfig") and new.get("optimizer") in ("dense", "rowwise")
    return new | {"optimizer": "adam"} if is_old else new


def translate_target(target: str) -> str:
    """Return the full path of a class or function; a path outside this suite stays."""
    if target.split(".")[0] not in PACKAGES:
        return target
    replacements = (re.sub(pattern, new, target) for pattern, new in TARGETS if re.fullmatch(pattern, target))
    return f"sdmr.{next(replacements, target)}"


def _translate_config(config: Mapping[str, Any]) -> dict[str, Any]:
    new = {key: _translate_arguments(value) for key, value in config.items()}
    if "protocol" in new:
        new["protocol"] = _translate_protocol(new["protocol"])
    if _is_model(new.get("model")):
        new["model"] = _split_variant(new["model"], _is_released(new["model"]))
    return new


def _translate_arguments(value: Any) -> Any:
    """Return a part of a configuration, with the arguments of this suite's targets renamed."""
    if not isinstance(value, Mapping):
        return value
    new = {key: _translate_arguments(argument) for key, argument in value.items()}
    target = new.get("_target_", "")
    if target.split(".")[0] not in PACKAGES:
        return new
    return _rename(new | {"_target_": translate_target(target)}, ARGUMENTS)


def _split_variant(model: Mapping[str, Any], is_released: bool) -> dict[str, Any]:
    """Return the config of the paper's class, or of the released one; parts likewise."""
    name, choices, shared = _read_choices(model)
    values = {key: value for key, value in model.items() if key != "variant"}
    parts = {key: _split_variant(value, is_released) for key, value in values.items() if _is_model(value)}
    if not is_released:
        values = {key: value for key, value in values.items() if key not in choices or key in shared}
        return values | {key: shared[key] for key in shared.keys() - values.keys()} | parts
    values = choices | values | {"_target_": f"sdmr.models.released.Released{name}"}
    has_no_effect = values.get("combine") == "sum"
    return values | (choices if has_no_effect else {}) | parts


def _is_released(model: Mapping[str, Any]) -> bool:
    """Tell whether the model or a part has a choice that the paper's class lacks."""
    name, choices, shared = _read_choices(model)
    differs = any(model.get(key, value) != value for key, value in choices.items() if key not in shared)
    parts = any(_is_released(value) for value in model.values() if _is_model(value))
    return differs or model.get("variant") == "released" or (name == "SDMR" and parts)


def _is_model(value: Any) -> bool:
    return isinstance(value, Mapping) and str(value.get("_target_")).rpartition(".")[2] in PAPER_CHOICES


def _read_choices(model: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the class's name, the paper's choices, and those that both classes share."""
    name = model["_target_"].rpartition(".")[2]
    return name, PAPER_CHOICES[name], {} if name == "SDMR" else {"dropout": 0.0}


def _translate_protocol(choices: Mapping[str, Any]) -> dict[str, Any]:
    return _rename({key: PROTOCOL_VALUES.get((key, value), value) for key, value in choices.items()}, PROTOCOL)


def _rename(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in values.items()}
