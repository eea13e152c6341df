"""The generators that models share are seeded, and kept."""

import random

import numpy as np
import pytest
import torch

from sdmr.harness.generators import keep_generators, seed_generators


def draw() -> tuple[float, ...]:
    return random.random(), np.random.random(), float(torch.rand(1))  # noqa: NPY002


@pytest.mark.parametrize("seed", [0, 5, 2**32 + 5, 2**63 - 1])
def test_a_seed_fixes_the_numbers_of_every_generator(seed: int) -> None:
    seed_generators(seed)
    numbers = draw()
    seed_generators(1)
    assert not set(draw()) & set(numbers)
    seed_generators(seed)
    assert draw() == numbers


def test_kept_generators_go_on_as_if_nothing_had_drawn() -> None:
    seed_generators(0)
    numbers = draw(), draw()
    seed_generators(0)
    assert draw() == numbers[0]
    with keep_generators():
        draw()
    assert draw() == numbers[1]
