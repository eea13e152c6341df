"""Make the models that are timed, and the literal oracles that they are compared with."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

from hydra.utils import instantiate

from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.registry import CHECKOUT

ORACLES = CHECKOUT / "tests" / "oracles" / "batched.py"  # which a wheel does not have
ORACLE_CLASSES = {"sdp": "LiteralSDP", "sdm": "LiteralSDM"}
OPTIMIZER = "model.optimization.optimizer"


@cache
def import_oracles() -> ModuleType | None:
    """Import the literal oracles from the tests of the checkout; return None where there is no checkout."""
    if not ORACLES.is_file():
        return None
    spec = importlib.util.spec_from_file_location("sdmr_batched_oracles", ORACLES)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where Hydra looks for a class
    spec.loader.exec_module(module)
    return module


def make_model(name: str, *overrides: str) -> Any:
    """Make a model as `sdmr run` does, to be trained for three epochs."""
    return instantiate(_compose_model(name, overrides))


def make_with_oracle(name: str, *overrides: str) -> list[Any]:
    """Make a model and, if it has one, its oracle with the same settings."""
    model, oracle = make_model(name, *overrides), make_oracle(name, *overrides)
    return [model] if oracle is None else [model, oracle]


def make_oracle(name: str, *overrides: str) -> Any:
    """Make the literal oracle of a model; return None if it has none, or there is no checkout."""
    if name not in ORACLE_CLASSES or (oracles := import_oracles()) is None:
        return None
    return instantiate(_compose_model(name, overrides) | {"_target_": f"{oracles.__name__}.{ORACLE_CLASSES[name]}"})


def _compose_model(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    config: dict[str, Any] = compose_config([f"model={name}", "epochs=3", *overrides]).settings["model"]
    return config
