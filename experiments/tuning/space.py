"""The space of a search: the settings that vary.

Settings known from other searches are the tuned ones of parts, and the best ones on another data set.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

import pandas as pd
import yaml
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, ValidationError

from sdmr.experiments.core.arguments import SHARED_SETTINGS, flatten
from sdmr.experiments.core.options import NotTunedError, UsageError, explain_validation_error, format_value, parse_value
from sdmr.experiments.core.registry import CONF
from sdmr.experiments.core.tuned import check_tuned_data, read_tuned
from sdmr.harness.schema1 import translate_override
from sdmr.harness.training.optimizer import OptimizationConfig

SPACES = CONF / "space"
METRIC = "NDCG@10"  # of the validation items: the best settings have the highest

Settings = dict[str, Any]  # dotted key -> value
Axes = dict[str, list[Any]]  # dotted key -> the values that are tried


class Space(BaseModel):
    """The settings of a model that may vary, as its file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    stages: list[Axes]
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

    def select_axes(self, has_baskets: bool, overridden: Collection[str]) -> list[Axes]:
        """Return the axes of each stage, without the overridden ones."""
        changed = self.basket_values if has_baskets else {}
        stages = [{axis: changed.get(axis, values) for axis, values in stage.items()} for stage in self.stages]
        stages = [{axis: v for axis, v in stage.items() if v and axis not in overridden} for stage in stages]
        return [stage for stage in stages if stage] or [{}]

    def drop_impossible(self, settings: Settings, has_baskets: bool) -> Settings:
        """Return settings of another data set, without those that do not exist here."""
        allowed = self.basket_values if has_baskets else {}
        return {key: value for key, value in settings.items() if key not in allowed or value in allowed[key]}

    def read_part_settings(self, dataset: str, data: Mapping[str, Any]) -> tuple[Settings, list[str]]:
        """Return the tuned settings of the parts, and a note on each untuned part.

        They are keyed as settings of the model. `data` is the configuration of the data set.
        """
        settings, notes = {}, []
        for part, name in self.parts.items():
            try:
                tuned = read_tuned(dataset, name)
                check_tuned_data(name, tuned.pop("tuning", {}), data)
            except NotTunedError as error:
                notes.append(f"{part} has default settings: {error}")
                continue
            for key, value in flatten(tuned).items():
                settings[f"model.{part}.{get_model_key(key).removeprefix('model.')}"] = value
        return settings, notes

    def read_best_settings(self, results: Path, dataset: str, top: int) -> list[Settings]:
        """Return the settings with the best scores in a published search, best first.

        Raises UsageError if it has none.
        """
        path = locate_points(results, dataset, self.name)
        if not path.exists():
            raise UsageError(f"source={dataset}: there was no search of {self.name}, as there is no {path}")
        points = pd.read_csv(path, usecols=["settings", METRIC]).dropna(subset=[METRIC]).fillna("")
        if points.empty:
            raise UsageError(f"source={dataset}: there are no settings to transfer; no run in {path} has a score")
        best = points.sort_values(METRIC, ascending=False, kind="stable").head(top)
        return [dict(parse_override(translate_override(one)) for one in text.split()) for text in best["settings"]]


def locate_points(results: Path, dataset: str, name: str) -> Path:
    """Return the published file of all points of a search, whether it exists or not."""
    return results / "sweeps" / dataset / f"{name}.csv"


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
