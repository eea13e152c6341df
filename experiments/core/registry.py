"""The models by the names that the command line and the tables know."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sdmr.experiments.core.datasets import BASKET_DATASETS
from sdmr.experiments.core.messages import suggest


@dataclass(frozen=True)
class Model:
    """A model as the tables know it."""

    name: str  # as the paper prints it
    target: str  # dotted path of the class
    settings: dict[str, Any] = field(default_factory=dict)  # arguments that make the class this model
    is_random: bool = False  # draws random numbers, though it is not trained by gradient
    reads_baskets: bool = True


# Name on the command line -> model, in the order of Table 3.
PAPER_ROWS = {
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
# Not in the paper: rows below its own.
OTHER_ROWS = {
    "transitions": Model("Transitions", "sdmr.baselines.transitions.TransitionCounts"),
    "ease": Model("EASE", "sdmr.baselines.ease.EASE"),
    "ials": Model("iALS", "sdmr.baselines.ials.IALS", is_random=True),
    "gru4rec": Model("GRU4Rec", "sdmr.baselines.gru4rec.GRU4Rec", reads_baskets=False),
    "sasrec": Model("SASRec", "sdmr.baselines.sasrec.SASRec", reads_baskets=False),
    "bert4rec": Model("BERT4Rec", "sdmr.baselines.bert4rec.BERT4Rec", reads_baskets=False),
}
MODELS = PAPER_ROWS | OTHER_ROWS
PAPER_MODELS = ("sdp", "sdm", "sdmr")
# As the authors released them, which differs from the paper; no rows of the tables.
RELEASED_MODELS = {
    "sdp-released": Model("SDP, released", "sdmr.models.released.ReleasedSDP"),
    "sdm-released": Model("SDM, released", "sdmr.models.released.ReleasedSDM"),
    "sdmr-released": Model("SDMR, released", "sdmr.models.released.ReleasedSDMR"),
}
# With the best settings inside the paper's grid, if the tuned ones leave it: rows below the model's own.
GRID = "-grid"
GRID_ROWS = {
    f"{name}{GRID}": replace(MODELS[name], name=f"{MODELS[name].name} (paper's grid)") for name in PAPER_MODELS
}
NAMED_MODELS = MODELS | RELEASED_MODELS | GRID_ROWS


def get_model(name: str) -> Model:
    """Return the model of a name, or of the dotted path of a user's class."""
    return NAMED_MODELS.get(name, Model(name, name))


def expand_models(names: Sequence[str] | None) -> list[str]:
    """Return the named models of the tables, by default all. `paper` stands for the paper's rows."""
    names = list(MODELS) if names is None else names
    return list(dict.fromkeys(model for name in names for model in (PAPER_ROWS if name == "paper" else [name])))


def insert_grid_rows(models: Iterable[str]) -> list[str]:
    """Return models, those that can have a row inside the paper's grid followed by it."""
    return [row for model in models for row in (model, f"{model}{GRID}") if row == model or row in GRID_ROWS]


def can_read(model: str, dataset: str) -> bool:
    """Tell whether a named model can read a data set. Models of sequences read no baskets."""
    return get_model(model).reads_baskets or dataset not in BASKET_DATASETS


def list_models(name: str = "") -> str:
    """Return the end of a message on a wrong model: what `model=` may name."""
    names = ", ".join(NAMED_MODELS)
    return f"there are {names}, or name a class with fit and score: package.Class{suggest(name, NAMED_MODELS)}"
