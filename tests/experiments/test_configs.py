"""Every config that a command line can ask for: it composes, it instantiates, and a misspelt key is an error.

A model's config and a data set's meet in three settings alone: epochs, patience and context length. So every model is
composed with one data set that gives all three, and every data set with the models that read them in every way.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate

from sdmr.experiments import configs
from sdmr.experiments.configs import MODELS, ROWS, class_of, compose_run, config_of
from sdmr.experiments.tables.cells import rows
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.released import ReleasedSDM, ReleasedSDP

# Every data set, with what it cannot do without, and the epochs, patience and context length it asks for.
DATASETS = {
    "ml-100k": ([], 100, 10, 5),
    "ml-1m": ([], 50, 5, 5),
    "epinions": ([], 50, 5, 5),
    "netflix": (["dataset.month=2005-12"], 50, 5, 5),
    "netflix-sample": ([], 50, 5, 5),
    "ta-feng": ([], 50, 5, 18),
    "ijcai-15": ([], 50, 5, 13),
    "csv": (["dataset.path=a.csv"], 100, 10, None),  # the file says: see test_execute.py
    "inter": (["dataset.path=a.inter"], 100, 10, 5),
    "ncf": (["dataset.path=a"], 100, 10, 5),
}

every_model = pytest.mark.parametrize("model", MODELS)


def nested(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The config and all configs in it."""
    inner = [found for value in config.values() if isinstance(value, dict) for found in nested(value)]
    return [config, *inner]


def test_the_list_of_data_sets_is_whole() -> None:
    folder = Path(configs.__file__).parent / "conf" / "dataset"
    assert {path.stem for path in folder.iterdir()} == set(DATASETS)


