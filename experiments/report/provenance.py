"""How a row was made: settings, seeds, commit, data, and the command that repeats it."""

import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sdmr.experiments.core.arguments import flatten
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.grammar import format_setting
from sdmr.experiments.core.messages import format_value
from sdmr.experiments.core.record import Record
from sdmr.experiments.core.registry import MODELS, NAMED_MODELS

SHOWN_DIGITS = 12  # of a hash
SETTINGS = ("model", "dataset", "split_seed", "protocol")  # the parts of a configuration that a command sets


def describe_row(model: str, folders: Sequence[Path], records: Sequence[Record], results: Path) -> dict[str, Any]:
    """Return how a model's row was made, for the page."""
    first = records[0]
    seeds = [
        {
            "seed": record.config.get("seed", 0),
            "run": record.run,
            "commit": record.environment.commit,
            "best_epoch": record.best_epoch,
            "epochs": len(record.history) - 1 if record.history else None,
            "seconds": round(record.runtime + record.seconds.get("parts", 0.0), 1),
            "record": folder.relative_to(results.parent).as_posix() if folder.is_relative_to(results) else str(folder),
        }
        for folder, record in zip(folders, records, strict=True)
    ]
    machines = {f"{one.environment.processor}, threads: {one.environment.threads}" for one in records}
    return {
        "class": first.model,
        "settings": {key: format_value(value) for key, value in list_settings(first.config).items()},
        "deviations": {key: format_value(value) for key, value in first.deviations.items()},
        "data": first.data[:SHOWN_DIGITS],
        "source": first.source[:SHOWN_DIGITS],
        "machine": "; ".join(sorted(machines)),
        "memory": round(max(one.peak_memory_mib for one in records)),
        "command": format_command(model, records),
        "seeds": seeds,
    }


def list_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a configuration that a command can set, by their dotted keys."""
    return flatten({key: config[key] for key in SETTINGS if key in config})


def format_command(model: str, records: Sequence[Record]) -> str:
    """Return the command that makes records again, in this version.

    It names what differs from the default settings. A setting that a record does not know has its default.
    """
    first, settings = records[0], list_settings(records[0].config)
    path = settings.pop("dataset.path", None)
    task = [f"dataset={first.dataset}", *([f"dataset.path={format_setting(path)}"] if path else [])]
    if "scores" in first.config:
        usual = _compose_settings("model=popularity", *task) or {}
        changed = {key: value for key, value in settings.items() if value != usual.get(key)}
        options = {"name": first.model} | changed
        words = [f"scores={format_setting(first.config['scores'])}", *task]
        return shlex.join(["sdmr", "score", *words, *(f"{key}={format_setting(options[key])}" for key in options)])
    lines = []
    names = [model] if model in MODELS else [name for name, one in NAMED_MODELS.items() if one.target == first.model]
    for name in names or [first.model]:
        default = _compose_settings(f"model={name}", *task)
        changes = [key for key in settings if default is None or (key in default and settings[key] != default[key])]
        lines.append([f"model={name}", *task, *(f"{key}={format_setting(settings[key])}" for key in changes)])
    seeds = ",".join(str(record.config.get("seed", 0)) for record in records)
    start = ["sdmr", "run"] if len(records) == 1 else ["sdmr", "run", "-m"]
    line = [*start, *min(lines, key=len), f"seed={seeds}"]
    return shlex.join(line)


@cache
def _compose_settings(*overrides: str) -> dict[str, Any] | None:
    """Return the settings that a command would run, None if they cannot be composed."""
    try:
        return list_settings(compose_config(overrides).settings)
    except UsageError:
        return None
