"""What the golden files are about: tasks and recommenders, each made by its name.

Only here do `make_golden.py` and `tests/test_golden.py` name the suite's modules and arguments.
"""

from __future__ import annotations

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

# How a task is made: of which interactions, and the arguments of the split that are not the defaults.
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
CANDIDATES = 20  # if nothing else is said: few, so that the files stay small
CONTEXT = 6  # items of every context that are kept
RANKED = ("popularity", "item-knn")
IN_BASKETS = ("prme-s", "sdm")  # models that are also trained on baskets
# A parameter that BPR cancels: its gradient is rounding, which Adam makes steps of, others on every processor.
CANCELLED = {"gmf bpr": "output.bias", "gmf bpr hardest": "output.bias", "cmn": "gmf.output.bias"}


def interactions(of: str, arrays: Arrays) -> Interactions:
    """The made-up interactions that a golden file holds."""
    is_basket = of == "baskets"
    users, items, third = (arrays[f"{'baskets' if is_basket else 'general'} {name}"] for name in COLUMNS[is_basket])
    if of == "without times":
        return Interactions.from_raw(users, items)
    return Interactions.from_raw(users, items, **{"baskets" if is_basket else "times": third})


COLUMNS = {False: ("users", "items", "times"), True: ("users", "items", "baskets")}


def task(name: str, arrays: Arrays) -> Task:
    """A task of `TASKS`."""
    of, how = TASKS[name]
    return split(interactions(of, arrays), **{"n_candidates": CANDIDATES, **how})


def numbers(task: Task) -> dict[str, NDArray[np.int64]]:
    """Every number of a task: the split, the contexts, the candidates."""
    training = task.training
    sides: dict[str, Instances] = {
        "training": training.instances,
        "validation": training.validation,
        "test": task.test,
    }
    found = {"size": np.array([training.n_users, training.n_items])}
    for name, side in sides.items():
        found |= {f"{name} users": side.users, f"{name} targets": side.targets}
        found[f"{name} contexts"] = side.contexts.last_n(CONTEXT)
        if isinstance(side, HeldOut):
            found[f"{name} candidates"] = side.candidates
    return found


def digests(task: Task) -> dict[str, str]:
    """sha256 of the test items and of the candidates they are ranked among, as 64-bit integers."""
    arrays = {"test items": task.test.targets, "test candidates": task.test.candidates}
    return {
        name: hashlib.sha256(np.ascontiguousarray(array, "<i8").tobytes()).hexdigest() for name, array in arrays.items()
    }


def real_task(name: str) -> Task | None:
    """ML-100k or Ta-Feng with the default split; None where its raw file is not on this machine."""
    files = {"ml-100k": ML_100K.name, "ta-feng": "ta-feng/ta_feng.csv.zip"}
    folders = (get_data_folder(), get_cache_folder() / "raw")
    if not any(folder is not None and (folder / files[name]).is_file() for folder in folders):
        return None
    return split(load_ml_100k() if name == "ml-100k" else load_ta_feng())


def ranks(name: str, task: Task) -> dict[str, NDArray[np.int64]]:
    """How many candidates are above the target, and how many tie with it."""
    fitted = ranked(name)
    fitted.fit(task.training)
    found = rank(fitted, task.test)
    return {"above": found.above, "tied": found.tied}


def ranked(name: str) -> Any:
    """A recommender of `RANKED`."""
    return Popularity() if name == "popularity" else ItemKNN(neighbors=10)


def scores_of_slim(task: Task) -> NDArray[np.float64]:
    """SLIM, solved to the end: its weights are those of a convex problem."""
    slim = SLIM(l1=0.1, l2=1.0, tolerance=1e-9)
    slim.fit(task.training)
    return slim.score(task.test.users, task.test.contexts.last_n(0), task.test.candidates)


def trained(name: str) -> TorchRecommender:
    """A small recommender of `TRAINED`."""
    return TRAINED[name]()


def parameters(name: str, task: Task) -> list[NDArray[np.float32]]:
    """A recommender's parameters after two epochs, in order, those of its parts included.

    Not those of the better of the two, which rounding might choose; but a part is frozen at its best one. Without the
    one that is `CANCELLED`.
    """
    model = trained(name)
    after_epoch = []
    observe = model.epoch_metrics

    def kept(*arguments: Any) -> dict[str, float]:
        compared = (parameter for of, parameter in model.named_parameters() if of != CANCELLED.get(name))
        after_epoch.append([parameter.detach().clone().numpy() for parameter in compared])
        return observe(*arguments)

    model.epoch_metrics = kept  # type: ignore[method-assign]
    torch.set_num_threads(1)
    model.fit(task.training)
    return after_epoch[-1]


def _short(learning_rate: float = 0.01, **more: Any) -> OptimizationConfig:
    return OptimizationConfig(learning_rate=learning_rate, batch_size=64, epochs=2, patience=2, device="cpu", **more)


def _released() -> OptimizationConfig:
    """Return the released training, in two epochs, the learning rate halved after the first."""
    names = ("negatives", "regularization_scope", "selection_metric")
    options = {name: getattr(RELEASED_TRAINING, name) for name in names}
    return _short(0.003, halve_learning_rate_every=1, **options)


def _gmf(objective: str = "log", **more: Any) -> GMF:
    return GMF(4, objective, _short(**more))


def _mlp() -> MLP:
    return MLP(4, 2, _short())


def _sdp(**more: Any) -> SDP:
    return SDP(4, optimization=_short(negatives="hardest"), **more)


def _sdm(**more: Any) -> SDM:
    return SDM(4, 2, 5, optimization=_short(negatives="hardest"), **more)


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
    "neumf": lambda: NeuMF(_gmf(), _mlp(), _short()),
    "mf-bpr": lambda: MFBPR(4, optimization=_short()),
    "mf-bpr hardest": lambda: MFBPR(4, True, _short(negatives="hardest")),
    "mf-bpr rowwise": lambda: MFBPR(4, True, _short(optimizer="rowwise")),
    "mf-bpr sgd": lambda: MFBPR(4, True, _short(0.05, optimizer="sgd")),
    "mf-bpr regularise all": lambda: MFBPR(4, True, _short(regularization_scope="all")),
    "mf-bpr halved": lambda: MFBPR(4, True, _short(halve_learning_rate_every=1)),
    "cml": lambda: CML(4, _short(negatives="hardest")),
    "cmn": lambda: CMN(_gmf("bpr"), 2, optimization=_short()),
    "prme": lambda: PRME(4, optimization=_short()),
    "prme-s": lambda: PRME(4, context_length=5, optimization=_short(negatives="hardest")),
    "transrec": lambda: TransRec(4, optimization=_short()),
    "caser": lambda: Caser(4, 5, 4, 2, dropout=0.0, optimization=_short()),
    "sdp": _sdp,
    "sdp two layers": lambda: _sdp(layers=2),
    "sdp released": _released_sdp,
    "sdm": _sdm,
    "sdm released": _released_sdm,
    "sdmr": lambda: SDMR(_sdp(), _sdm(), optimization=_short()),
    "sdmr sum": lambda: SDMR(_sdp(), _sdm(), combine="sum", optimization=_short()),
    "sdmr released": lambda: ReleasedSDMR(_released_sdp(), _released_sdm(), optimization=_released(), **NO_DROPOUT),
}
