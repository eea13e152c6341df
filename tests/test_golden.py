"""The numbers of this suite are those of commit d2b9968, on any processor: see tests/golden/make_golden.py."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sdmr.datasets.task import Task
from tests.golden import subjects

GOLDEN = Path(__file__).parent / "golden"
PAIRS = [*((name, "general") for name in subjects.TRAINED), *((name, "baskets") for name in subjects.BASKET_MODELS)]


def load(name: str) -> dict[str, NDArray]:
    with np.load(GOLDEN / name) as saved:
        return dict(saved)


def use_golden_candidates(task: Task, name: str, integers: dict[str, NDArray]) -> Task:
    """Return the task with the validation candidates of d2b9968, by which the golden parts chose their epochs."""
    validation = replace(
        task.training.validation, candidates=integers[f"{name}: validation candidates"].astype(np.int64)
    )
    return replace(task, training=replace(task.training, validation=validation))


@pytest.fixture(scope="module")
def integers() -> dict[str, NDArray]:
    return load("splits.npz")


@pytest.fixture(scope="module")
def floats() -> dict[str, NDArray]:
    return load("parameters.npz")


@pytest.mark.parametrize("name", subjects.TASKS)
def test_split_contexts_and_candidates_are_the_golden_ones(name: str, integers: dict[str, NDArray]) -> None:
    numbers = subjects.list_numbers(subjects.make_task(name, integers))
    new = load("validation_candidates.npz")  # they are drawn without knowledge of the test items since d2b9968
    np.testing.assert_array_equal(numbers["validation candidates"], new[name])
    numbers["validation candidates"] = integers[f"{name}: validation candidates"]
    assert {f"{name}: {key}" for key in numbers} == {key for key in integers if key.startswith(f"{name}: ")}
    for key, array in numbers.items():
        np.testing.assert_array_equal(array, integers[f"{name}: {key}"], err_msg=key)


@pytest.mark.parametrize("data", ["general", "baskets"])
@pytest.mark.parametrize("name", subjects.RANKED)
def test_ranks_are_the_golden_ones(name: str, data: str, integers: dict[str, NDArray]) -> None:
    for key, array in subjects.compute_ranks(name, subjects.make_task(data, integers)).items():
        np.testing.assert_array_equal(array, integers[f"{name} on {data}: {key}"], err_msg=key)


@pytest.mark.parametrize(("name", "data"), PAIRS, ids=map(" on ".join, PAIRS))
def test_parameters_after_two_epochs_are_the_golden_ones(
    name: str, data: str, integers: dict[str, NDArray], floats: dict[str, NDArray]
) -> None:
    golden = [array for key, array in floats.items() if key.startswith(f"{name} on {data}: ")]
    parameters = subjects.train_parameters(
        name, use_golden_candidates(subjects.make_task(data, integers), data, integers)
    )
    assert [array.shape for array in parameters] == [array.shape for array in golden]
    for number, (array, expected) in enumerate(zip(parameters, golden, strict=True)):
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-4, err_msg=f"parameter {number}")


def test_slim_scores_are_the_golden_ones(integers: dict[str, NDArray], floats: dict[str, NDArray]) -> None:
    scores = subjects.compute_slim_scores(subjects.make_task("general", integers))
    np.testing.assert_allclose(scores, floats["slim on general"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["ml-100k", "ta-feng"])
def test_test_items_and_candidates_of_real_data_are_the_golden_ones(name: str) -> None:
    task = subjects.load_real_task(name)
    if task is None:
        pytest.skip(f"{name} is neither in SDMR_DATA nor in the cache")
    assert subjects.compute_digests(task) == json.loads((GOLDEN / "real.json").read_text())[name]
