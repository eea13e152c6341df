"""Refuse options of training that are unknown, senseless or without effect."""

from typing import Any

import pytest

from sdmr.baselines.caser import Caser
from sdmr.baselines.neumf import GMF, MLP
from sdmr.harness.training.optimizer import OptimizationConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [("negatives", "hard"), ("optimizer", "lion"), ("regularization_scope", "some"), ("selection_metric", "loss")],
)
def test_an_unknown_choice_is_an_error(field: str, value: str) -> None:
    wrong: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=f"{field} must be .* not '{value}'"):
        OptimizationConfig(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be > 0 and < inf, not 0.0"),
        ({"learning_rate": float("inf")}, "learning_rate must be > 0 and < inf, not inf"),
        ({"learning_rate": float("nan")}, "learning_rate must be > 0 and < inf, not nan"),
        ({"regularization": -0.01}, "regularization must be ≥ 0 and < inf, not -0.01"),
        ({"epochs": 0}, "epochs must be ≥ 1, not 0"),
        ({"patience": 0}, "patience must be ≥ 1, not 0"),
        ({"batch_size": 0}, "batch_size must be ≥ 1, not 0"),
        ({"n_negatives": 0}, "n_negatives must be ≥ 1, not 0"),
        ({"validation_instances": 0}, "validation_instances must be ≥ 1 or 'all', not 0"),
        ({"halve_learning_rate_every": -1}, "halve_learning_rate_every must be ≥ 0, not -1"),
        ({"validation_instances": "some"}, "validation_instances must be ≥ 1 or 'all', not 'some'"),
        ({"regularization_scope": "all", "optimizer": "sgd"}, "regularization_scope=all is Adam's weight decay"),
    ],
)
def test_an_option_without_effect_or_sense_is_an_error(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OptimizationConfig(**wrong)


def test_a_log_loss_refuses_the_hardest_negative() -> None:
    hardest = OptimizationConfig(negatives="hardest")
    assert OptimizationConfig().validate_for_log_loss() == OptimizationConfig()
    for make in (Caser, MLP, GMF):
        with pytest.raises(ValueError, match="negatives=hardest has no effect on a log loss"):
            make(optimization=hardest)
    assert GMF(objective="bpr", optimization=hardest).optimization == hardest
