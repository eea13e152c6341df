"""Fit pre-trained parts first, and leave them alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sdmr.datasets.task import Training
from tests.behavior import small
from tests.harness.factors import Factors, Parent, assert_same_bits, fit


def test_parts_are_fitted_first_and_frozen() -> None:
    alone = fit(Factors(dropout=0.3), small().training)
    parent = Parent(Factors(dropout=0.3))
    parent.fit(small().training)
    assert parent.part_was_fitted_at_build
    assert parent.part.is_fitted
    assert_same_bits(parent.part, alone)
    assert not any(parameter.requires_grad for parameter in parent.part.parameters())
    assert parent.items.weight.requires_grad


def test_a_fitted_part_is_not_fitted_again() -> None:
    part = Factors()
    part.fit(replace(small().training, seed=8))
    before = {name: value.clone() for name, value in part.state_dict().items()}

    def fail(training: Training) -> None:
        raise AssertionError("fitted again")

    part.fit = fail  # type: ignore[method-assign]
    parent = Parent(part)
    parent.fit(small().training)
    for name, value in part.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_dropout_of_parts_stays_off() -> None:
    parent = Parent(Factors(dropout=0.5))
    parent.fit(small().training)
    assert parent.modes == {(True, False, False), (False, False, False)}  # training, and ranking validation items


def test_a_part_does_not_write_to_the_checkpoint_of_the_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(Parent(Factors()), replace(small().training, checkpoint=tmp_path / "fit.pt"))
    assert not caplog.text  # the whole finds no checkpoint of another class
