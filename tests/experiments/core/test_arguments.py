"""Every numeric argument of every model declares its bounds, and a value outside them is one line."""

import inspect
import json
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt

from sdmr.experiments.core.arguments import check_arguments, describe_arguments, get_model_config, import_class
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.datasets import list_datasets, read_dataset
from sdmr.experiments.core.errors import ConfigError
from sdmr.experiments.core.registry import NAMED_MODELS, can_read
from sdmr.harness.training.optimizer import OptimizationConfig
from tests.experiments.core.conftest import Sdmr

TARGETS = sorted({model.target for model in NAMED_MODELS.values()})
NAN = float("nan")


def list_numeric_types(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield each argument that takes a number, except for choices, with the number's type."""
    for name, parameter in inspect.signature(cls, eval_str=True).parameters.items():
        is_union = get_origin(parameter.annotation) in (Union, UnionType)
        for number in get_args(parameter.annotation) if is_union else (parameter.annotation,):
            if number in (int, float) or get_origin(number) is Annotated:
                yield name, number


def list_wrong_values(cls: type) -> Iterator[tuple[str, float]]:
    """Yield each bounded argument with values just outside its bounds, and no number at all."""
    for name, number in list_numeric_types(cls):
        for bound in number.__metadata__:
            if isinstance(bound, Ge):
                yield name, bound.ge - 1  # type: ignore[operator]
            if isinstance(bound, Gt):
                yield name, bound.gt  # type: ignore[misc]
            if isinstance(bound, Le):
                yield from ((name, bound.le + 1), (name, NAN))  # type: ignore[operator]
            if isinstance(bound, Lt):
                yield from ((name, bound.lt), (name, NAN))  # type: ignore[misc]


CASES = [
    (target, name, value)
    for target in (*TARGETS, f"{OptimizationConfig.__module__}.OptimizationConfig")
    for name, value in list_wrong_values(import_class(target))
]


def test_the_cases_name_every_kind_of_bound() -> None:
    names = {name for _, name, _ in CASES}
    assert {"dim", "hops", "context_length", "layers", "dropout", "alpha", "beta", "l1", "l2", "neighbors"} <= names
    assert {"learning_rate", "regularization", "batch_size", "epochs", "patience", "validation_instances"} <= names
    assert len(CASES) > 40


@pytest.mark.parametrize("target", TARGETS)
def test_every_numeric_argument_has_bounds(target: str) -> None:
    types = list_numeric_types(import_class(target))
    assert [name for name, number in types if get_origin(number) is not Annotated] == []


@pytest.mark.parametrize(("target", "name", "value"), CASES)
def test_a_value_outside_its_bounds_is_one_line(target: str, name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^model\.{name}={value}: must be [^\n]*$"):
        check_arguments({"_target_": target, name: value}, "model")


@pytest.mark.parametrize(("target", "name", "value"), CASES)
def test_a_constructor_refuses_a_value_outside_its_bounds(target: str, name: str, value: float) -> None:
    cls = import_class(target)
    with pytest.raises(ValueError, match=rf"^({cls.__name__}: |optimization\.){name} must be .*, not {value}$"):
        cls(**make_parts(cls), **{name: value})


def make_parts(cls: type) -> dict[str, Any]:
    """Return the parts that a constructor has no defaults for."""
    parameters = inspect.signature(cls, eval_str=True).parameters.values()
    return {each.name: None for each in parameters if each.default is each.empty}


@pytest.mark.parametrize(
    ("model", "argument"),
    [
        ("sdm", "dim=-1"),
        ("sdmr", "sdm.dim=0"),
        ("slim", "l1=-1"),
        ("mf-bpr", "optimization.learning_rate=nan"),
        ("mf-bpr", "optimization.learning_rate=inf"),
        ("sdmr", "sdp.optimization.batch_size=0"),
    ],
)
def test_the_command_line_answers_a_number_out_of_bounds_in_one_line(model: str, argument: str, sdmr: Sdmr) -> None:
    answer = sdmr("run", f"model={model}", f"model.{argument}")
    assert (answer.status, answer.out) == (2, "")
    assert answer.error.startswith(f"sdmr run: model.{argument}: must be ")


@pytest.mark.parametrize("model", NAMED_MODELS)
def test_the_defaults_of_every_model_are_within_their_bounds(model: str) -> None:
    dataset = "ta-feng" if can_read(model, "ta-feng") else "ml-1m"
    config = compose_config([f"model={model}", f"dataset={dataset}"]).settings["model"]
    check_arguments(json.loads(json.dumps(config)), "model")


@pytest.mark.parametrize("name", [*NAMED_MODELS, *list_datasets()])
def test_every_setting_has_a_short_meaning_of_its_own(name: str) -> None:
    is_model = name in NAMED_MODELS
    config = get_model_config(name) if is_model else read_dataset(name)["dataset"]
    lines = [line.partition("=")[::2] for line in describe_arguments(config, "model" if is_model else "dataset")]
    meanings = {key.strip(): value.partition(" ")[2].strip() for key, value in lines}
    assert all(len(meaning.split()) >= 3 and len(meaning) <= 125 for meaning in meanings.values()), meanings
    assert not [meaning for meaning in meanings.values() if meaning.startswith("See ")]
    parts: dict[str, list[str]] = {}
    for key, meaning in meanings.items():
        parts.setdefault(key.rpartition(".")[0], []).append(meaning)
    assert all(len(part) == len(set(part)) for part in parts.values()), parts
