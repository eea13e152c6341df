"""Translate published records of schema 1 into today's names.

Schema 1 is the layout before the package `sdmr`. The published files stay as they are; what reads them gets today's
names. Each table below reads old -> new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PACKAGES = ("datasets", "harness", "models", "baselines", "experiments")  # top-level then, below `sdmr` today
TARGETS = {
    "harness.optimiser.Optimisation": "sdmr.harness.training.optimizer.OptimizationConfig",
    "datasets.epinions.epinions": "sdmr.datasets.epinions.load_epinions",
    "datasets.ijcai_15.ijcai_15": "sdmr.datasets.ijcai_15.load_ijcai_15",
    "datasets.movielens.ml_100k": "sdmr.datasets.movielens.load_ml_100k",
    "datasets.movielens.ml_1m": "sdmr.datasets.movielens.load_ml_1m",
    "datasets.ncf.ncf": "sdmr.datasets.ncf.load_ncf",
    "datasets.netflix.netflix": "sdmr.datasets.netflix.load_netflix",
    "datasets.netflix.netflix_sample": "sdmr.datasets.netflix.load_netflix_sample",
    "datasets.ta_feng.ta_feng": "sdmr.datasets.ta_feng.load_ta_feng",
    "datasets.tables.csv_file": "sdmr.datasets.tabular.load_csv",
    "datasets.tables.inter_file": "sdmr.datasets.tabular.load_inter",
    "experiments.id_order.IdOrder": "sdmr.experiments.report.id_order.IdOrder",
}
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
# One class held both the paper's model and the released one. Class -> the paper's choice of each difference; records
# from before a difference was known lack it, and had the paper's choice.
PAPER_CHOICES: dict[str, dict[str, Any]] = {
    "SDP": {"distance": "square", "dropout": 0.0, "dropout_at_test": "off", "initialization": "he"},
    "SDM": {
        "dropout": 0.0,
        "dropout_at_test": "off",
        "value_layer": "nothing",
        "gate_update": "distance",
        "padding": "excluded",
        "short_context": "padded",
        "initialization": "he",
    },
    "SDMR": {"dropout": 0.0, "dropout_at_test": "off", "part_mode": "evaluation"},
}
SHARED_ARGUMENTS = {"SDP": {"dropout"}, "SDM": {"dropout"}, "SDMR": set[str]()}  # of the paper's class, too


def translate_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of schema 1 in today's names."""
    new = _rename(record, RECORD)
    if isinstance(new.get("model"), str):
        new["model"] = translate_target(new["model"])
    if "config" in new:
        config = {key: _translate_arguments(value) for key, value in new["config"].items()}
        if "protocol" in config:
            config["protocol"] = _translate_protocol(config["protocol"])
        if isinstance(config.get("model"), Mapping) and "_target_" in config["model"]:
            config["model"] = _split_variant(config["model"], _is_released(config["model"]))
            new["model"] = config["model"]["_target_"]
        new["config"] = config
    if "deviations" in new:
        new["deviations"] = _translate_protocol(new["deviations"])
    if "history" in new:
        new["history"] = [_rename(entry, HISTORY) for entry in new["history"]]
    return new


def translate_target(target: str) -> str:
    """Return the full path of a class or function; a path outside this suite stays."""
    is_ours = target.split(".")[0] in PACKAGES
    return TARGETS.get(target, f"sdmr.{target}" if is_ours else target)


def translate_override(override: str) -> str:
    """Return a setting `key=value`, as sweeps publish it, in today's names."""
    key, equals, value = override.partition("=")
    group, *names = key.split(".")
    if group == "protocol":
        ((name, value),) = _translate_protocol({".".join(names): value}).items()
        return f"protocol.{name}{equals}{value}"
    return ".".join(ARGUMENTS.get(name, name) for name in (group, *names)) + equals + value


def _translate_arguments(value: Any) -> Any:
    """Return a part of a configuration, with the arguments of this suite's targets renamed."""
    if not isinstance(value, Mapping):
        return value
    new = {key: _translate_arguments(argument) for key, argument in value.items()}
    if "_target_" not in new:
        return new
    is_ours = new["_target_"].split(".")[0] in PACKAGES
    return _rename(new | {"_target_": translate_target(new["_target_"])}, ARGUMENTS if is_ours else {})


def _split_variant(model: Mapping[str, Any], is_released: bool) -> dict[str, Any]:
    """Return the config of the paper's class or, with every difference, of the released one; parts likewise."""
    name = model["_target_"].rpartition(".")[2]
    values = {key: value for key, value in model.items() if key != "variant"}
    if name not in PAPER_CHOICES:
        return values
    parts = {key: _split_variant(value, is_released) for key, value in values.items() if _is_model(value)}
    choices = PAPER_CHOICES[name]
    if is_released:
        values = choices | values | {"_target_": f"sdmr.models.released.Released{name}"}
        if values.get("combine") == "sum":  # under which they had no effect
            values |= choices
    else:
        values = {key: value for key, value in values.items() if key not in choices or key in SHARED_ARGUMENTS[name]}
        values |= {key: choices[key] for key in SHARED_ARGUMENTS[name] if key not in values}
    return values | parts


def _is_released(model: Mapping[str, Any]) -> bool:
    """Return whether the model or a part of it has a choice that the paper's class has no argument for."""
    name = model["_target_"].rpartition(".")[2]
    choices = {key: value for key, value in PAPER_CHOICES.get(name, {}).items() if key not in SHARED_ARGUMENTS[name]}
    differs = any(model.get(key, value) != value for key, value in choices.items())
    parts = any(_is_released(value) for value in model.values() if _is_model(value))
    return differs or model.get("variant") == "released" or (name == "SDMR" and parts)


def _is_model(value: Any) -> bool:
    return isinstance(value, Mapping) and str(value.get("_target_")).rpartition(".")[2] in PAPER_CHOICES


def _translate_protocol(choices: Mapping[str, Any]) -> dict[str, Any]:
    return _rename({key: PROTOCOL_VALUES.get((key, value), value) for key, value in choices.items()}, PROTOCOL)


def _rename(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in values.items()}
