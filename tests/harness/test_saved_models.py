"""Save fitted parameters, and read them back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdmr.baselines.mf_bpr import MFBPR
from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.task import Training
from sdmr.harness.files import load_tensors_of, save_tensors
from sdmr.harness.recommender import ModelError
from sdmr.harness.training.base import TorchRecommender
from tests.behavior import small
from tests.harness.factors import (
    CONFIG,
    Factors,
    Killed,
    assert_same_bits,
    every_maker,
    fit,
    kill_while_writing,
)


@every_maker
def test_a_saved_recommender_scores_as_before(make: Callable[[], TorchRecommender], tmp_path: Path) -> None:
    training, test = small().training, small().test
    model, path = fit(make(), training), tmp_path / "model.pt"
    model.save(path)
    loaded = make()
    loaded.load(path, training.n_users, training.n_items)
    assert_same_bits(loaded, model)
    inputs = test.users, test.contexts.last_n(model.context_length), test.candidates
    np.testing.assert_array_equal(loaded.score(*inputs), model.score(*inputs))
    assert loaded.is_fitted
    assert all(part.is_fitted for part in loaded.parts.values())
    assert not any(parameter.requires_grad for part in loaded.parts.values() for parameter in part.parameters())
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = fit(Factors(), small().training), tmp_path / "model.pt"
    model.save(path)
    before = path.read_bytes()

    with monkeypatch.context() as patch:
        kill_while_writing(patch, after=0)
        with pytest.raises(Killed):
            model.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


def test_a_saved_model_that_is_damaged_or_of_other_settings_is_one_line(tmp_path: Path) -> None:
    training, path = small().training, tmp_path / "model.pt"
    fit(Factors(), training).save(path)
    for other in (MFBPR(dim=3, optimization=CONFIG), Factors()):
        n_items = training.n_items + isinstance(other, Factors)
        with pytest.raises(DataError, match=rf"^{path} holds no {type(other).__name__} of these settings and data$"):
            other.load(path, training.n_users, n_items)
    content = path.read_bytes()
    for damaged in (
        b"",
        b"no model",
        content[:100],
        content[:-1],
        content[:-32],
        bytes([content[0] ^ 1]) + content[1:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"^{path} is damaged or of an older version"):
            Factors().load(path, training.n_users, training.n_items)


def test_a_saved_model_is_known_by_its_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    path = tmp_path / "a" / "model.pt"
    fit(Factors(), small().training).save(path)
    assert load_tensors_of(path, "cpu") is not None
    assert load_tensors_of(tmp_path / "b" / "model.pt", "cpu") is None
    assert not caplog.text
    path.rename(tmp_path / "b" / "model.pt")
    assert load_tensors_of(tmp_path / "b" / "model.pt", "cpu") is None
    assert f"{tmp_path}/b/model.pt is of another run (other folder)" in caplog.text


class Popular(Factors):
    """Learn an attribute that is neither a parameter nor a buffer."""

    def build(self, n_users: int, n_items: int) -> None:
        super().build(n_users, n_items)
        self.counts = torch.zeros(n_items)

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        if self.training:
            self.counts[candidates[:, 0]] += 1
        return super().forward(users, contexts, candidates) + self.counts[candidates]


class Unset(Popular):
    def build(self, n_users: int, n_items: int) -> None:
        Factors.build(self, n_users, n_items)

    def fit(self, training: Training) -> None:
        self.counts = torch.zeros(training.n_items)
        super().fit(training)


@pytest.mark.parametrize("make", [Popular, Unset])
def test_a_saved_model_that_lacks_what_fit_has_learned_is_an_error(make: type[Factors], tmp_path: Path) -> None:
    training, path = small().training, tmp_path / "model.pt"
    fit(make(), training).save(path)
    with pytest.raises(
        ModelError, match=rf"^{make.__name__} scores otherwise with its saved parameters.*register_buffer"
    ):
        make().load(path, training.n_users, training.n_items)


def test_a_fit_that_resumes_without_what_it_has_learned_is_an_error(tmp_path: Path) -> None:
    training, model = replace(small().training, checkpoint=tmp_path / "checkpoint.pt"), Popular()
    fit(model, training)
    with pytest.raises(ModelError, match=r"^Popular scores otherwise"):
        fit(Popular(), training)


def test_random_scores_and_an_older_file_are_no_error(tmp_path: Path) -> None:
    training, path = small().training, tmp_path / "model.pt"

    class Random(Factors):
        def score(self, *inputs: IntArray) -> NDArray[np.floating]:
            return super().score(*inputs) + np.random.default_rng().random(inputs[2].shape)

    fit(Random(), training).save(path)
    Random().load(path, training.n_users, training.n_items)
    model = fit(Factors(), training)
    save_tensors({"parameters": model.state_dict(), "history": model.history}, path)
    Factors().load(path, training.n_users, training.n_items)


def test_saving_draws_no_random_number(tmp_path: Path) -> None:
    model = fit(Factors(), small().training)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    model.save(tmp_path / "model.pt")
    assert torch.rand(1) == expected
