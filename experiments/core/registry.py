"""The models by the names that the command line and the tables know."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from sdmr.datasets.readers import read_settings
from sdmr.experiments.core.errors import ConfigError
from sdmr.experiments.core.messages import suggest

CHECKOUT = Path(__file__).parents[2]
CONF = CHECKOUT / "experiments" / "conf"
SPACES = CONF / "space"  # of the searches
IS_CHECKOUT = (CHECKOUT / "setup.cfg").is_file()


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
BASKET_DATASETS = ("ijcai-15", "ta-feng")  # those of Table 4


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


def reads(model: str, dataset: str) -> bool:
    """Tell whether a named model can read a data set. Models of sequences read no baskets."""
    return get_model(model).reads_baskets or dataset not in BASKET_DATASETS


def list_models(name: str = "") -> str:
    """Return the end of a message on a wrong model: what `model=` may name."""
    names = ", ".join(NAMED_MODELS)
    return f"there are {names}, or name a class with fit and score: package.Class{suggest(name, NAMED_MODELS)}"


def list_user_folders() -> list[Path]:
    """Return the folder of a user's own configuration: the results. A checkout holds it itself."""
    return [] if IS_CHECKOUT else [Path(os.environ.get("SDMR_RESULTS", "results")).resolve()]


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
            return {"dataset": read_settings(name)}
        except ValueError as error:
            raise ConfigError(str(error)) from error
    if name not in list_datasets():
        names = f"{', '.join(list_datasets())}, or name a reader: package.function{suggest(name, list_datasets())}"
        raise ConfigError(f"dataset={name}: there is none of this name; there are {names}")
    config = yaml.safe_load((CONF / "dataset" / f"{name}.yaml").read_text(encoding="utf-8"))
    return config if "dataset" in config else {"dataset": config}
