"""The models by the names that the command line and the tables know."""

from __future__ import annotations

import importlib
import inspect
import traceback
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sdmr.experiments.core.options import UsageError
from sdmr.harness.training.base import TorchRecommender

LAYERS = ("datasets", "harness", "models", "baselines", "experiments")
CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Model:
    """A model as the tables know it."""

    name: str  # as the paper prints it
    target: str  # dotted path of the class
    settings: dict[str, Any] = field(default_factory=dict)  # arguments that make the class this model


# Name on the command line -> model, in the order of Table 3.
MODELS = {
    "popularity": Model("Popularity", "sdmr.baselines.popularity.Popularity"),
    "item-knn": Model("Item-KNN", "sdmr.baselines.item_knn.ItemKNN"),
    "slim": Model("SLIM", "sdmr.baselines.slim.SLIM"),
    "mf-bpr": Model("MF-BPR", "sdmr.baselines.mf_bpr.MFBPR"),
    "cml": Model("CML", "sdmr.baselines.cml.CML"),
    "neumf": Model("NeuMF++", "sdmr.baselines.neumf.NeuMF"),
    "cmn": Model("CMN++", "sdmr.baselines.cmn.CMN", {"gmf": {"objective": "bpr"}}),
    "prme": Model("PRME", "sdmr.baselines.prme.PRME", {"context_length": 1}),
    "prme-s": Model("PRME_s", "sdmr.baselines.prme.PRME"),
    "transrec": Model("TransRec", "sdmr.baselines.transrec.TransRec"),
    "caser": Model("Caser", "sdmr.baselines.caser.Caser"),
    "sdp": Model("SDP", "sdmr.models.sdp.SDP"),
    "sdm": Model("SDM", "sdmr.models.sdm.SDM"),
    "sdmr": Model("SDMR", "sdmr.models.sdmr.SDMR"),
}
# As the authors released them, which differs from the paper; no rows of the tables.
RELEASED_MODELS = {
    "sdp-released": Model("SDP, released", "sdmr.models.released.ReleasedSDP"),
    "sdm-released": Model("SDM, released", "sdmr.models.released.ReleasedSDM"),
    "sdmr-released": Model("SDMR, released", "sdmr.models.released.ReleasedSDMR"),
}
NAMED_MODELS = MODELS | RELEASED_MODELS


def get_model(name: str) -> Model:
    """Return the model of a name, or of a user's class, which its dotted path names."""
    return NAMED_MODELS.get(name, Model(name, name))


def import_class(target: str) -> type:
    """Import the class that a dotted path names. Raises UsageError that says what is missing."""
    module, _, name = target.rpartition(".")
    if not module:
        raise UsageError(f"model={target}: there is no model of this name; there are {', '.join(NAMED_MODELS)}")
    top = module.partition(".")[0]
    if top in LAYERS and _is_hidden(top):
        hint = f"; the class of this suite is sdmr.{target}" if _is_module(f"sdmr.{module}") else ""
        raise UsageError(f"model={target}: no such class can be imported{hint}")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"model={target}: no such class can be imported ({error})") from error
    except Exception as error:  # whatever a user's module does when it is imported
        last = traceback.extract_tb(error.__traceback__)[-1]
        line = "" if isinstance(error, SyntaxError) else f", {last.filename}, line {last.lineno}"
        raise UsageError(f"model={target} cannot be imported: {type(error).__name__}: {error}{line}") from error


def check_recommender(target: str, cls: type) -> None:
    """Raise UsageError if the class lacks a method that the harness calls, or one with its arguments."""
    methods = {"fit": ("training",), "score": ("users", "contexts", "candidates")}
    if issubclass(cls, TorchRecommender):
        methods |= {"build": ("n_users", "n_items"), "forward": ("users", "contexts", "candidates")}
    for name, arguments in methods.items():
        expected = f"model={target}: the class must have a method {name}({', '.join(arguments)})"
        method = getattr(cls, name, None)
        if method is None or (method is getattr(TorchRecommender, name) and name in ("build", "forward")):
            raise UsageError(f"{expected}, and has none")
        try:
            inspect.signature(method).bind(None, *arguments)
        except TypeError as error:
            raise UsageError(f"{expected}, and has {name}{inspect.signature(method)}") from error


def _is_hidden(top: str) -> bool:
    """Return whether a name of one of the suite's folders is that of no package, or of the folder in the checkout."""
    spec = find_spec(top)
    return spec is None or (spec.origin is not None and Path(spec.origin).is_relative_to(CHECKOUT))


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # nor is its parent
        return False