@pytest.mark.parametrize("model", ["prme", "sdmr"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_data_set_says_how_long_to_train_and_how_much_to_read(dataset: str, model: str) -> None:
    needed, epochs, patience, context_length = DATASETS[dataset]
    config, name = compose_run([f"model={model}", f"dataset={dataset}", *needed])
    assert name == dataset
    parameters = inspect.signature(class_of(config["dataset"]["_target_"])).parameters
    assert set(config["dataset"]) == {"_target_", *parameters}
    parts = nested(config["model"])
    assert {part["epochs"] for part in parts if "epochs" in part} == {epochs}
    assert {part["patience"] for part in parts if "patience" in part} == {patience}
    lengths = {part["context_length"] for part in parts if "context_length" in part}
    assert lengths == {1 if model == "prme" else context_length}


@cache
def on_ta_feng(model: str) -> dict[str, Any]:
    """The model's config with 50 epochs, a patience of 5 and contexts of 18."""
    return compose_run([f"model={model}", "dataset=ta-feng"])[0]["model"]


@every_model
def test_every_model_instantiates_with_its_parts(model: str) -> None:
    config = on_ta_feng(model)
    made = instantiate(config)
    assert type(made) is class_of(MODELS[model].target)
    assert ("optimization" in config) == isinstance(made, TorchRecommender)
    if isinstance(made, TorchRecommender):
        expected = {"sdmr-released": (20, 20)}.get(model, (50, 50) if "released" in model else (50, 5))
        assert (made.optimization.epochs, made.optimization.patience) == expected
        assert {"optimization", *made.parts} == {name for name, value in config.items() if isinstance(value, dict)}


@every_model
def test_keys_are_the_constructors_parameters_and_values_its_defaults(model: str) -> None:
    config = on_ta_feng(model)
    for part in nested(config):
        assert set(part) == {"_target_", *inspect.signature(class_of(part["_target_"])).parameters}
    for name, parameter in inspect.signature(class_of(MODELS[model].target)).parameters.items():
        default = parameter.default
        if isinstance(default, OptimizationConfig):
            of_dataset = {} if "released" in model else {"epochs": 50, "patience": 5}
            expected = replace(default, **of_dataset, validation_instances=10_000)
            assert OptimizationConfig(**without_target(config[name])) == expected
        elif not isinstance(config[name], dict):
            default = 18 if name == "context_length" else default
            assert config[name] == MODELS[model].fixed.get(name, default), name


def without_target(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != "_target_"}


def test_the_released_sdmr_is_made_of_the_released_parts() -> None:
    config = on_ta_feng("sdmr-released")
    for part in ("sdp", "sdm"):
        assert config[part] == on_ta_feng(f"{part}-released")
    made = instantiate(config)
    assert (type(made.sdp), type(made.sdm)) == (ReleasedSDP, ReleasedSDM)


def test_a_single_difference_can_be_set_beside_the_released_variant() -> None:
    overrides = [
        "model.gate_update=distance",
        "model.dropout_at_test=off",
        "model.optimization.regularization_scope=batch",
    ]
    made = instantiate(compose_run(["model=sdm-released", *overrides])[0]["model"])
    assert (made.query_dropout.test_mode, made.gate_update, made.optimization.regularization_scope) == (
        "off",
        "distance",
        "batch",
    )
    assert (made.value_layer, made.optimization.halve_learning_rate_every) == ("layer", 20)
    made = instantiate(compose_run(["model=sdmr-released", "model.sdm.padding=excluded", "epochs=3"])[0]["model"])
    assert (made.sdm.padding, made.sdm.value_layer, made.optimization.epochs) == ("excluded", "layer", 20)


def test_the_tables_have_the_papers_models_alone() -> None:
    assert [model for model in MODELS if model not in ROWS] == ["sdp-released", "sdm-released", "sdmr-released"]
    assert rows() == list(ROWS)


def test_few_validation_instances_choose_the_epoch_on_ta_feng_alone() -> None:
    for dataset, (needed, *_) in DATASETS.items():
        config, _ = compose_run(["model=mf-bpr", f"dataset={dataset}", *needed])
        expected = 10_000 if dataset == "ta-feng" else "all"
        assert config["model"]["optimization"]["validation_instances"] == expected


def test_prme_reads_one_context_item_and_its_sequence_form_several() -> None:
    lengths = {model: instantiate(on_ta_feng(model)).context_length for model in ("prme", "prme-s")}
    assert lengths == {"prme": 1, "prme-s": 18}


def test_what_makes_a_model_this_model_reaches_its_parts() -> None:
    assert instantiate(on_ta_feng("cmn")).gmf.objective == "bpr"
    config, _ = compose_run(["model=sdmr", "model.sdm.hops=2", "context_length=7"])
    made = instantiate(config["model"])
    assert (made.sdm.hops, made.sdm.context_length, made.context_length) == (2, 7, 7)


def test_the_command_line_has_the_last_word() -> None:
    overrides = ["model=sdm", "dataset=ml-1m", "epochs=3", "model.optimization.patience=2", "model.context_length=4"]
    config, _ = compose_run([*overrides, "seed=9", "split_seed=8", "test=false"])
    made = instantiate(config["model"])
    assert (made.optimization.epochs, made.optimization.patience, made.context_length) == (3, 2, 4)
    assert (config["seed"], config["split_seed"], config["test"]) == (9, 8, False)


def test_the_split_seed_reaches_the_data_sets_that_draw() -> None:
    for dataset in (["ta-feng"], ["ijcai-15"], ["ncf", "dataset.path=a"]):
        config, _ = compose_run(["model=popularity", "split_seed=3", f"dataset={dataset[0]}", *dataset[1:]])
        assert config["dataset"]["split_seed"] == 3


@pytest.mark.parametrize(
    "misspelt", ["epoch", "model.hop", "model.optimization.learning_rat", "dataset.leest", "model.context", "treads"]
)
def test_an_unknown_key_is_an_error_that_names_it(misspelt: str) -> None:
    with pytest.raises(ValueError, match=misspelt):
        compose_run(["model=sdm", "dataset=epinions", f"{misspelt}=3"])


@pytest.mark.parametrize("override", ["model=sdn", "dataset=ml-100"])
def test_an_unknown_choice_is_an_error_that_names_it(override: str) -> None:
    with pytest.raises(ValueError, match=override.partition("=")[2]):
        compose_run(["model=sdm", "dataset=epinions", override])


def test_a_key_forced_upon_a_model_is_an_error_when_it_is_made() -> None:
    config, _ = compose_run(["model=sdm", "+model.hop=3"])
    with pytest.raises(Exception, match="unexpected keyword argument 'hop'"):
        instantiate(config["model"])


@pytest.mark.parametrize(("dataset", "missing"), [("csv", "dataset.path"), ("netflix", "dataset.month")])
def test_a_setting_without_a_default_must_be_given(dataset: str, missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        compose_run(["model=popularity", f"dataset={dataset}"])


def test_a_class_of_this_suite_without_its_package_is_answered_with_the_whole_name() -> None:
    with pytest.raises(ValueError, match=r"models\.sdm\.SDM: the class of this suite is sdmr\.models\.sdm\.SDM$"):
        config_of("models.sdm.SDM")


@pytest.mark.parametrize("target", ["no_such_module.Model", "models.my.Net", "sdmr.models.sdm.SDN", "SDM"])
def test_a_class_that_cannot_be_imported_is_named(target: str) -> None:
    with pytest.raises(ValueError, match=rf"model\._target_={target}: "):
        config_of(target)
