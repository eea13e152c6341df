"""Save fitted parameters, and read them back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sdmr.harness.training.base import TorchRecommender
from tests.behavior import small
from tests.harness.factors import (
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
