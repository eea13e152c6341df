"""Notice what a model changes in the arrays that models share."""

import os
import random
import re
import warnings
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sdmr.datasets.task import Training
from sdmr.harness import recommender
from sdmr.harness.recommender import (
    ModelError,
    check_unchanged,
    compute_checksums,
    fit,
    get_scores,
    offers_score_all,
)
from tests.behavior import small
from tests.harness.scripted import Scripted


def make_training() -> Training:
    """Make training data of its own arrays, the cached matrix included."""
    training = small().training
    user_ids = np.array([f"user {number}" for number in range(training.n_users)], dtype=object)
    fields = {name: value for name, value in vars(training).items() if name != "_matrix"}
    training = deepcopy(Training(**fields | {"user_ids": user_ids, "item_ids": np.arange(training.n_items)}))
    assert training.matrix.nnz
    return training


def list_arrays(training: Training) -> dict[str, NDArray]:
    arrays = {f"matrix.{name}": getattr(training.matrix, name) for name in ("data", "indices", "indptr")}
    for side in ("instances", "validation"):
        for owner, path in ((getattr(training, side), side), (getattr(training, side).contexts, f"{side}.contexts")):
            arrays |= {f"{path}.{name}": value for name, value in vars(owner).items() if isinstance(value, np.ndarray)}
    return arrays | {"user_ids": training.user_ids, "item_ids": training.item_ids}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(list_arrays(make_training())))
def test_a_change_of_any_array_is_an_error_that_names_model_and_array(name: str) -> None:
    training = make_training()
    checksums = compute_checksums(training)
    check_unchanged(Scripted(np.zeros(1)), training, checksums)
    arrays = list_arrays(training)
    array = arrays[name].reshape(-1)
    names = "|".join(label for label, other in arrays.items() if np.shares_memory(other, array))  # some are one array
    first, other = array[0], array[np.argmax(array != array[0])] if (array != array[0]).any() else array[0] + 1
    array[0] = other
    with pytest.raises(ModelError, match=rf"^Scripted has changed training\.(\w+\.)*({names}), which models share"):
        check_unchanged(Scripted(np.zeros(1)), training, checksums)
    array[0] = first
    check_unchanged(Scripted(np.zeros(1)), training, checksums)


def test_fit_hands_out_a_copy_that_a_model_may_write_to() -> None:
    class Writer(Scripted):
        def fit(self, training: Training) -> None:  # type: ignore[override]
            training.matrix.setdiag(9)
            torch.from_numpy(training.instances.targets).zero_()
            for array in list_arrays(training).values():
                array[:] = array[0]

    training = make_training()
    checksums = compute_checksums(training)
    fit(Writer(np.zeros(1)), training)
    assert compute_checksums(training) == checksums


def test_an_array_that_is_made_later_is_no_change() -> None:
    training = deepcopy(small().training)
    vars(training).pop("_matrix", None)
    checksums = compute_checksums(training)
    assert training.matrix.nnz
    check_unchanged(Scripted(np.zeros(1)), training, checksums)


class ScoresAll(Scripted):
    def score_all(self, users: NDArray, contexts: NDArray) -> NDArray:
        return self.table[users]  # type: ignore[index, return-value]


class OtherScore(ScoresAll):
    def score(self, users: NDArray, contexts: NDArray, candidates: NDArray) -> NDArray:
        return -candidates


class OtherForward(ScoresAll):
    def forward(self, *inputs: NDArray) -> None:
        """Stand for that of a model in PyTorch."""


class OtherName(ScoresAll):
    name = "other"


class Without(ScoresAll):
    score_all = None  # type: ignore[assignment]


class Both(OtherScore):
    def score_all(self, users: NDArray, contexts: NDArray) -> NDArray:
        return -np.tile(np.arange(3), (len(users), 1))


@pytest.mark.parametrize(
    ("model", "expected"),
    [(Scripted, False), (ScoresAll, True), (OtherName, True), (Both, True)]
    + [(model, False) for model in (OtherScore, OtherForward, Without)],
)
def test_score_all_is_used_unless_a_subclass_has_other_scores(model: type[Scripted], expected: bool) -> None:
    assert offers_score_all(model(np.zeros((3, 3)))) == expected


def test_score_all_is_not_used_where_an_instance_has_other_scores() -> None:
    model = ScoresAll(np.zeros((3, 3)))
    model.score = lambda *inputs: inputs[-1]  # type: ignore[method-assign]
    assert not offers_score_all(model)


CHANGES = {
    "the current folder": lambda: os.chdir("/"),
    "torch.set_default_dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch.set_default_device": lambda: torch.set_default_device("meta"),
    "torch.set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "torch.set_num_threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch.use_deterministic_algorithms": lambda: torch.use_deterministic_algorithms(True),
    "torch.set_float32_matmul_precision": lambda: torch.set_float32_matmul_precision("medium"),
}


@pytest.mark.parametrize("method", ["fit", "score"])
@pytest.mark.parametrize("setting", CHANGES)
def test_a_setting_of_the_process_that_a_model_changes_is_an_error_and_restored(setting: str, method: str) -> None:
    class Changer(Scripted):
        def fit(self, training: object) -> None:
            CHANGES[setting]()

        def score(self, *arguments: NDArray) -> NDArray:
            CHANGES[setting]()
            raise ArithmeticError

    read, _ = recommender._SETTINGS[setting]
    before, model = read(), Changer(np.zeros(1))
    if method == "fit":
        with pytest.raises(ModelError, match=rf"^Changer has changed {setting} \({re.escape(str(before))} is now "):
            fit(model, small().training)
    else:  # the error of the model itself is left as it is
        with pytest.raises(ArithmeticError):
            get_scores(model, *(np.zeros((1, 1), dtype=np.int64),) * 3)
    assert read() == before


@pytest.mark.parametrize("method", ["fit", "score"])
def test_what_numpy_does_on_errors_and_the_filters_of_warnings_are_restored_without_a_word(method: str) -> None:
    class Strict(Scripted):
        def fit(self, training: object) -> None:
            np.seterr(all="raise")
            warnings.simplefilter("error")

        def score(self, *arguments: NDArray) -> NDArray:
            self.fit(None)
            return np.zeros((1, 1))

    before, model = (np.geterr(), list(warnings.filters)), Strict(np.zeros(1))
    if method == "fit":
        fit(model, small().training)
    else:
        get_scores(model, *(np.zeros((1, 1), dtype=np.int64),) * 3)
    assert (np.geterr(), list(warnings.filters)) == before


def test_fit_seeds_every_generator_by_the_seed_of_training() -> None:
    class Drawing(Scripted):
        def fit(self, training: object) -> None:
            self.numbers = random.random(), np.random.random(), float(torch.rand(1))  # noqa: NPY002

    models = [Drawing(np.zeros(1)) for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        fit(model, replace(small().training, seed=seed))
    assert models[0].numbers == models[1].numbers
    assert not set(models[0].numbers) & set(models[2].numbers)
