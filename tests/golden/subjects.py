"""Make the tasks and recommenders of the golden files, each by its name.

Only here do `make_golden.py` and `tests/test_golden.py` name the suite's modules and arguments.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sdmr.baselines.caser import Caser
from sdmr.baselines.cml import CML
from sdmr.baselines.cmn import CMN
from sdmr.baselines.item_knn import ItemKNN
from sdmr.baselines.mf_bpr import MFBPR
from sdmr.baselines.neumf import GMF, MLP, NeuMF
from sdmr.baselines.popularity import Popularity
from sdmr.baselines.prme import PRME
from sdmr.baselines.slim import SLIM
from sdmr.baselines.transrec import TransRec
from sdmr.datasets.download import get_cache_folder, get_data_folder
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.movielens import ML_100K, load_ml_100k
from sdmr.datasets.split import split
from sdmr.datasets.ta_feng import load_ta_feng
from sdmr.datasets.task import HeldOut, Instances, Task
from sdmr.harness.evaluation import rank
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.released import RELEASED_TRAINING, ReleasedSDM, ReleasedSDMR, ReleasedSDP
from sdmr.models.sdm import SDM
from sdmr.models.sdmr import SDMR
from sdmr.models.sdp import SDP

Arrays = Mapping[str, NDArray[Any]]

# Task -> its interactions, and the arguments of the split that are not the defaults.
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "general": ("general", {}),
    "general, split seed 1": ("general", {"split_seed": 1}),
    "general, random test item": ("general", {"test_item": "random"}),
    "general, next-to-last development item": ("general", {"validation_item": "next-to-last"}),
    "general, random test item, next-to-last development item": (
        "general",
        {"test_item": "random", "validation_item": "next-to-last"},
    ),
    "general, ties by item id": ("general", {"equal_times": "item-id"}),
    "general, 19 candidates": ("general", {"n_candidates": 19}),
    "general, without times": ("without times", {}),
    "baskets": ("baskets", {}),
    "baskets, random test item": ("baskets", {"test_item": "random"}),
    "baskets, next-to-last development item": ("baskets", {"validation_item": "next-to-last"}),
}
CANDIDATES = 20  # by default: few, so that the files stay small
CONTEXT = 6  # items of every context that are kept
RANKED = ("popularity", "item-knn")
BASKET_MODELS = ("prme-s", "sdm")  # models that are also trained on baskets
# A parameter that BPR cancels: its gradient is rounding error, of which Adam makes other steps on each processor.
CANCELED = {"gmf bpr": "output.bias", "gmf bpr hardest": "output.bias", "cmn": "gmf.output.bias"}


def make_interactions(name: str, arrays: Arrays) -> Interactions:
    """Return the synthetic interactions that a golden file holds."""
    is_basket = name == "baskets"
    prefix = "baskets" if is_basket else "general"
    users, items, third = (arrays[f"{prefix} {column}"] for column in COLUMNS[is_basket])
    if name == "without times":
        return Interactions.from_raw(users, items)
    return Interactions.from_raw(users, items, **{"baskets" if is_basket else "times": third})


COLUMNS = {False: ("users", "items", "times"), True: ("users", "items", "baskets")}


def make_task(name: str, arrays: Arrays) -> Task:
    """Return a task of `TASKS`."""
    interactions, options = TASKS[name]
    return split(make_interactions(interactions, arrays), **{"n_candidates": CANDIDATES, **options})


def list_numbers(task: Task) -> dict[str, NDArray[np.int64]]:
    """Return every number of a task: the split, the contexts, the candidates."""
    training = task.training
    sides: dict[str, Instances] = {
        "training": training.instances,
        "validation": training.validation,
        "test": task.test,
    }
    arrays = {"size": np.array([training.n_users, training.n_items])}
    for name, side in sides.items():
        arrays |= {f"{name} users": side.users, f"{name} targets": side.targets}
        arrays[f"{name} contexts"] = side.contexts.last_n(CONTEXT)
        if isinstance(side, HeldOut):
            arrays[f"{name} candidates"] = side.candidates
    return arrays


def compute_digests(task: Task) -> dict[str, str]:
    """Return the sha256 of the test items and of their candidates, as 64-bit integers."""
    arrays = {"test items": task.test.targets, "test candidates": task.test.candidates}
    return {
        name: hashlib.sha256(np.ascontiguousarray(array, "<i8").tobytes()).hexdigest() for name, array in arrays.items()
    }


def load_real_task(name: str) -> Task | None:
    """Return ML-100k or Ta-Feng with the default split. None if its raw file is not on this machine."""
    files = {"ml-100k": ML_100K.name, "ta-feng": "ta-feng/ta_feng.csv.zip"}
    folders = (get_data_folder(), get_cache_folder() / "raw")
    if not any(folder is not None and (folder / files[name]).is_file() for folder in folders):
        return None
    return split(load_ml_100k() if name == "ml-100k" else load_ta_feng())


def compute_ranks(name: str, task: Task) -> dict[str, NDArray[np.int64]]:
    """Return the number of candidates above the target, and of those that tie with it."""
    recommender = make_ranked(name)
    recommender.fit(task.training)
    ranks = rank(recommender, task.test)
    return {"above": ranks.above, "tied": ranks.tied}


def make_ranked(name: str) -> Any:
    """Return a recommender of `RANKED`."""
    return Popularity() if name == "popularity" else ItemKNN(neighbors=10)


def compute_slim_scores(task: Task) -> NDArray[np.float64]:
    """Return the scores of SLIM, a convex problem, which is solved to the end."""
    slim = SLIM(l1=0.1, l2=1.0, tolerance=1e-9)
    slim.fit(task.training)
    return slim.score(task.test.users, task.test.contexts.last_n(0), task.test.candidates)


def train_parameters(name: str, task: Task) -> list[NDArray[np.float32]]:
    """Return the parameters of a recommender of `TRAINED` after two epochs, in order, with those of its parts.

    They are those of the last epoch, since rounding might select the better one; a part is frozen at its better epoch.
    The parameter that is `CANCELED` is left out.
    """
    model: TorchRecommender = TRAINED[name]()
    epochs = []
    epoch_metrics = model.epoch_metrics

    def keep_parameters(*arguments: Any) -> dict[str, float]:
        compared = (parameter for key, parameter in model.named_parameters() if key != CANCELED.get(name))
        epochs.append([parameter.detach().clone().numpy() for parameter in compared])
        return epoch_metrics(*arguments)

    model.epoch_metrics = keep_parameters  # type: ignore[method-assign]
    torch.set_num_threads(1)
    model.fit(task.training)
    return epochs[-1]


def _two_epochs(learning_rate: float = 0.01, **more: Any) -> OptimizationConfig:
    return OptimizationConfig(learning_rate=learning_rate, batch_size=64, epochs=2, patience=2, device="cpu", **more)


def _released() -> OptimizationConfig:
    """Return the released training, in two epochs, the learning rate halved after the first."""
    names = ("negatives", "regularization_scope", "selection_metric")
    options = {name: getattr(RELEASED_TRAINING, name) for name in names}
    return _two_epochs(0.003, halve_learning_rate_every=1, **options)


def _gmf(objective: str = "log", **more: Any) -> GMF:
    return GMF(4, objective, _two_epochs(**more))


def _mlp() -> MLP:
    return MLP(4, 2, _two_epochs())


def _sdp(**more: Any) -> SDP:
    return SDP(4, optimization=_two_epochs(negatives="hardest"), **more)


def _sdm(**more: Any) -> SDM:
    return SDM(4, 2, 5, optimization=_two_epochs(negatives="hardest"), **more)


# PyTorch draws the numbers of dropout differently on each processor: the released models are without it here.
NO_DROPOUT: dict[str, Any] = {"dropout": 0.0, "dropout_at_test": "off"}


def _released_sdp() -> ReleasedSDP:
    return ReleasedSDP(4, optimization=_released(), **NO_DROPOUT)


def _released_sdm() -> ReleasedSDM:
    return ReleasedSDM(4, 2, 5, optimization=_released(), **NO_DROPOUT)


# Names of the golden files, which stay.
TRAINED = {
    "gmf log": _gmf,
    "gmf bpr": lambda: _gmf("bpr"),
    "gmf bpr hardest": lambda: _gmf("bpr", negatives="hardest"),
    "mlp": _mlp,
    "neumf": lambda: NeuMF(_gmf(), _mlp(), _two_epochs()),
    "mf-bpr": lambda: MFBPR(4, optimization=_two_epochs()),
    "mf-bpr hardest": lambda: MFBPR(4, True, _two_epochs(negatives="hardest")),
    "mf-bpr sgd": lambda: MFBPR(4, True, _two_epochs(0.05, optimizer="sgd")),
    "mf-bpr regularise all": lambda: MFBPR(4, True, _two_epochs(regularization_scope="all")),
    "mf-bpr halved": lambda: MFBPR(4, True, _two_epochs(halve_learning_rate_every=1)),
    "cml": lambda: CML(4, optimization=_two_epochs(negatives="hardest")),
    "cmn": lambda: CMN(_gmf("bpr"), 2, optimization=_two_epochs()),
    "prme": lambda: PRME(4, optimization=_two_epochs()),
    "prme-s": lambda: PRME(4, context_length=5, optimization=_two_epochs(negatives="hardest")),
    "transrec": lambda: TransRec(4, optimization=_two_epochs()),
    "caser": lambda: Caser(4, 5, 4, 2, dropout=0.0, optimization=_two_epochs()),
    "sdp": _sdp,
    "sdp two layers": lambda: _sdp(layers=2),
    "sdp released": _released_sdp,
    "sdm": _sdm,
    "sdm released": _released_sdm,
    "sdmr": lambda: SDMR(_sdp(), _sdm(), optimization=_two_epochs()),
    "sdmr sum": lambda: SDMR(_sdp(), _sdm(), combine="sum", optimization=_two_epochs()),
    "sdmr released": lambda: ReleasedSDMR(_released_sdp(), _released_sdm(), optimization=_released(), **NO_DROPOUT),
}
