"""Tuned settings: a YAML file for each data set and model, written by `sdmr sweep`."""

import re
from collections.abc import Iterable, Mapping
from math import inf, prod
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core.arguments import SHARED_SETTINGS
from sdmr.experiments.core.datasets import is_reader
from sdmr.experiments.core.errors import ConfigError, NotTunedError
from sdmr.experiments.core.messages import format_value
from sdmr.experiments.core.paths import CONF, SPACES, list_user_folders
from sdmr.experiments.core.registry import GRID, GRID_ROWS, insert_grid_rows

FOLDER = CONF / "settings" / "tuned"
ENOUGH_TRIALS = 12  # a search with fewer is flagged, unless its space has no more settings
USER_DATASETS = ("csv", "inter", "ncf", "netflix")  # a name alone does not say which data these are


class UserConfiguration(SearchPathPlugin):
    """Hydra's search path with a user's own configuration first, such as `settings/tuned/DATASET/MODEL.yaml`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in list_user_folders():
            search_path.prepend("results", f"file://{folder}")


Plugins.instance().register(UserConfiguration)


def list_tuned_paths(dataset: str, model: str) -> list[Path]:
    """Return the files that may hold a model's tuned settings.

    The settings are written to the first file, and read from the first that exists. The files lie beside the results
    (`results/settings/tuned/`), if the suite is not a checkout, and in the suite.
    """
    folders = [*(folder / "settings" / "tuned" for folder in list_user_folders()), FOLDER]
    return [folder / dataset / f"{model}.yaml" for folder in folders]


def get_tuned_path(dataset: str, model: str) -> Path:
    """Return the file of a model's tuned settings, whether it exists or not."""
    paths = list_tuned_paths(dataset, model)
    return next((path for path in paths if path.exists()), paths[0])


def get_space_path(model: str) -> Path:
    """Return the file of a model's search space. That of a user's class is in the folder `space` of the current one."""
    folder = Path("space") if "." in model else SPACES
    return folder / f"{model.removesuffix(GRID)}.yaml"


def insert_tuned_grid_rows(models: Iterable[str], dataset: str, settings: str) -> list[str]:
    """Return the models, with those rows inside the paper's grid that are tuned."""
    rows = insert_grid_rows(models)
    return [
        row for row in rows if row not in GRID_ROWS or (settings == "tuned" and get_tuned_path(dataset, row).exists())
    ]


def read_tuned(dataset: str, model: str) -> dict[str, Any]:
    """Return a file's content: the settings, and their origin under `tuning`.

    Raises NotTunedError if there is none, ConfigError if it is damaged or sets what no search does.
    """
    path = get_tuned_path(dataset, model)
    if not path.exists():
        hint = f"`sdmr sweep model={model} dataset={dataset}` finds some"
        if not (space := get_space_path(model)).exists():
            hint = f"a search needs the file {space}"
        raise NotTunedError(f"{model} on {dataset} has no tuned settings; {hint}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())[:80]}") from error
    if not isinstance(content, dict) or not isinstance(content.get("tuning"), dict):
        raise ConfigError(f"{path}: expected the settings of a search, with `tuning`; `sdmr sweep` writes such files")
    settings = content.get("model", {})
    wrong = [key for key in content if key not in ("model", "tuning", *SHARED_SETTINGS)]
    wrong += ["model"] if not isinstance(settings, dict) else [f"model.{key}" for key in settings if key[:1] == "_"]
    if wrong:
        raise ConfigError(f"{path}: {wrong[0]} cannot be set there, only what a search varies or fixes")
    return content


class _Dumper(yaml.SafeDumper):
    """Write YAML in which texts stay texts for Hydra. It reads a commit such as 12e34 as a number without quotes."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if re.fullmatch(r"[-+]?[\d_]+e[-+]?\d+", text, re.IGNORECASE) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)


def write_tuned(dataset: str, model: str, settings: Mapping[str, Any], tuning: Mapping[str, Any]) -> Path:
    """Write a model's tuned settings, nested as in a run's configuration, and their origin."""
    path = list_tuned_paths(dataset, model)[0]
    content = {**settings, "tuning": dict(tuning)}
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    write_atomic(path, f"# @package _global_\n{text}".encode())
    return path


def count_settings(tuning: Mapping[str, Any]) -> float:
    """Return the number of settings in a search's space, infinity if it is unknown."""
    return prod(map(len, tuning["space"].values())) if "space" in tuning else inf


def has_few_trials(tuning: Mapping[str, Any]) -> bool:
    """Tell whether a search counted its trials, and had too few to be trusted."""
    trials = inf if "transferred" in tuning else tuning.get("trials", inf)
    return bool(trials < min(count_settings(tuning), ENOUGH_TRIALS))


def describe_search(tuning: Mapping[str, Any]) -> str:
    """Return what a search has cost, as in "12 of 20, 31 min, 3 pruned".

    Nothing is known of a search that did not count its trials. `!` flags fewer trials than are enough. The cap on CPU
    minutes, settings at an edge of the space or not in the paper, and the searches of parts follow.
    """
    if source := tuning.get("transferred"):
        return f"settings of {source}"
    if "trials" not in tuning:
        return ""
    trials, planned = tuning["trials"], tuning["planned"]
    notes = [f"{trials} of {planned}{'!' if has_few_trials(tuning) else ''}"]
    notes.append(f"{tuning['cpu_minutes']:.0f} min{' (cap)' if tuning.get('is_capped') else ''}")
    notes += [f"{tuning['pruned']} pruned"] if tuning.get("pruned") else []
    for key, word in (("edges", "edge"), ("beyond_paper", "not in the paper")):
        if axes := tuning.get(key):
            notes.append(f"{word}: {' '.join(axis.rpartition('.')[2] for axis in axes)}")
    parts = [f"{part}: {text}" for part, text in tuning.get("parts", {}).items() if text]
    return "; ".join([", ".join(notes), *parts])


def is_user_data(dataset: str) -> bool:
    """Tell whether the name of a data set leaves open which data it is."""
    return dataset in USER_DATASETS or is_reader(dataset)


def resolve_data_settings(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data set's configuration with the absolute path of its file."""
    return {**dataset, "path": str(Path(dataset["path"]).resolve())} if "path" in dataset else dict(dataset)


def check_tuned_data(model: str, tuning: Mapping[str, Any], dataset: Mapping[str, Any]) -> None:
    """Raise NotTunedError if the model was tuned on other data of the same name."""
    tuned_on, data = tuning.get("dataset"), resolve_data_settings(dataset)
    if tuned_on not in (None, data):
        pairs = {key: (tuned_on.get(key), data.get(key)) for key in tuned_on | data}
        changes = [f"dataset.{k}={format_value(a)}, not {format_value(b)}" for k, (a, b) in pairs.items() if a != b]
        raise NotTunedError(f"{model} was tuned on other data: {'; '.join(changes)}")
