"""Fit twice, or interrupted and resumed: the bits are the same."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sdmr.harness.training.base import TorchRecommender
from tests.behavior import small
from tests.harness.factors import (
    CONFIG,
    Factors,
    Killed,
    assert_same_bits,
    count_calls,
    every_maker,
    fit,
    get_bits,
    kill_at,
    kill_while_writing,
)


@every_maker
def test_the_same_seed_gives_the_same_bits(make: Callable[[], TorchRecommender]) -> None:
    model = fit(make(), small().training)
    torch.manual_seed(99)  # whatever state the caller's generators are in
    np.random.seed(99)  # noqa: NPY002
    assert_same_bits(fit(make(), small().training), model)
    other = fit(make(), replace(small().training, seed=1))
    assert get_bits(other)[1] != get_bits(model)[1]
    assert any(not torch.equal(value, get_bits(model)[0][name]) for name, value in get_bits(other)[0].items())


@every_maker
def test_a_killed_fit_resumes_to_the_same_bits(make: Callable[[], TorchRecommender], tmp_path: Path) -> None:
    uninterrupted = make()
    total = count_calls(uninterrupted, small().training)
    calls_per_epoch = total // CONFIG.epochs
    assert total == calls_per_epoch * CONFIG.epochs > 2 * CONFIG.epochs
    for moment in range(1, total + 1):
        training = replace(small().training, checkpoint=tmp_path / f"{moment}.pt")
        model = make()
        kill_at(model, moment)
        with pytest.raises(Killed):
            model.fit(training)
        torch.manual_seed(moment)
        resumed = make()
        n_calls = count_calls(resumed, training)
        finished = (moment - 1) // calls_per_epoch  # epochs, which are not trained again
        assert n_calls == total - finished * calls_per_epoch
        assert_same_bits(resumed, uninterrupted)


@every_maker
def test_a_fit_killed_twice_resumes_to_the_same_bits(make: Callable[[], TorchRecommender], tmp_path: Path) -> None:
    training = replace(small().training, checkpoint=tmp_path / "fit.pt")
    calls_per_epoch = count_calls(make(), small().training) // CONFIG.epochs
    for _ in range(2):
        model = make()
        kill_at(model, calls_per_epoch + 2)  # in the second epoch of those pending
        with pytest.raises(Killed):
            model.fit(training)
    assert_same_bits(fit(make(), training), fit(make(), small().training))


@every_maker
def test_a_fit_killed_while_it_writes_resumes_to_the_same_bits(
    make: Callable[[], TorchRecommender], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted, training = fit(make(), small().training), replace(small().training, checkpoint=tmp_path / "fit.pt")
    with monkeypatch.context() as patch:
        kill_while_writing(patch, after=2)
        with pytest.raises(Killed):
            make().fit(training)
    resumed = make()
    assert (
        count_calls(resumed, training) == count_calls(make(), small().training) // 2
    )  # two of four epochs are pending
    assert_same_bits(resumed, uninterrupted)


def test_a_finished_fit_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    training = replace(small().training, checkpoint=tmp_path / "fit.pt")
    uninterrupted, resumed = fit(Factors(), training), Factors()
    assert count_calls(resumed, training) == 0
    assert_same_bits(resumed, uninterrupted)
