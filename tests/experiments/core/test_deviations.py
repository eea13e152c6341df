"""Deviations: what a run does in another way than the paper, named in its record and in captions."""

from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.deviations import describe_result, format_deviations, list_deviations, list_model_deviations
from sdmr.experiments.core.execute import execute
from sdmr.experiments.core.messages import format_value
from sdmr.experiments.core.registry import NAMED_MODELS, can_read
from sdmr.harness.protocol import Protocol
from sdmr.models.released import ReleasedSDM
from tests.experiments.conftest import run_of

pytestmark = pytest.mark.usefixtures("temporary_cache")


def compose_model(*overrides: str) -> dict[str, Any]:
    return compose_config(overrides).settings["model"]


TRAINING = {
    "optimization.regularization_scope": "all",
    "optimization.halve_learning_rate_every": 20,
    "optimization.selection_metric": "hit@10",
    "optimization.epochs": 50,
    "optimization.patience": 50,
}
SDP_DEVIATIONS = {"distance": "absolute", "dropout": 0.2, "initialization": "torch", **TRAINING}
SDM_DEVIATIONS = {
    "dropout": 0.2,
    "dropout_at_test": "on",
    "value_layer": "layer",
    "gate_update": "negated",
    "padding": "scaled",
    "short_context": "left-over",
    "initialization": "torch",
    **TRAINING,
}
SDMR_DEVIATIONS = {
    "dropout": 0.2,
    "part_mode": "training",
    **TRAINING,
    **{f"sdp.{name}": value for name, value in SDP_DEVIATIONS.items()},
    **{f"sdm.{name}": value for name, value in SDM_DEVIATIONS.items()},
    "optimization.epochs": 20,
    "optimization.patience": 20,
}


