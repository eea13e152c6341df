"""Notice what a model changes in the arrays that models share."""

from copy import deepcopy

import numpy as np
import pytest
from numpy.typing import NDArray

from sdmr.datasets.task import Training
from sdmr.harness.recommender import ModelError, check_unchanged, compute_checksums
from tests.behavior import small
from tests.harness.scripted import Scripted


def make_training() -> Training:
    """Make training data of its own arrays, the cached matrix included."""
    training = small().training
    user_ids = np.array([f"user {number}" for number in range(training.n_users)], dtype=object)
    fields = {name: value for name, value in vars(training).items() if name != "matrix"}
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


def test_an_array_that_is_made_later_is_no_change() -> None:
    training = deepcopy(small().training)
    vars(training).pop("matrix", None)
    checksums = compute_checksums(training)
    assert training.matrix.nnz
    check_unchanged(Scripted(np.zeros(1)), training, checksums)
