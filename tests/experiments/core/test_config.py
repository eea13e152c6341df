"""Every config that a command line can ask for: it composes, it instantiates, and a misspelt key is an error.

A model's config and a data set's meet in two settings alone: epochs and context length. So every model is
composed with one data set that gives both, and every data set with the models that read them in every way.
"""

import inspect
import re
from dataclasses import asdict, fields, replace
from functools import cache
from itertools import product
from typing import Any

import pytest
import yaml
from hydra.utils import instantiate

from sdmr.experiments.core.arguments import import_class
from sdmr.experiments.core.config import compose_config, prepare_overrides
from sdmr.experiments.core.errors import ConfigError, NotTunedError, UsageError
from sdmr.experiments.core.grammar import expand_sweep
from sdmr.experiments.core.messages import format_value
from sdmr.experiments.core.paths import CONF
from sdmr.experiments.core.registry import MODELS, NAMED_MODELS, RELEASED_MODELS, can_read
from sdmr.experiments.core.tuned import get_tuned_path
from sdmr.experiments.run import describe_more
from sdmr.harness.protocol import Protocol
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.harness.training.sequence import SequenceRecommender
from sdmr.models.released import ReleasedSDM, ReleasedSDP

# Every data set, with what it cannot do without, and the epochs and context length it asks for.
DATASETS = {
    "ml-100k": ([], 100, 5),
    "ml-1m": ([], 50, 5),
    "epinions": ([], 50, 5),
    "epinions-id-order": ([], 50, 5),
    "netflix": (["dataset.month=2005-12"], 50, 5),
    "netflix-sample": ([], 50, 5),
    "ta-feng": ([], 50, 18),
    "ijcai-15": ([], 50, 13),
    "csv": (["dataset.path=a.csv"], 100, None),  # the file says: see test_execute.py
    "inter": (["dataset.path=a.inter"], 100, 5),
    "ncf": (["dataset.path=a"], 100, 5),
}

every_model = pytest.mark.parametrize("model", NAMED_MODELS)


