"""Fit twice, or interrupted and resumed: the bits are the same."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sdmr.baselines.mf_bpr import MFBPR
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


@pytest.fixture(autouse=True)
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the scores in checkpoints, so that all calls are those of batches and validation."""
    monkeypatch.setattr("sdmr.harness.training.loop.compute_probe", lambda *_: {})


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


def flip_bit(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << position % 8
    path.write_bytes(content)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_damaged_checkpoint_is_named_and_made_again(
    share: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = replace(small().training, checkpoint=tmp_path / "fit.pt")
    uninterrupted = fit(Factors(), training)
    flip_bit(tmp_path / "fit.pt", int(share * (tmp_path / "fit.pt").stat().st_size))
    assert_same_bits(fit(Factors(), training), uninterrupted)
    assert f"{tmp_path}/fit.pt is damaged" in caplog.text
    caplog.clear()
    assert count_calls(Factors(), training) == 0  # it is whole again
    assert not caplog.text


class Twin(Factors):
    """Have the parameters of another class."""


@pytest.mark.parametrize("other", ["class", "optimization", "seed", "shapes", "folder"])
def test_a_checkpoint_of_another_training_is_named_and_not_used(
    other: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    makers: dict[str, Callable[[], TorchRecommender]] = {
        "class": Twin,
        "optimization": lambda: Factors(optimization=replace(CONFIG, learning_rate=0.03)),
        "shapes": lambda: MFBPR(dim=3, optimization=CONFIG),
    }
    (tmp_path / "other").mkdir()
    path = tmp_path / "other" / "fit.pt" if other == "folder" else tmp_path / "fit.pt"
    fit(makers.get(other, Factors)(), replace(small().training, checkpoint=path, seed=int(other == "seed")))
    training = replace(small().training, checkpoint=path.rename(tmp_path / "fit.pt"))
    assert_same_bits(fit(Factors(), training), fit(Factors(), small().training))
    assert re.search(rf"{tmp_path}/fit\.pt is of another run \(other .*{other}", caplog.text)


def test_a_fit_continues_with_more_epochs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = replace(small().training, checkpoint=tmp_path / "fit.pt")
    fit(Factors(optimization=replace(CONFIG, epochs=2)), training)
    assert_same_bits(fit(Factors(), training), fit(Factors(), small().training))
    assert not caplog.text


def test_a_fit_continues_with_more_patience(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = replace(small().training, checkpoint=tmp_path / "fit.pt")
    fit(Factors(optimization=replace(CONFIG, patience=1)), training)
    assert_same_bits(fit(Factors(), training), fit(Factors(), small().training))
    assert not caplog.text


def make_buffered(size: int) -> Factors:
    class Buffered(Factors):
        def build(self, n_users: int, n_items: int) -> None:
            super().build(n_users, n_items)
            self.register_buffer("numbers", torch.zeros(size))

    return Buffered()


def test_a_checkpoint_with_buffers_of_another_shape_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = replace(small().training, checkpoint=tmp_path / "fit.pt")
    fit(make_buffered(2), training)
    assert_same_bits(fit(make_buffered(3), training), fit(make_buffered(3), small().training))
    assert "is of another run (other shapes)" in caplog.text
