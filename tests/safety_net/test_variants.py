"""Old commands and records of SDP, SDM and SDMR become those of today's classes."""

import pytest
import variants

from sdmr.models.released import ReleasedSDM, ReleasedSDMR, ReleasedSDP

CLASSES = {"sdp": ReleasedSDP, "sdm": ReleasedSDM, "sdmr": ReleasedSDMR}


@pytest.mark.parametrize("model", CLASSES)
def test_the_choices_are_those_of_the_class(model: str) -> None:
    choices = variants.RELEASED_ARGUMENTS[model] | variants.SHARED_ARGUMENTS[model]
    assert choices == CLASSES[model].PAPER_CHOICES


def test_a_command_without_a_released_choice_stays() -> None:
    overrides = ["model=sdm", "model.dim=8", "model.dropout=0.2", "model.optimization.regularization_scope=all"]
    assert variants.choose_class([*overrides, "model.variant=paper", "model.gate_update=distance"]) == overrides
    assert variants.choose_class(["model=caser", "model.dropout_at_test=on"]) == [
        "model=caser",
        "model.dropout_at_test=on",
    ]


def test_a_released_variant_is_a_model_of_its_own() -> None:
    overrides = variants.choose_class(["model=sdp", "model.variant=released", "model.distance=square"])
    assert overrides == ["model=sdp-released", "model.distance=square"]


def test_one_released_choice_leaves_the_others_with_the_paper() -> None:
    overrides = variants.choose_class(["model=sdm", "model.gate_update=negated"])
    assert overrides[:2] == ["model=sdm-released", "model.gate_update=negated"]
    assert {"model.padding=excluded", "model.dropout=0.0", "model.optimization.epochs=${epochs}"} < set(overrides)


def test_parts_may_be_the_papers() -> None:
    overrides = variants.choose_class(["model=sdmr", "model.variant=released", "model.sdm.variant=paper"])
    assert overrides[0] == "model=sdmr-released"
    assert "model.sdm.padding=excluded" in overrides
    assert all(override.startswith("model.sdm.") for override in overrides[1:])


def test_deviations_name_arguments_of_parts() -> None:
    training = {"regularization_scope": "batch", "halve_learning_rate_every": 0, "selection_metric": "NDCG@10"}
    sdp = {"distance": "absolute", "dropout": 0.0, "dropout_at_test": "off", "initialization": "he"}
    parts = {"sdp": sdp, "sdm": variants.RELEASED_ARGUMENTS["sdm"] | {"dropout": 0.2}}
    model = {
        "_target_": "sdmr.models.released.ReleasedSDMR",
        "part_mode": "evaluation",
        "dropout": 0.0,
        "dropout_at_test": "off",
        "optimization": training | {"halve_learning_rate_every": 20},
        **{name: {**part, "optimization": training} for name, part in parts.items()},
    }
    assert variants.list_deviations(model) == {
        "variant": "released",
        "optimization.halve_learning_rate_every": 20,
        "sdp.distance": "absolute",
        "sdm.dropout": 0.2,
    }