def nested(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The config and all configs in it."""
    inner = [part for value in config.values() if isinstance(value, dict) for part in nested(value)]
    return [config, *inner]


def test_every_data_set_is_listed_here() -> None:
    assert {path.stem for path in (CONF / "dataset").iterdir()} == set(DATASETS)


@pytest.mark.parametrize("model", ["prme", "sdmr"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_data_set_sets_epochs_and_context_length_and_leaves_the_patience(dataset: str, model: str) -> None:
    needed, epochs, context_length = DATASETS[dataset]
    config, name = compose_config([f"model={model}", f"dataset={dataset}", *needed])
    assert name == dataset
    parameters = inspect.signature(import_class(config["dataset"]["_target_"])).parameters
    assert set(config["dataset"]) == {"_target_", *parameters}
    parts = nested(config["model"])
    assert {part["epochs"] for part in parts if "epochs" in part} == {epochs}
    assert {part["patience"] for part in parts if "patience" in part} == {10}
    lengths = {part["context_length"] for part in parts if "context_length" in part}
    assert lengths == {1 if model == "prme" else context_length}


@cache
def compose_on_ta_feng(model: str) -> dict[str, Any]:
    """The model's config with 50 epochs and contexts of 18; models of sequences are composed with ML-1M."""
    dataset = "ta-feng" if can_read(model, "ta-feng") else "ml-1m"
    return compose_config([f"model={model}", f"dataset={dataset}"]).settings["model"]


@every_model
def test_model_instantiates_with_its_parts(model: str) -> None:
    config = compose_on_ta_feng(model)
    made = instantiate(config)
    assert type(made) is import_class(NAMED_MODELS[model].target)
    assert ("optimization" in config) == isinstance(made, TorchRecommender)
    if isinstance(made, TorchRecommender):
        expected = {"sdmr-released": (20, 20)}.get(model, (50, 50) if "released" in model else (50, 10))
        if isinstance(made, SequenceRecommender):  # whose epochs have fewer steps
            expected = (400, 40) if model == "bert4rec" else (200, 20)
        assert (made.optimization.epochs, made.optimization.patience) == expected
        assert {"optimization", *made.parts} == {name for name, value in config.items() if isinstance(value, dict)}


@every_model
def test_keys_and_values_are_the_constructors_arguments_and_defaults(model: str) -> None:
    config = compose_on_ta_feng(model)
    for part in nested(config):
        assert set(part) == {"_target_", *inspect.signature(import_class(part["_target_"])).parameters}
    for name, parameter in inspect.signature(import_class(NAMED_MODELS[model].target)).parameters.items():
        default = parameter.default
        if isinstance(default, OptimizationConfig):
            is_other = "released" in model or keeps_context_length(NAMED_MODELS[model].target)
            shared = {} if is_other else {"epochs": 50}
            instances = 10_000 if can_read(model, "ta-feng") else "all"
            expected = replace(default, **shared, validation_instances=instances)
            assert OptimizationConfig(**drop_target(config[name])) == expected
        elif not isinstance(config[name], dict):
            if name == "context_length" and not keeps_context_length(NAMED_MODELS[model].target):
                default = 18
            assert config[name] == NAMED_MODELS[model].settings.get(name, default), name


def keeps_context_length(target: str) -> bool:
    """Tell whether a model has a length of its own on every data set: the longest history that it reads."""
    return issubclass(import_class(target), SequenceRecommender)


def drop_target(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != "_target_"}


def test_released_sdmr_has_the_released_parts() -> None:
    config = compose_on_ta_feng("sdmr-released")
    for part in ("sdp", "sdm"):
        assert config[part] == compose_on_ta_feng(f"{part}-released")
    made = instantiate(config)
    assert (type(made.sdp), type(made.sdm)) == (ReleasedSDP, ReleasedSDM)


def test_single_argument_of_a_released_model_can_be_set() -> None:
    overrides = [
        "model.gate_update=distance",
        "model.dropout_at_test=off",
        "model.optimization.regularization_scope=batch",
    ]
    made = instantiate(compose_config(["model=sdm-released", *overrides]).settings["model"])
    assert (made.query_dropout.test_mode, made.gate_update, made.optimization.regularization_scope) == (
        "off",
        "distance",
        "batch",
    )
    assert (made.value_layer, made.optimization.halve_learning_rate_every) == ("layer", 20)
    made = instantiate(
        compose_config(
            ["model=sdmr-released", "model.sdm.padding=excluded", "model.sdp.optimization.epochs=3"]
        ).settings["model"]
    )
    assert (made.sdm.padding, made.sdm.value_layer) == ("excluded", "layer")
    assert [part.optimization.epochs for part in (made.sdp, made.sdm, made)] == [3, 50, 20]


def test_epochs_and_patience_replace_those_of_a_released_model_and_its_parts() -> None:
    overrides = ["model=sdmr-released", "epochs=1", "+patience=2", "model.sdp.optimization.epochs=4"]
    made = instantiate(compose_config(overrides).settings["model"])
    assert [part.optimization.epochs for part in (made.sdp, made.sdm, made)] == [4, 1, 1]
    assert {part.optimization.patience for part in (made.sdp, made.sdm, made)} == {2}
    assert instantiate(compose_config(["model=sdmr-released"]).settings["model"]).sdp.optimization.epochs == 50


def test_multirun_over_released_and_other_models_has_the_epochs_of_the_command_line() -> None:
    prepared = prepare_overrides(["model=popularity,sdp-released,sdmr-released", "epochs=1"])
    for model in expand_sweep(prepared)[0]:
        config = compose_config([model, "epochs=1"]).settings["model"]
        assert {part["epochs"] for part in nested(config) if "epochs" in part} <= {1}


def test_tables_have_no_rows_of_released_models() -> None:
    assert list(RELEASED_MODELS) == ["sdp-released", "sdm-released", "sdmr-released"]
    assert not set(MODELS) & set(RELEASED_MODELS)


@pytest.mark.parametrize(
    ("dataset", "model"), [pair for pair in product(DATASETS, NAMED_MODELS) if can_read(pair[1], pair[0])]
)
def test_defaults_on_every_data_set_are_those_of_the_constructors(dataset: str, model: str) -> None:
    needed, epochs, context_length = DATASETS[dataset]
    shared = {"epochs": epochs, "patience": 10, "context_length": context_length}
    shared["validation_instances"] = 10_000 if dataset == "ta-feng" else "all"
    config = compose_config([f"model={model}", f"dataset={dataset}", *needed]).settings["model"]
    assert config == read_defaults(NAMED_MODELS[model].target, shared) | complete(model, config, shared)


def read_defaults(target: str, shared: dict[str, Any]) -> dict[str, Any]:
    """Read a constructor's defaults; the data set's settings stand in for those of the same names."""
    config: dict[str, Any] = {"_target_": target}
    for name, parameter in inspect.signature(import_class(target), eval_str=True).parameters.items():
        default, usual = parameter.default, OptimizationConfig()
        if name in shared and not (name == "context_length" and keeps_context_length(target)):
            config[name] = shared[name]
        elif isinstance(default, OptimizationConfig):
            values = {key: shared.get(key) for key in shared if getattr(default, key, None) == getattr(usual, key, 0)}
            config[name] = (
                {"_target_": f"{OptimizationConfig.__module__}.OptimizationConfig"} | asdict(default) | values
            )
        elif default is parameter.empty:
            part = parameter.annotation
            config[name] = read_defaults(f"{part.__module__}.{part.__name__}", shared)
        else:
            config[name] = default
    return config


def complete(model: str, config: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that make a class this model, in full: PRME reads one item, CMN++ trains its GMF by BPR."""
    settings = NAMED_MODELS[model].settings
    defaults = read_defaults(NAMED_MODELS[model].target, shared)
    parts = {name: defaults[name] | value for name, value in settings.items() if isinstance(value, dict)}
    return settings | parts


def test_validation_instances_are_limited_on_ta_feng_only() -> None:
    for dataset, (needed, *_) in DATASETS.items():
        config, _ = compose_config(["model=mf-bpr", f"dataset={dataset}", *needed])
        expected = 10_000 if dataset == "ta-feng" else "all"
        assert config["model"]["optimization"]["validation_instances"] == expected


def test_prme_reads_one_context_item_and_its_sequence_form_several() -> None:
    lengths = {model: instantiate(compose_on_ta_feng(model)).context_length for model in ("prme", "prme-s")}
    assert lengths == {"prme": 1, "prme-s": 18}


def test_arguments_that_make_a_model_reach_its_parts() -> None:
    assert instantiate(compose_on_ta_feng("cmn")).gmf.objective == "bpr"
    config, _ = compose_config(["model=sdmr", "model.sdm.hops=2", "context_length=7"])
    made = instantiate(config["model"])
    assert (made.sdm.hops, made.sdm.context_length, made.context_length) == (2, 7, 7)


def test_command_line_overrides_data_set_and_model() -> None:
    overrides = ["model=sdm", "dataset=ml-1m", "epochs=3", "model.optimization.patience=2", "model.context_length=4"]
    config, _ = compose_config([*overrides, "seed=9", "split_seed=8", "test=false"])
    made = instantiate(config["model"])
    assert (made.optimization.epochs, made.optimization.patience, made.context_length) == (3, 2, 4)
    assert (config["seed"], config["split_seed"], config["test"]) == (9, 8, False)


def test_split_seed_reaches_data_sets_that_draw() -> None:
    for dataset in (["ta-feng"], ["ijcai-15"], ["ncf", "dataset.path=a"]):
        config, _ = compose_config(["model=popularity", "split_seed=3", f"dataset={dataset[0]}", *dataset[1:]])
        assert config["dataset"]["split_seed"] == 3


@pytest.mark.parametrize(
    "misspelt", ["epoch", "model.hop", "model.optimization.learning_rat", "dataset.leest", "model.context", "treads"]
)
def test_unknown_key_is_an_error_that_names_it(misspelt: str) -> None:
    with pytest.raises(ValueError, match=misspelt):
        compose_config(["model=sdm", "dataset=epinions", f"{misspelt}=3"])


@pytest.mark.parametrize("override", ["model=sdn", "dataset=ml-100"])
def test_unknown_choice_is_an_error_that_names_it(override: str) -> None:
    with pytest.raises(ValueError, match=override.partition("=")[2]):
        compose_config(["model=sdm", "dataset=epinions", override])


@pytest.mark.parametrize("prefix", ["+", "++"])
@pytest.mark.parametrize("key", ["model.hop", "dataset.leest", "protocol.tie", "epoch", "new.group"])
def test_unknown_key_with_plus_signs_is_refused(prefix: str, key: str) -> None:
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        compose_config(["model=sdm", "dataset=epinions", f"{prefix}{key}=3"])


@pytest.mark.parametrize("prefix", ["+", "++"])
def test_known_key_with_plus_signs_is_the_key(prefix: str) -> None:
    config = compose_config(["model=sdm", f"{prefix}model.hops=7", f"{prefix}seed=3"]).settings
    assert (config["model"]["hops"], config["seed"]) == (7, 3)


def test_missing_model_is_an_error_that_lists_the_models() -> None:
    with pytest.raises(ConfigError, match=r"^model=\.\.\. is missing; there are popularity, .*, or name a class"):
        compose_config(["dataset=ml-1m"])


def test_a_model_of_sequences_refuses_baskets_before_data_are_read() -> None:
    with pytest.raises(ConfigError, match="model=gru4rec: it reads the order of histories, which the baskets of ta-f"):
        compose_config(["model=gru4rec", "dataset=ta-feng"])


@pytest.mark.parametrize("model", ["3", "", "my.Missing", "models.my.Net"])
def test_model_that_is_none_is_an_error_that_says_what_is_allowed(model: str) -> None:
    allowed = r"there are popularity, .*, or name a class with fit and score: package\.Class"
    with pytest.raises(UsageError, match=rf"^model={model}: (there is none|no such class).*{allowed}"):
        compose_config([f"model={model}"])


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("model=transrek", "transrec"),
        ("dataset=ml100k", "ml-100k"),
        ("epoch=3", "epochs"),
        ("model.hop=3", "hops"),
        ("model.optimization.learning_rat=1", "learning_rate"),
        ("protocol.tie_polcy=expected", "tie_policy"),
        ("dataset.min_cuont=3", "min_count"),
    ],
)
def test_misspelt_name_is_an_error_that_suggests_the_right_one(override: str, meant: str) -> None:
    with pytest.raises(UsageError, match=rf"; did you mean {re.escape(meant)}\?$"):
        compose_config(["model=sdm", "dataset=epinions", override])


def test_name_far_from_all_others_has_no_suggestion() -> None:
    with pytest.raises(UsageError, match=r"^protocol.zz: the protocol has select_on, .*, equal_times, .*"):
        compose_config(["model=sdm", "protocol.zz=1"])


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ("epochs=0", "greater than or equal to 1"),
        ("patience=0", "greater than or equal to 1"),
        ("context_length=0", "greater than or equal to 1"),
        ("validation_instances=0", "greater than or equal to 1 or 'all'"),
        ("validation_instances=some", "a valid integer or 'all'"),
        ("seed=-1", "greater than or equal to 0"),
        ("split_seed=-1", "greater than or equal to 0"),
    ],
)
def test_count_out_of_bounds_is_an_error_that_says_what_is_allowed(override: str, allowed: str) -> None:
    with pytest.raises(ConfigError, match=f"^{override}: must be {allowed}$"):
        compose_config(["model=sdm", override])


def test_sweep_expands_lists_and_ranges_and_keeps_single_values() -> None:
    overrides = ["model=sdm,sdp", "model.hops=range(1,4)", "epochs=2", "dataset.tags=[a,b]"]
    assert expand_sweep(overrides) == [
        ["model=sdm", "model=sdp"],
        ["model.hops=1", "model.hops=2", "model.hops=3"],
        ["epochs=2"],
        ["dataset.tags=[a,b]"],
    ]
    for override in ("model.hops=[1", "model.hops=glob(*)"):
        with pytest.raises(ConfigError, match=f"^{re.escape(override)}: expected key=value, a list key="):
            expand_sweep([override])


def test_tuned_settings_are_used_and_keep_their_origin() -> None:
    tuned = compose_config(["model=sdm", "settings=tuned"]).settings
    file = yaml.safe_load(get_tuned_path("ml-100k", "sdm").read_text())
    assert tuned["model"]["optimization"]["regularization"] == file["model"]["optimization"]["regularization"]
    assert tuned["model"].items() >= {k: v for k, v in file["model"].items() if k != "optimization"}.items()
    assert tuned["tuning"] == file["tuning"]
    assert "tuning" not in compose_config(["model=sdm"]).settings
    assert compose_config(["model=sdm", "settings=tuned", "model.hops=4"]).settings["model"]["hops"] == 4


def test_tuned_settings_that_do_not_exist_are_an_error_that_names_the_search() -> None:
    with pytest.raises(
        NotTunedError,
        match="sdm on ncf has no tuned settings; `sdmr sweep model=sdm dataset=ncf`",
    ):
        compose_config(["model=sdm", "dataset=ncf", "settings=tuned"])


def test_protocol_options_have_a_default_a_meaning_and_choices() -> None:
    lines = [line for line in describe_more([]).splitlines() if line.startswith("  protocol.")]
    assert len(lines) == len(fields(Protocol))
    for line, field in zip(lines, fields(Protocol), strict=True):
        start = re.escape(f"  protocol.{field.name}={format_value(field.default)} ")
        assert re.fullmatch(rf"{start} *\w.+ \(.*, .*\)", line)
        assert field.metadata["description"]


@pytest.mark.parametrize(("dataset", "missing"), [("csv", "dataset.path"), ("netflix", "dataset.month")])
def test_setting_without_a_default_is_required(dataset: str, missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        compose_config(["model=popularity", f"dataset={dataset}"])
