"""The space of a search: the settings that vary, and their values."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import yaml
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, ValidationError

from sdmr.experiments.core.arguments import SHARED_SETTINGS, flatten
from sdmr.experiments.core.errors import NotTunedError, UsageError
from sdmr.experiments.core.grammar import parse_value
from sdmr.experiments.core.messages import explain_validation_error, format_value
from sdmr.experiments.core.paths import CONF
from sdmr.experiments.core.registry import GRID, GRID_ROWS
from sdmr.experiments.core.tuned import (
    check_tuned_data,
    describe_search,
    get_space_path,
    insert_tuned_grid_rows,
    read_tuned,
)
from sdmr.harness.training.optimizer import OptimizationConfig

BUDGETS = CONF / "budgets.yaml"
METRIC = "NDCG@10"  # of the validation items: the best settings have the highest

Settings = dict[str, Any]  # dotted key -> value
Axes = dict[str, list[Any]]  # dotted key -> the values that are tried


class Space(BaseModel):
    """The settings of a model that may vary, as its file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    axes: Axes
    beyond_paper: list[str] = []  # axes that the paper does not search
    readings: list[str] = []  # axes that the paper leaves open; the paper's grid has neither, but their defaults
    model: str = ""  # if the name is not that of a model
    parts: dict[str, str] = {}  # part of the model -> the space that it is tuned in
    fixed: Settings = {}
    basket_values: Axes = {}  # values of axes on data sets with baskets; an empty list: the axis does not exist there

    @classmethod
    def load(cls, name: str) -> Self:
        """Read the space of a model, or of its row inside the paper's grid. Raises UsageError if it has none."""
        base = name.removesuffix(GRID)
        path = get_space_path(name)
        if not path.exists() or name not in (base, *GRID_ROWS):
            names = (
                ", ".join(sorted(other.stem for other in path.parent.glob("*.yaml")))
                or "none in this folder, and docs/your-model.md shows one"
            )
            raise UsageError(f"model={name}: there is no search space {path}; there are {names}")
        try:
            space = cls(name=name, **yaml.safe_load(path.read_text(encoding="utf-8")))
        except ValidationError as error:
            raise UsageError(f"{path}: {explain_validation_error(error)}") from error
        if name == base:
            return space
        axes = {axis: values for axis, values in space.axes.items() if axis not in space.beyond_paper}
        parts = {part: f"{one}{GRID}" for part, one in space.parts.items()}
        return space.model_copy(update={"axes": axes, "beyond_paper": [], "parts": parts})

    def select_axes(self, has_baskets: bool, fixed: Collection[str]) -> Axes:
        """Return the axes on a data set, without those of these keys."""
        axes = self.axes | (self.basket_values if has_baskets else {})
        return {axis: values for axis, values in axes.items() if values and axis not in fixed}

    def read_parts(self, dataset: str, data: Mapping[str, Any]) -> "Parts":
        """Return the tuned settings of the parts. `data` is the configuration of the data set.

        A part inside the paper's grid has the best settings there, or the tuned ones if these are inside.
        """
        parts = Parts()
        for part, name in self.parts.items():
            try:
                rows = insert_tuned_grid_rows([name.removesuffix(GRID)], dataset, "tuned")
                tuned = read_tuned(dataset, rows[-1] if GRID in name else name)
                tuning = tuned.pop("tuning", {})
                check_tuned_data(name, tuning, data)
                if GRID in name and tuning.get("beyond_paper"):
                    raise NotTunedError(f"its tuned ones leave the paper's grid; tune model={name}")
            except NotTunedError as error:
                parts.notes[part] = f"{part} has default settings: {error}"
                continue
            parts.searches[part] = describe_search(tuning)
            parts.beyond_paper.extend(get_part_key(part, axis) for axis in tuning.get("beyond_paper", []))
            parts.settings.update({get_part_key(part, key): value for key, value in flatten(tuned).items()})
        return parts


@dataclass(frozen=True)
class Parts:
    """The tuned settings of a model's parts."""

    settings: Settings = field(default_factory=dict)  # keyed as those of the model
    searches: dict[str, str] = field(default_factory=dict)  # by part: what its search has cost
    notes: dict[str, str] = field(default_factory=dict)  # by part: what is missing
    beyond_paper: list[str] = field(default_factory=list)  # settings, likewise, that leave what the paper searches


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


def get_part_key(part: str, key: str) -> str:
    """Return where a model's configuration has a setting of its part."""
    return f"model.{part}.{get_model_key(key).removeprefix('model.')}"


def read_budget(dataset: str) -> float:
    """Return the CPU minutes that a search on a data set has by default."""
    budgets: dict[str, float] = yaml.safe_load(BUDGETS.read_text(encoding="utf-8"))
    return budgets.get(dataset, budgets["default"])


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
