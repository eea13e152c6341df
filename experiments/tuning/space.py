"""The space of a search: the settings that vary, and their values."""

from collections.abc import Collection, Mapping
from typing import Any, Self

import yaml
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, ValidationError

from sdmr.experiments.core.arguments import SHARED_SETTINGS, flatten
from sdmr.experiments.core.options import NotTunedError, UsageError, explain_validation_error, format_value, parse_value
from sdmr.experiments.core.registry import CONF
from sdmr.experiments.core.tuned import check_tuned_data, describe_search, read_tuned
from sdmr.harness.training.optimizer import OptimizationConfig

SPACES = CONF / "space"
METRIC = "NDCG@10"  # of the validation items: the best settings have the highest

Settings = dict[str, Any]  # dotted key -> value
Axes = dict[str, list[Any]]  # dotted key -> the values that are tried


class Space(BaseModel):
    """The settings of a model that may vary, as its file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    axes: Axes
    beyond_paper: list[str] = []  # axes that the paper does not search; a grid leaves them at their defaults
    model: str = ""  # if the name is not that of a model
    parts: dict[str, str] = {}  # part of the model -> the space that it is tuned in
    fixed: Settings = {}
    basket_values: Axes = {}  # values of axes on data sets with baskets; an empty list: the axis does not exist there

    @classmethod
    def load(cls, name: str) -> Self:
        """Read the space of a model. Raises UsageError if it has none."""
        path = SPACES / f"{name}.yaml"
        if not path.exists():
            names = ", ".join(sorted(path.stem for path in SPACES.glob("*.yaml")))
            raise UsageError(f"model={name}: there is no search space {path}; there are {names}")
        try:
            return cls(name=name, **yaml.safe_load(path.read_text(encoding="utf-8")))
        except ValidationError as error:
            raise UsageError(f"{path}: {explain_validation_error(error)}") from error

    def select_axes(self, has_baskets: bool, fixed: Collection[str]) -> Axes:
        """Return the axes on a data set, without those of these keys."""
        axes = self.axes | (self.basket_values if has_baskets else {})
        return {axis: values for axis, values in axes.items() if values and axis not in fixed}

    def read_part_settings(
        self, dataset: str, data: Mapping[str, Any]
    ) -> tuple[Settings, dict[str, str], dict[str, str]]:
        """Return the tuned settings of the parts, what they cost, and what is missing.

        Settings are keyed as those of the model, the others by part. `data` is the configuration of the data set.
        """
        settings, searches, notes = {}, {}, {}
        for part, name in self.parts.items():
            try:
                tuned = read_tuned(dataset, name)
                tuning = tuned.pop("tuning", {})
                check_tuned_data(name, tuning, data)
            except NotTunedError as error:
                notes[part] = f"{part} has default settings: {error}"
                continue
            searches[part] = describe_search(tuning)
            for key, value in flatten(tuned).items():
                settings[f"model.{part}.{get_model_key(key).removeprefix('model.')}"] = value
        return settings, searches, notes


def is_ordered(values: Collection[Any]) -> bool:
    """Tell whether the values of an axis are numbers. The last one may be "all"."""
    return any(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def find_edges(axes: Axes, settings: Settings) -> list[str]:
    """Return the axes on which settings have the first or last number.

    One beyond it may be better. Nothing lies beyond 0, 1 of a count, and "all".
    """
    edges = []
    for axis, values in axes.items():
        value = settings.get(axis)
        is_natural = value in (0, "all") or (value == 1 and isinstance(value, int))
        if is_ordered(values) and len(values) > 1 and value in (values[0], values[-1]) and not is_natural:
            edges.append(axis)
    return edges


def get_model_key(key: str) -> str:
    """Return where a model's configuration has a setting: `model.optimization.epochs` for `epochs`."""
    if key not in SHARED_SETTINGS:
        return key
    return f"model.optimization.{key}" if hasattr(OptimizationConfig, key) else f"model.{key}"


def parse_override(text: str) -> tuple[str, Any]:
    """Return the key and the value of an override."""
    return text.partition("=")[0], parse_value(text)


def format_overrides(settings: Settings) -> list[str]:
    """Return settings as Hydra's command line reads them."""
    return [f"{key}={format_value(value)}" for key, value in settings.items()]


def nest(settings: Settings) -> dict[str, Any]:
    """Return settings nested as in a run's configuration."""
    config = OmegaConf.create()
    for key, value in settings.items():
        OmegaConf.update(config, key, value)
    nested: dict[str, Any] = OmegaConf.to_container(config)  # type: ignore[assignment]
    return nested
