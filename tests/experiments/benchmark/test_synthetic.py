"""Synthetic data have the shape that is asked for; excerpts keep the history."""

import numpy as np
import pytest

from sdmr.experiments.benchmark.synthetic import draw_excerpt, make_task


def test_a_synthetic_task_has_the_requested_shape_and_is_the_same_each_time() -> None:
    task, again = make_task(50, 80, 900, 10), make_task(50, 80, 900, 10)
    training = task.training
    assert (training.n_users, training.n_items) == (50, 80)
    held_out = len(task.test) + len(training.validation)
    assert len(training.instances) + held_out == 900
    assert task.test.candidates.shape[1] == 11
    np.testing.assert_array_equal(task.test.candidates, again.test.candidates)
    with pytest.raises(ValueError, match="too few for 900"):
        make_task(10, 20, 900)


def test_an_excerpt_has_the_history_of_the_full_training_data() -> None:
    training = make_task(50, 80, 900, 10).training
    excerpt = draw_excerpt(training, 64, n_validation=3)
    assert (len(excerpt.instances), len(excerpt.validation)) == (64, 3)
    assert excerpt.matrix.nnz == training.matrix.nnz > 64
    assert excerpt.drop_checkpoint().matrix.nnz == training.matrix.nnz
    pairs = set(zip(training.instances.users.tolist(), training.instances.targets.tolist(), strict=True))
    assert set(zip(excerpt.instances.users.tolist(), excerpt.instances.targets.tolist(), strict=True)) <= pairs