def test_default_protocol_has_no_deviations(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=popularity", *overrides)
    assert run.config["protocol"] == asdict(Protocol())
    assert execute(run).deviations == {}
    assert list_deviations(run_of(tmp_path, "model=popularity", *overrides, "split_seed=2")) == {"split_seed": 2}
    timeless = tuple(override for override in overrides if "time" not in override)
    file_order = run_of(tmp_path, "model=popularity", *timeless, "dataset.order=file")
    assert execute(file_order).deviations == {"order": "file"}
    assert execute(run_of(tmp_path, "model=popularity", *timeless)).deviations == {}


def test_order_is_a_deviation_only_where_it_is_not_the_data_sets_default(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    run = run_of(tmp_path, "model=popularity", *overrides)
    baskets = replace(run, dataset="ta-feng", config=run.config | {"dataset": {"order": "file"}})
    assert list_deviations(baskets) == {}
    assert list_deviations(replace(baskets, dataset="epinions")) == {"order": "file"}
    assert list_deviations(replace(baskets, dataset="epinions-id-order")) == {}
    assert list_deviations(replace(baskets, dataset="inter")) == {"order": "file"}
    large = replace(baskets, config=run.config | {"dataset": {"order": "file", "min_basket": 5, "max_basket": 50}})
    assert list_deviations(large) == {"max_basket": 50}
    random_order = replace(baskets, config=baskets.config | {"dataset": {"order": "random"}})
    assert list_deviations(replace(random_order, dataset="inter")) == {}


@pytest.mark.parametrize(
    ("model", "expected"), [("sdp", SDP_DEVIATIONS), ("sdm", SDM_DEVIATIONS), ("sdmr", SDMR_DEVIATIONS)]
)
def test_released_model_deviates_in_every_argument_that_is_not_the_papers(model: str, expected: dict[str, Any]) -> None:
    config = compose_model(f"model={model}-released")
    assert list_model_deviations(config) == {"variant": "released", **expected}
    assert list_model_deviations(compose_model(f"model={model}")) == {}


def test_deviations_name_single_arguments_of_a_released_model() -> None:
    papers = [f"model.{name}={value}" for name, value in ReleasedSDM.PAPER_CHOICES.items()]
    papers += ["epochs=100", "patience=10"]
    assert list_model_deviations(compose_model("model=sdm-released", *papers)) == {}
    single = compose_model("model=sdm-released", *papers, "model.value_layer=layer")
    assert list_model_deviations(single) == {"variant": "released", "value_layer": "layer"}
    all_but_one = list_model_deviations(compose_model("model=sdm-released", "model.gate_update=distance"))
    assert all_but_one == {"variant": "released"} | {k: v for k, v in SDM_DEVIATIONS.items() if k != "gate_update"}
    caser = compose_model("model=caser", "model.dropout_at_test=on")
    assert list_model_deviations(caser) == {"dropout_at_test": "on"}


@pytest.mark.parametrize(
    ("dataset", "model"),
    [pair for pair in product(["ml-100k", "ml-1m", "ta-feng"], NAMED_MODELS) if can_read(pair[1], pair[0])],
)
def test_paper_model_with_default_settings_has_no_deviations(dataset: str, model: str) -> None:
    deviations = list_model_deviations(compose_model(f"model={model}", f"dataset={dataset}"), dataset)
    assert (deviations != {}) == model.endswith("-released")


@pytest.mark.parametrize(
    ("model", "setting", "value"),
    [
        ("sdp", "dropout", 0.2),
        ("sdp", "layers", 2),
        ("sdm", "dropout", 0.2),
        ("sdm", "optimization.regularization_scope", "all"),
        ("sdm", "optimization.halve_learning_rate_every", 20),
        ("sdm", "optimization.selection_metric", "hit@10"),
        ("sdm", "optimization.epochs", 3),
        ("sdm", "optimization.patience", 3),
        ("sdm", "optimization.batch_size", 9),
        ("sdm-released", "optimization.patience", 9),
        ("sdmr", "combine", "sum"),
        ("sdmr", "activation", "identity"),
        ("sdmr", "sdm.dropout", 0.2),
        ("sdmr-released", "sdp.optimization.epochs", 9),
        ("mf-bpr", "item_bias", True),
        ("cmn", "keep_self", True),
        ("cmn", "gmf.objective", "log"),
    ],
)
def test_single_argument_that_is_not_the_papers_is_a_deviation(model: str, setting: str, value: object) -> None:
    config = compose_model(f"model={model}", f"model.{setting}={format_value(value)}")
    assert list_model_deviations(config)[setting] == value
    if "released" not in model:
        assert list_model_deviations(config) == {setting: value}


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("sdm", ["dim=8", "hops=2", "context_length=10", "optimization.regularization=0.1"]),
        ("sdmr", ["sdp.dim=8", "sdm.hops=1", "optimization.learning_rate=0.1", "optimization.negatives=all"]),
        ("neumf", ["mlp.layers=3", "gmf.dim=8"]),
        ("caser", ["dropout=0.2"]),
        ("transrec", ["squared=false", "optimization.device=cpu"]),
        ("ials", ["sweeps=2", "unobserved_weight=0.1"]),  # not in the paper
    ],
)
def test_searched_setting_is_no_deviation(model: str, settings: list[str]) -> None:
    assert list_model_deviations(compose_model(f"model={model}", *(f"model.{one}" for one in settings))) == {}


def test_true_is_written_as_hydra_reads_it() -> None:
    assert format_deviations({"dropout": 0.2, "item_bias": True}) == "dropout=0.2, item_bias=true"


def test_record_and_result_line_name_the_released_variant(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path, "model=sdp-released", "model.dim=4", "model.optimization.epochs=1", *overrides)
    record = execute(run)
    assert record.deviations == {"variant": "released", **SDP_DEVIATIONS, "optimization.epochs": 1}
    assert ", variant=released, distance=absolute, " in describe_result(record, run.folder)


def test_deviations_are_written_as_on_the_command_line() -> None:
    assert format_deviations({"ties": "argsort", "order": "file"}) == "ties=argsort, order=file"
