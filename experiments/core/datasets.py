"""The data sets by the names that the command line knows."""

from typing import Any

import yaml

from sdmr.datasets.readers import read_settings
from sdmr.experiments.core.errors import ConfigError
from sdmr.experiments.core.messages import suggest
from sdmr.experiments.core.paths import CONF

BASKET_DATASETS = ("ijcai-15", "ta-feng")  # those of Table 4


def list_datasets() -> list[str]:
    """Return the names of the data sets."""
    return sorted(path.stem for path in (CONF / "dataset").glob("*.yaml"))


def is_reader(dataset: str) -> bool:
    """Tell whether a data set's name is that of a user's reader."""
    return "." in dataset


def read_dataset(name: str) -> dict[str, Any]:
    """Return the unresolved settings of a data set, its own under `dataset`.

    They are in its file. For the dotted name of a user's reader, they are the function's arguments. Raises ConfigError
    if there is no data set of this name.
    """
    if is_reader(name):
        try:
            return {"dataset": read_settings(name), "context_length": None}  # as of dataset=csv
        except ValueError as error:
            raise ConfigError(str(error)) from error
    if name not in list_datasets():
        names = f"{', '.join(list_datasets())}, or name a reader: package.function{suggest(name, list_datasets())}"
        raise ConfigError(f"dataset={name}: there is none of this name; there are {names}")
    config = yaml.safe_load((CONF / "dataset" / f"{name}.yaml").read_text(encoding="utf-8"))
    return config if "dataset" in config else {"dataset": config}
