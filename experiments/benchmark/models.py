"""Make the models that are timed, and the literal oracles that they are compared with."""

from __future__ import annotations

import runpy
from functools import cache
from typing import Any

from hydra.utils import instantiate

from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.registry import CHECKOUT

ORACLES = CHECKOUT / "tests" / "oracles" / "batched.py"  # which a wheel does not have
OPTIMIZER = "model.optimization.optimizer"


@cache
def load_oracles() -> dict[str, type]:
    """Return the literal oracles by model, from the tests of the checkout; without a checkout there are none."""
    if not ORACLES.is_file():
        return {}
    classes = runpy.run_path(str(ORACLES))
    return {"sdp": classes["LiteralSDP"], "sdm": classes["LiteralSDM"]}


def make_with_oracle(name: str, *overrides: str) -> list[Any]:
    """Make a model as `sdmr run` does, to be trained for three epochs, and its oracle, if it has one."""
    config = compose_config([f"model={name}", "epochs=3", *overrides]).settings["model"]
    constructor = instantiate(config | {"_partial_": True})
    classes = (constructor.func, load_oracles().get(name))
    return [cls(**constructor.keywords) for cls in classes if cls is not None]


def make_model(name: str, *overrides: str) -> Any:
    """Make a model alone."""
    return make_with_oracle(name, *overrides)[0]
